--- The models of Firecracker's API, as data: what is sent and what comes back, every 1.x release.
--
-- A model: `doc`, `fields` in the VMM's own order, `lax` where the VMM ignores unknown keys, `rules` that concern several
-- fields (@{firecracker.config.rules}). One record for each field, in the words of @{firecracker.config.schema}:
--
-- - `name`, `doc`, `type`: `string`, `path`, `boolean`, `integer`, `table`, `list` (of `item`), `map` (of `item`)
-- - `model`: of a table; its fields stand in `fields` then
-- - `required`; `absent`: what the VMM takes where it is left out; `nullable`: null is taken for that
-- - `width` of the VMM's integer ("u8" … "u64", "usize"); `min`, `max` what is accepted
-- - `enum`, with `ignore_case`; `pattern` in words in `expected`; `max_bytes`; `arch` it is for, `enum_arch`: the same for
--   single values
-- - `since`, `unless` (releases after it that lack it, each with the one that has it again), `removed`; `enum_since`: the
--   same for single values
-- - `deprecated`: `{ since, use }`, with `value` where one value is meant
--
-- A model is read when it is first asked for: a start needs few of them. `pairs` reads them all.
-- @module firecracker.api.models

-- The models by file.
local PARTS <const> = {
  balloon = { "Balloon", "BalloonUpdate", "BalloonStats", "BalloonStatsUpdate",
    "BalloonStartCmd", "BalloonHintingStatus" },
  block = { "TokenBucket", "RateLimiter", "Drive", "PartialDrive" },
  boot = { "BootSource", "MachineConfiguration" },
  cpu = { "CpuConfig", "CpuidLeafModifier", "CpuidRegisterModifier", "MsrModifier", "ArmRegisterModifier", "VcpuFeatures" },
  devices = { "Vsock", "VsockOverride", "EntropyDevice", "SerialDevice" },
  instance = { "InstanceInfo", "FirecrackerVersion", "InstanceActionInfo", "Vm", "Error" },
  memory = { "MemoryHotplugConfig", "MemoryHotplugSizeUpdate", "MemoryHotplugStatus" },
  network = { "NetworkInterface", "PartialNetworkInterface", "MmdsConfig", "NetworkOverride" },
  pmem = { "Pmem", "PartialPmem" },
  output = { "Logger", "Metrics" },
  snapshot = { "SnapshotCreateParams", "MemoryBackend", "SnapshotLoadParams" },
  whole = { "FullVmConfiguration" },
}

local MAX <const> = { u8 = 0xff, u16 = 0xffff, u32 = 0xffffffff }

local part_of, models = {}, {}
for part, names in pairs(PARTS) do
  for _, name in ipairs(names) do
    part_of[name] = part
  end
end

local function complete (field)
  if field.model then
    field.fields = assert(models[field.model], field.model).fields
    field.rules = models[field.model].rules
  elseif field.width then
    field.min = field.min or 0
    field.max = field.max or MAX[field.width]
  end
  if field.item then
    complete(field.item)
  end
end

-- All of a file's models, so that one may name another of the same file.
local function read (part)
  local found = require("firecracker.api.models." .. part)
  for name, model in pairs(found) do
    rawset(models, name, model)
  end
  local ok, problem = pcall(function ()
    for _, model in pairs(found) do
      for _, field in ipairs(model.fields) do
        complete(field)
      end
    end
  end)
  if not ok then   -- another file could not be opened: the next time
    for name in pairs(found) do
      rawset(models, name, nil)
    end
    error(problem, 0)
  end
end

return setmetatable(models, {
  __index = function (_, name)
    local part = part_of[name]
    if part then
      read(part)
      return rawget(models, name)
    end
  end,
  __pairs = function ()
    for name in pairs(part_of) do
      local _ = models[name]
    end
    return next, models
  end,
})
