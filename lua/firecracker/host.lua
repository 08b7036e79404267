--- What is to be known of this host.
-- @module firecracker.host

local host = {}

local MACHINES <const> = { [0x3e] = "x86", [0xb7] = "arm" }   -- e_machine of an ELF header

local arch

--- The processor's architecture, from the header of the program that runs.
-- @treturn ?string "x86" or "arm"; nil for another
-- @see elf(5)
function host.arch ()
  if arch == nil then
    local file <close> = io.open("/proc/self/exe", "rb")
    local header = file and file:read(20) or ""
    arch = #header == 20 and MACHINES[("<I2"):unpack(header, 19)] or false
  end
  return arch or nil
end

--- What the kernel says of a process.
-- @tparam int|string pid, or "self"
-- @treturn[1] int its number
-- @treturn[1] string its state's letter; "Z": it has ended
-- @treturn[1] int when it began, in clock ticks since the host's start
-- @treturn[1] int its parent
-- @return[2] nil (there is none)
-- @see proc_pid_stat(5)
function host.process (pid)
  local file <close> = io.open(("/proc/%s/stat"):format(pid))
  local text = file and file:read "a" or ""
  local number, state, rest = text:match "^(%d+) .*%) (%S) (.*)$"   -- the name between may hold anything
  if not number then
    return nil
  end
  local parent, began = rest:match("^(%d+) " .. ("%S+ "):rep(17) .. "(%d+)")
  return math.tointeger(tonumber(number)), state, math.tointeger(tonumber(began)), math.tointeger(tonumber(parent))
end

return host
