--- Defaults that depend on where the program runs.
-- @module firecracker.config.defaults

local defaults = {}

--- The directory of run directories: `/run/firecracker-lua`; for a user who is not root
-- `$XDG_RUNTIME_DIR/firecracker-lua`, or one in /tmp named by the user's number where that is not set.
-- @treturn string absolute path
function defaults.run_dir ()
  local uid = require("firecracker.core").files.euid()
  if uid == 0 then
    return "/run/firecracker-lua"
  end
  local runtime = os.getenv "XDG_RUNTIME_DIR"
  if runtime and runtime:sub(1, 1) == "/" then
    return runtime .. "/firecracker-lua"
  end
  return "/tmp/firecracker-lua-" .. uid
end

return defaults
