--- Rules that concern several fields of a configuration at once. The schema names them.
-- Each takes the checked value it stands at and its arguments, and returns nothing, or the path of the offending field
-- below that value and what is wrong with it. Those of @{firecracker.config.rules.texts} are read when one is asked for.
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

--- Exactly one of two fields is there.
-- @tparam table value
-- @tparam string key asked for when neither is
-- @tparam string other
function rules.exactly (value, key, other)
  if value[key] ~= nil and value[other] ~= nil then
    return "." .. other, ("not allowed beside %s"):format(key)
  elseif value[key] == nil and value[other] == nil then
    return "." .. key, "table expected, got nil"
  end
end

--- The number `key`, where given, is a power of two.
-- @tparam table value
-- @tparam string key
function rules.power_of_two (value, key)
  local number = value[key]
  if number and number & (number - 1) ~= 0 then
    return "." .. key, ("a power of two expected, got %d"):format(number)
  end
end

--- The number `key` is a multiple of the number `unit`, and at least that.
-- @tparam table value
-- @tparam string key
-- @tparam string unit
-- @tparam ?int absent what `key` is taken for where it is left out
-- @tparam int unit_absent the same of `unit`
function rules.multiple (value, key, unit, absent, unit_absent)
  local number, step = value[key] or absent, value[unit] or unit_absent
  if number < step or number % step ~= 0 then
    return "." .. key, ("a multiple of %s (%d) expected, got %d"):format(unit, step, number)
  end
end

--- Each name in the list `section.key` is the `id` of a table in the list `others`.
-- @tparam table config
-- @tparam string section
-- @tparam string key
-- @tparam string others
-- @tparam string id
function rules.listed (config, section, key, others, id)
  local known = {}
  for _, item in ipairs(config[others] or {}) do
    known[item[id]] = true
  end
  for i, name in ipairs(config[section] and config[section][key] or {}) do
    if not known[name] then
      return (".%s.%s[%d]"):format(section, key, i), ("no '%s' in %s"):format(name, others)
    end
  end
end

--- A section that names no interface is reached through one that says so.
-- @tparam table config
-- @tparam string section
-- @tparam string key
-- @tparam string flag of an interface
function rules.reached (config, section, key, flag)
  local value = config[section]
  if value == nil or (type(value) == "table" and value[key]) or (config.mmds_config and config.mmds_config[key]) then
    return
  end
  for _, item in ipairs(config[key] or {}) do
    if item[flag] then
      return
    end
  end
  if type(value) == "table" then
    return (".%s.%s"):format(section, key), "list expected, got nil"
  end
  return "." .. section, ("an interface with %s = true, or mmds_config.%s, expected"):format(flag, key)
end

--- The number `section.key` is at most the number `other.limit`.
-- @tparam table config
-- @tparam string section
-- @tparam string key
-- @tparam string other
-- @tparam string limit
function rules.at_most (config, section, key, other, limit)
  local number, most = config[section] and config[section][key], config[other][limit]
  if number and number > most then
    return (".%s.%s"):format(section, key), ("at most %s.%s (%d) expected, got %d"):format(other, limit, most, number)
  end
end

--- Two lists of devices have one root device between them.
-- @tparam table config
-- @tparam string first
-- @tparam string first_key
-- @tparam string second
-- @tparam string second_key
function rules.one_root (config, first, first_key, second, second_key)
  local function root_of (list, key)
    for i, item in ipairs(config[list] or {}) do
      if item[key] then
        return i
      end
    end
  end
  local taken, at = root_of(first, first_key), root_of(second, second_key)
  if taken and at then
    return (".%s[%d].%s"):format(second, at, second_key), ("true already in %s[%d]"):format(first, taken)
  end
end

--- Exactly one of two fields is there; the first is asked for when neither is.
-- @tparam table value
-- @tparam string key
-- @tparam string other
function rules.exactly_one (value, key, other)
  if value[key] == nil and value[other] == nil then
    return "." .. key, "string expected, got nil"
  end
  return rules.excludes(value, key, other)
end

return setmetatable(rules, { __index = function (_, name)
  return require("firecracker.config.rules.texts")[name]
end })
