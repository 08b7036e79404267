--- Rules between sections, and those that few sections have. As @{firecracker.config.rules}.
-- @module firecracker.config.rules.sections

local common = require "firecracker.config.rules"

local rules = {}

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
  return common.excludes(value, key, other)
end

return rules
