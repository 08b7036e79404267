--- What a machine is asked and told through its VMM's API, verb by verb.
-- Each is one request (a drive's rescan two) and needs a VMM: before its start code is "state", afterwards "exited". What the
-- VMM refuses comes back as it says it, code "api". The last parameter of each, `options`, holds the request's `timeout` in
-- seconds. Paths are made absolute, as in a configuration.
-- @module firecracker.machine.verbs

local verbs = {}

-- Each is loaded when those before it have not the verb.
local SUBJECTS <const> = { "machine", "devices", "memory", "metadata" }

--- Methods of a machine.
verbs.methods = setmetatable({}, { __index = function (methods, name)
  for _, subject in ipairs(SUBJECTS) do
    local method = require("firecracker.machine.verbs." .. subject)[name]
    if method then
      methods[name] = method
      return method
    end
  end
end })

return verbs
