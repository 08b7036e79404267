--- What a CNI result says of a guest.
-- @module firecracker.network.cni.result

local address = require "firecracker.network.address"
local core = require "firecracker.core"
local errors = require "firecracker.errors"

local result = {}

local LONGEST <const> = 15   -- bytes of a link's name

-- Leaves the reading.
local function refuse (message, ...)
  error(errors.new { code = "cni", message = "the result: " .. message:format(...) }, 0)
end

local function list (from, key)
  local value = from[key]
  if value == nil or value == core.json.null then
    return {}
  elseif type(value) ~= "table" or (next(value) ~= nil and #value == 0) then
    refuse("%s: list expected", key)
  end
  for i, each in ipairs(value) do
    if type(each) ~= "table" and type(each) ~= "string" then
      refuse("%s[%d]: object or string expected", key, i - 1)
    end
  end
  return value
end

local function text (from, key, where)
  local value = type(from) == "table" and from[key] or nil
  if value == nil or value == core.json.null or value == "" then
    return nil
  elseif type(value) ~= "string" or #value > 4096 or value:find "%c" then
    refuse("%s.%s: text expected", where, key)
  end
  return value
end

-- Texts that are addresses.
local function parsed (verb, value, where)
  if value and not address[verb](value) then
    refuse("%s: '%s' is no address", where, value)
  end
  return value
end

-- The interface that is the guest's, its index from 0, and the name of the tap that a plugin made for it.
local function find (interfaces, if_name, netns, id)
  local own, tap
  for i, each in ipairs(interfaces) do
    local where = ("interfaces[%d]"):format(i - 1)
    if text(each, "sandbox", where) == id then
      own, tap = i, text(each, "name", where)
    end
  end
  if tap then
    return own, tap
  end
  for i, each in ipairs(interfaces) do
    local where = ("interfaces[%d]"):format(i - 1)
    if text(each, "name", where) == if_name and text(each, "sandbox", where) == netns then
      return i
    end
  end
end

local function read (value, if_name, netns, id)
  local interfaces, dns = list(value, "interfaces"), value.dns
  local own, tap = find(interfaces, if_name, netns, id)
  if not own and #interfaces > 0 then
    refuse("no interface '%s' in %s", if_name, netns)
  end
  if tap and (#tap > LONGEST or tap:find "[%s/:%%]" or tap == "." or tap == "..") then
    refuse("interfaces: '%s' is no name of a tap", tap)
  end
  local found = { tap = tap, addresses = {}, gateways = {}, nameservers = {}, routes = {}, search = {} }
  found.mac = own and text(interfaces[own], "mac", "interfaces")
  parsed("mac", found.mac, "interfaces.mac")
  for i, ip in ipairs(list(value, "ips")) do
    local where = ("ips[%d]"):format(i - 1)
    local index = type(ip) == "table" and ip.interface
    local cidr = parsed("cidr", text(ip, "address", where), where .. ".address")
    if not cidr then
      refuse("%s.address: address expected", where)
    elseif index == nil or index == core.json.null or index == (own or 1) - 1 then
      found.addresses[#found.addresses + 1] = cidr
      found.gateways[#found.gateways + 1] = parsed("parse", text(ip, "gateway", where), where .. ".gateway")
    end
  end
  for i, route in ipairs(list(value, "routes")) do
    local where = ("routes[%d]"):format(i - 1)
    found.routes[i] = { dst = parsed("cidr", text(route, "dst", where), where .. ".dst"),
                        gw = parsed("parse", text(route, "gw", where), where .. ".gw") }
  end
  if type(dns) == "table" then
    for i, server in ipairs(list(dns, "nameservers")) do
      found.nameservers[i] = parsed("parse", type(server) == "string" and server or "", "dns.nameservers")
    end
    for i, domain in ipairs(list(dns, "search")) do
      found.search[i] = text({ domain = domain }, "domain", "dns.search")
    end
    found.domain = text(dns, "domain", "dns")
  end
  return found
end

--- Read a result of version 0.3 to 1.1.
-- @tparam table value decoded
-- @tparam string if_name CNI_IFNAME
-- @tparam string netns CNI_NETNS
-- @tparam string id CNI_CONTAINERID
-- @treturn[1] table `mac`, `addresses`, `gateways`, `routes`, `nameservers`, `search`, `domain`; `tap` where a plugin made it
-- @return[2] nil
-- @treturn[2] err code "cni"
function result.read (value, if_name, netns, id)
  local ok, found = errors.pcall(read, value, if_name, netns, id)
  if ok then
    return found
  end
  return nil, found
end

return result
