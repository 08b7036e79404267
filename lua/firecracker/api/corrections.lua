--- Where the table says otherwise than Firecracker's swagger, and why. `make api-check` asks for each of them to hold.
-- One record each: `model`, `field`, `word` (of the field's record), what `swagger` says (nil: nothing) and why the `table`
-- says something else; `table` is the value in the table.
-- @module firecracker.api.corrections

local LEVELS <const> = { "Off", "Trace", "Debug", "Info", "Warn", "Warning", "Error" }
local WRAPS <const> = "before 1.17 the server wraps larger numbers silently"

return {
  { model = "Logger", field = "level", word = "enum", table = LEVELS,
    swagger = { "Error", "Warning", "Info", "Debug", "Trace", "Off" }, why = "the server takes Warn as well" },
  { model = "MachineConfiguration", field = "mem_size_mib", word = "min", table = 1, why = "the server refuses 0" },
  { model = "MmdsConfig", field = "network_interfaces", word = "min", table = 1, why = "the server refuses an empty list" },
  { model = "MemoryHotplugConfig", field = "total_size_mib", word = "required", table = true, swagger = false,
    why = "the server refuses a body without it" },
  { model = "MemoryHotplugSizeUpdate", field = "requested_size_mib", word = "required", table = true, swagger = false,
    why = "the server refuses a body without it" },
  { model = "MemoryHotplugConfig", field = "total_size_mib", word = "max", table = 0xffffffff, before = "1.17", why = WRAPS },
  { model = "MemoryHotplugConfig", field = "slot_size_mib", word = "max", table = 0xffffffff, before = "1.17", why = WRAPS },
  { model = "MemoryHotplugConfig", field = "block_size_mib", word = "max", table = 0xffffffff, before = "1.17", why = WRAPS },
  { model = "MemoryHotplugSizeUpdate", field = "requested_size_mib", word = "max", table = 0xffffffff, before = "1.17",
    why = WRAPS },
  { model = "TokenBucket", field = "refill_time", word = "max", table = 18446744073709,
    why = "with more the server takes it and limits nothing" },
}
