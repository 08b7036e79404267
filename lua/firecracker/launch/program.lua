--- Programs: by path, by a variable of the environment, by PATH.
-- @module firecracker.launch.program

local core = require "firecracker.core"
local errors = require "firecracker.errors"

local files = core.files
local program = {}

--- Look for a program in directories.
-- @tparam string name
-- @tparam[opt] string directories as in PATH, which it is when absent
-- @treturn ?string absolute path
function program.search (name, directories)
  for directory in (directories or os.getenv "PATH" or ""):gmatch "[^:]+" do
    local path = directory .. "/" .. name
    local look = files.look(path, true)
    if look and look.type ~= "directory" and files.access(path, "x") then
      return files.absolute(path)
    end
  end
end

--- Find a program. A name without a slash is looked for on PATH.
-- @tparam ?string named what the configuration says
-- @tparam string variable says it where the configuration does not
-- @tparam string name is taken where neither does
-- @tparam string what for errors: "the VMM"
-- @tparam string hint
-- @treturn[1] string absolute path
-- @return[2] nil
-- @treturn[2] err code "spawn"
function program.find (named, variable, name, what, hint)
  named = named or os.getenv(variable)
  named = named and named ~= "" and named or name
  if named:find "/" then
    local ok, err = files.access(named, "x")
    if ok then
      return files.absolute(named)
    end
    return nil, errors.new { code = "spawn", message = ("cannot run %s: %s"):format(what, err.message), errno = err.errno,
                             path = named, hint = hint }
  end
  local found = program.search(named)
  return found, not found and errors.new { code = "spawn", message = named .. " is not on PATH", hint = hint } or nil
end

return program
