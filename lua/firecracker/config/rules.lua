--- Rules that concern several fields of a configuration at once. The schema names them.
-- Each takes the checked value it stands at and its arguments, and returns nothing, or the path of the offending field
-- below that value and what is wrong with it.
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

--- An IPv4 address from 169.254.1.0 to 169.254.254.255, where Firecracker serves metadata.
-- @tparam string address
function rules.metadata_address (address)
  local third, fourth = address:match "^169%.254%.(%d%d?%d?)%.(%d%d?%d?)$"
  third, fourth = tonumber(third), tonumber(fourth)
  if not third or third < 1 or third > 254 or fourth > 255 then
    return "", ("an address from 169.254.1.0 to 169.254.254.255 expected, got '%s'"):format(address)
  end
end

return rules
