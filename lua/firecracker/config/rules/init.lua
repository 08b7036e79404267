--- Rules that concern several fields of a configuration at once. The schema names them.
-- Each takes the checked value it stands at and its arguments, and returns nothing, or the path of the offending field
-- below that value and what is wrong with it. Those of @{firecracker.config.rules.sections} and @{firecracker.config.rules.texts}
-- are read when one is asked for.
-- @module firecracker.config.rules

local rules = {}

--- The field `key` is unique in a list of tables.
-- @tparam table list
-- @tparam string key
-- @tparam[opt] string ignore_case `"ignore_case"`: so that letter case makes no difference
function rules.unique (list, key, ignore_case)
  local first = {}
  for i, item in ipairs(list) do
    local value = item[key]
    if value ~= nil then
      local same = ignore_case and value:lower() or value
      if first[same] then
        return ("[%d].%s"):format(i, key), ("'%s' is taken by [%d]"):format(value, first[same])
      end
      first[same] = i
    end
  end
end

--- The field `key` is true at most once in a list of tables.
-- @tparam table list
-- @tparam string key
function rules.once (list, key)
  local first
  for i, item in ipairs(list) do
    if item[key] then
      if first then
        return ("[%d].%s"):format(i, key), ("true already in [%d]"):format(first)
      end
      first = i
    end
  end
end

--- The VMM's command line takes it for a value: what begins with two dashes is the name of an option.
-- @tparam string value
function rules.command_line (value)
  if value:find("--", 1, true) == 1 then
    return "", ("a text that does not begin with '--' expected, got '%s'"):format(value)
  end
end

--- One of several fields is there; the first is asked for when none is.
-- @tparam table value
-- @tparam string key
-- @tparam string ... other keys
function rules.either (value, key, ...)
  for _, other in ipairs { key, ... } do
    if value[other] ~= nil then
      return
    end
  end
  return "." .. key, "string expected, got nil"
end

--- Fields that are not given together with `key`.
-- @tparam table value
-- @tparam string key
-- @tparam string ... the other keys
function rules.excludes (value, key, ...)
  if value[key] then
    for _, other in ipairs { ... } do
      if value[other] ~= nil then
        return "." .. other, ("not allowed beside %s"):format(key)
      end
    end
  end
end

--- The field `key` is given only where `flag` is true.
-- @tparam table value
-- @tparam string key
-- @tparam string flag
function rules.only_with (value, key, flag)
  if value[key] ~= nil and not value[flag] then
    return "." .. key, ("allowed only with %s = true"):format(flag)
  end
end

--- The number `key` is even where `other` has a certain value.
-- @tparam table value
-- @tparam string key
-- @tparam string other
-- @param certain
-- @tparam[opt] int except an odd number that will do
function rules.even (value, key, other, certain, except)
  if value[other] == certain and value[key] % 2 ~= 0 and value[key] ~= except then
    return "." .. key, ("an even number expected with %s = %s, got %d"):format(other, certain, value[key])
  end
end

return setmetatable(rules, { __index = function (_, name)
  return require("firecracker.config.rules.sections")[name] or require("firecracker.config.rules.texts")[name]
end })
