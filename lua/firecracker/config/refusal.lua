--- What is wrong with a configuration, as it leaves the check: the path of the field and what was expected.
-- A place is `{ above = place, key = key }`; the outermost has a key alone.
-- @module firecracker.config.refusal

local refusal = {}

local metatable = {}

--- Word a place.
-- @tparam table place
-- @treturn string `config.drives[2].path_on_host`
function refusal.path (place)
  local above, key = place.above, place.key
  if not above then
    return key
  elseif math.type(key) == "integer" then
    return ("%s[%d]"):format(refusal.path(above), key)
  end
  key = tostring(key)
  return key:find "^[%a_][%w_]*$" and ("%s.%s"):format(refusal.path(above), key) or ("%s[%q]"):format(refusal.path(above), key)
end

--- Leave the check; `config.check` makes the error.
-- @tparam string path of the field
-- @tparam string message a format
-- @param ... its arguments
function refusal.raise (path, message, ...)
  error(setmetatable({ code = "config", message = ("%s: %s"):format(path, message:format(...)), field = path }, metatable), 0)
end

--- Leave the check for what stands at a place.
-- @tparam table place
-- @tparam string message a format
-- @param ... its arguments
function refusal.at (place, message, ...)
  refusal.raise(refusal.path(place), message, ...)
end

--- Leave it for another value than the one that was expected there.
-- @tparam table place
-- @tparam string expected
-- @tparam string got
function refusal.expect (place, expected, got)
  refusal.at(place, "%s, got %s", expected, got)
end

--- Tell a refusal from other values that are raised.
-- @param value
-- @treturn boolean
function refusal.is (value)
  return getmetatable(value) == metatable
end

return refusal
