--- Rules of what texts say: numbers, addresses, names. As @{firecracker.config.rules}.
-- @module firecracker.config.rules.texts

local rules = {}

--- A number in text, with the prefix 0x or 0b.
-- @tparam string value
-- @tparam int bits it fits into
function rules.number (value, bits)
  local digits = value:match "^0x0*(%x*)$"
  local width = digits and #digits * 4
  if not digits then
    digits = value:match "^0b0*([01]*)$"
    width = digits and #digits
  end
  if not digits or #value < 3 or width > bits then
    return "", ("a number of %d bits with the prefix 0x or 0b expected, got '%s'"):format(bits, value)
  end
end

--- A pattern of bits in text: 0, 1 and x, right-aligned.
-- @tparam string value
-- @tparam int bits it fits into
function rules.bitmap (value, bits)
  local digits = value:gsub("^0b", ""):gsub("_", "")
  if #digits > bits or not digits:find "^[01x]*$" then
    return "", ("at most %d characters 0, 1 and x expected, got '%s'"):format(bits, value)
  end
end

--- The number of a KVM capability in text.
-- @tparam string value
function rules.capability (value)
  local digits = value:match "^!?(%d+)$"
  if not digits or #digits > 10 or tonumber(digits) > 0xffffffff then
    return "", ("a decimal number, perhaps behind !, expected, got '%s'"):format(value)
  end
end

--- An IPv4 address from 169.254.1.0 to 169.254.254.255, where Firecracker serves metadata.
-- @tparam string address
function rules.metadata_address (address)
  local third, fourth = address:match "^169%.254%.(%d%d?%d?)%.(%d%d?%d?)$"
  third, fourth = math.tointeger(third), math.tointeger(fourth)
  if not third or third < 1 or third > 254 or fourth > 255 or address ~= ("169.254.%d.%d"):format(third, fourth) then
    return "", ("an address from 169.254.1.0 to 169.254.254.255 expected, got '%s'"):format(address)
  end
end

--- Values of cgroup files: `file = value`, or a list of `"file=value"`. The jailer takes no value with "=".
-- @tparam table list
function rules.cgroups (list)
  for key, value in pairs(list) do
    local file, text, at = key, value, ("[%q]"):format(key)
    if math.type(key) == "integer" then
      at = ("[%d]"):format(key)
      file, text = tostring(value):match "^([^=]*)=(.*)$"
    end
    if not file or not file:find "^%l[%w_]*%.[%w_.-]+$" or file:find("..", 1, true) then
      return at, ("the name of a cgroup's file expected, as cpu.weight, got '%s'"):format(file or value)
    elseif math.type(text) ~= "integer" and (type(text) ~= "string" or not text:find "^[^=%c]+$") then
      return at, ("a number or a text without '=' expected, got %s"):format(type(text) == "string" and ("'%s'"):format(text)
        or type(text))
    end
  end
end

--- A path below a hierarchy of cgroups: relative, without "." and "..".
-- @tparam string path
function rules.cgroup_path (path)
  for part in (path .. "/"):gmatch "(.-)/" do
    if part == "" or part == "." or part == ".." or part:find "%c" then
      return "", ("a relative path without '.' and '..' expected, got '%s'"):format(path)
    end
  end
end

local function parsed (verb, text)
  return require("firecracker.network.address")[verb](text)
end

--- An address of IPv4 or IPv6.
-- @tparam string value
function rules.address (value)
  if not parsed("parse", value) then
    return "", ("an IPv4 or IPv6 address expected, got '%s'"):format(value)
  end
end

--- An address with the length of its network's prefix.
-- @tparam string value
function rules.cidr (value)
  if not parsed("cidr", value) then
    return "", ("an address with prefix, as 10.0.0.2/24, expected, got '%s'"):format(value)
  end
end

--- A network with at least two addresses beside its first and its last.
-- @tparam string value
function rules.network (value)
  local network = parsed("cidr", value)
  if not network then
    return "", ("a network, as 10.0.0.0/24, expected, got '%s'"):format(value)
  elseif network.prefix > #network.address * 8 - 2 then
    return "", ("a network with room for gateway and guest expected, got '%s'"):format(value)
  end
  local address = require "firecracker.network.address"
  local first = address.first(network)
  if first ~= network.address then
    return "", ("%s/%d expected, got '%s'"):format(address.format(first), network.prefix, value)
  end
end

--- Two networks, the second of which may be absent, are of different families.
-- @tparam table value
-- @tparam string key
-- @tparam string other
function rules.families (value, key, other)
  if value[other] and (value[key]:find ":" ~= nil) == (value[other]:find ":" ~= nil) then
    return "." .. other, ("a network of the other family than %s expected, got '%s'"):format(value[key], value[other])
  end
end

--- A name that the kernel takes for a network interface; its length is the record's affair.
-- @tparam string value
function rules.link (value)
  if value == "" or value == "." or value == ".." or value:find "[/:%s]" then
    return "", ("name of a network interface expected, got '%s'"):format(value)
  end
end

return rules
