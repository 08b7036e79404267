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

return host
