--- Verbs: the guest's metadata.
-- @module firecracker.machine.verbs.metadata

local asking = require "firecracker.machine.verbs.asking"
local errors = require "firecracker.errors"
local payload = require "firecracker.api.payload"

local call, check = asking.call, asking.check
local methods = {}

local function check_metadata (self, verb, data)
  check(verb, data, "table", "data: ")
  local _, limit = payload.limits(self.config.vmm.arguments)
  local size = #payload.encode(data, nil, verb)
  if size > limit then
    return nil, errors.new {
      code = "config", operation = verb, message = ("%s: %d bytes of JSON, at most %d fit"):format(verb, size, limit),
      hint = 'vmm.arguments = { "--http-api-max-payload-size", "…" }',
    }
  end
  return true
end

--- Replace the guest's metadata. The guest reads them through the interfaces that `config.mmds_config` names.
-- @function vm:set_metadata
-- @tparam table data anything JSON can hold
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config": too large (51200 bytes unless `vmm.arguments` say otherwise); "api"
function methods:set_metadata (data, options)
  local ok, err = check_metadata(self, "set_metadata", data)
  if not ok then
    return nil, err
  end
  return call(self, "set the metadata of", "put_mmds", data, options)
end

--- Change the guest's metadata: members given are merged into what is there, `fc.null` takes one out (RFC 7396).
-- @function vm:update_metadata
-- @tparam table changes
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config": too large; "api": status 413 when the whole becomes too large, 400 before any were set
function methods:update_metadata (changes, options)
  local ok, err = check_metadata(self, "update_metadata", changes)
  if not ok then
    return nil, err
  end
  return call(self, "update the metadata of", "patch_mmds", changes, options)
end

--- The guest's metadata.
-- @function vm:metadata
-- @tparam[opt] table options
-- @treturn[1] table empty when there are none
-- @return[2] nil
-- @treturn[2] err
function methods:metadata (options)
  return call(self, "ask", "get_mmds", options)
end

return methods
