--- How much the VMM takes of a request's body. It answers what is longer before it has read it, reads the rest as requests,
-- answers each of these, and is killed by its own seccomp filter when the client is gone by then (SIGPIPE, seen on 1.12.1).
-- @module firecracker.api.payload

local core = require "firecracker.core"
local errors = require "firecracker.errors"

local encode <const> = core.json.encode

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

--- A body as JSON. What cannot be sent raises at the user's line.
-- @param body
-- @tparam ?table buffer of core.json.buffer, which is filled
-- @tparam string asked for the error: a verb, or a request's method
-- @tparam[opt] string path of the request
-- @treturn string|table the text, or the buffer
function payload.encode (body, buffer, asked, path)
  local ok, text = pcall(encode, body, buffer)
  if ok then
    return text
  elseif type(text) == "string" and text:find("json: value", 1, true) == 1 then
    errors.raise(2, { code = "usage", message = ("%s%s: %s"):format(asked, path and " " .. path or "", text) })
  end
  error(text, 0)
end

return payload
