--- What the verbs share: asking the VMM, and checking what it is asked.
-- @module firecracker.machine.verbs.asking

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"

local asking = {}

--- Ask the VMM.
-- @tparam table self the machine
-- @tparam string verb for the error of a machine that has none
-- @tparam string operation of the client
-- @param ... its arguments
-- @return what the client returns
function asking.call (self, verb, operation, ...)
  if not self.api then
    return process.refuse(self, verb, "started")
  end
  return self.api[operation](self.api, ...)
end

--- Check the type of what a verb is given.
-- @tparam string verb
-- @param value
-- @tparam string expected
-- @tparam[opt] string what goes before it in the error
function asking.check (verb, value, expected, what)
  if type(value) ~= expected then
    errors.raise(2, { code = "usage", message = ("%s: %s%s expected, got %s"):format(verb, what or "", expected, type(value)) })
  end
end

--- A copy with other fields, its paths absolute, then the VMM's of a section's.
-- @tparam table self the machine
-- @tparam string verb
-- @tparam table given
-- @tparam ?table fields
-- @tparam[opt] string section
-- @treturn[1] table
-- @return[2] nil
-- @treturn[2] err
function asking.body (self, verb, given, fields, section)
  asking.check(verb, given, "table")
  local body = {}
  for key, value in pairs(given) do
    body[key] = value
  end
  for key, value in pairs(fields or {}) do
    body[key] = value
  end
  for _, key in ipairs { "path_on_host", "socket" } do
    if type(body[key]) == "string" and body[key] ~= "" then
      local path, err = core.files.absolute(body[key])
      if not path then
        return nil, err
      end
      body[key] = path
    end
  end
  if section and self.api then   -- a machine without a VMM is refused later
    return paths.body(self, section, body)
  end
  return body
end

return asking
