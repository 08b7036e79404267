--- How much the VMM takes of a request's body. It answers what is longer before it has read it, reads the rest as requests,
-- answers each of these, and is killed by its own seccomp filter when the client is gone by then (SIGPIPE, seen on 1.12.1).
-- @module firecracker.api.payload

local payload = {}

--- Bytes, where the VMM's command line says nothing else.
payload.LIMIT = 51200

--- The limits that a VMM's command line sets.
-- @tparam {string,...} arguments
-- @treturn integer bytes of a body
-- @treturn integer bytes of metadata
function payload.limits (arguments)
  local named = {}
  for i, argument in ipairs(arguments) do
    named[argument] = math.tointeger(tonumber(arguments[i + 1]))
  end
  local body = named["--http-api-max-payload-size"] or payload.LIMIT
  return body, math.min(body, named["--mmds-size-limit"] or body)
end

return payload
