--- Where the VMM's standard output goes: the guest's serial port.
-- Never a bare pipe: a full one blocks the VMM's API, and one without a reader hangs it for ever.
-- @module firecracker.launch.console

local core = require "firecracker.core"

local files = core.files
local console = {}

--- Open what `config.console` names.
-- @tparam table vm gets `terminal`, the core's stream, where it is a pseudo-terminal
-- @tparam[opt] fd null /dev/null, where it is open for both
-- @treturn[1] fd for the VMM's descriptor 1, perhaps `null`; the caller closes it once the VMM has it
-- @treturn[1] ?fd for its descriptor 0, where that is not /dev/null
-- @return[2] nil
-- @treturn[2] err
function console.open (vm, null)
  local wanted = vm.config.console
  if type(wanted) == "function" or wanted == "pty" then
    return require("firecracker.launch.terminal").open(vm, wanted ~= "pty" and wanted or nil)
  elseif wanted == "null" then
    if null then
      return null
    end
    return files.open("/dev/null", "r+")
  elseif wanted == "inherit" then
    return files.reopen(1)
  end
  return files.open(wanted, "a")
end

return console
