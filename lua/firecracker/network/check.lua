--- The checks of a network's configuration that concern several fields, and the host; nothing is created.
-- What is misspelt or malformed was refused when the machine was made.
-- @module firecracker.network.check

local address = require "firecracker.network.address"
local errors = require "firecracker.errors"
local kernel_args = require "firecracker.kernel_args"

local check = {}

local LINK_LOCAL <const> = address.cidr "fe80::/10"   -- where a router of IPv6 may be, whatever the networks

-- Leaves the check with an error.
local function refuse (field, message, ...)
  error(errors.new { code = "config", field = field, message = ("config.%s: %s"):format(field, message:format(...)) }, 0)
end

-- Each value is taken by one field.
local function claim (taken, kind, value, field)
  local key = kind .. " " .. value
  if taken[key] then
    refuse(field, "'%s' is used by %s as well", value, taken[key])
  end
  taken[key] = field
end

local function check_mac (at, text)
  local first = text and address.mac(text):byte()
  if first and first & 1 == 1 then
    refuse(at .. ".guest_mac", "an address of one station expected, got '%s', of a group", text)
  elseif text and not text:find "[^0:]" then
    refuse(at .. ".guest_mac", "an address other than %s expected", text)
  end
end

-- An address that a station can have in its network.
local function check_host (field, bytes, network)
  local most = #bytes * 8 - 2
  if network.prefix <= most and (bytes == address.first(network) or (#bytes == 4 and bytes == address.last(network))) then
    refuse(field, "an address of a station expected, got '%s', of all of %s/%d", address.format(bytes),
      address.format(address.first(network)), network.prefix)
  end
end

local function check_static (at, static, taken)
  local networks = {}
  for i, text in ipairs(static.ip) do
    local field = ("%s.static.ip[%d]"):format(at, i)
    networks[i] = address.cidr(text)
    check_host(field, networks[i].address, networks[i])
    claim(taken, "address", address.format(networks[i].address), field)
  end
  local given = {}
  for i, text in ipairs(static.gateway or {}) do
    local field, bytes = ("%s.static.gateway[%d]"):format(at, i), address.parse(text)
    local inside = address.contains(LINK_LOCAL, bytes)
    for _, network in ipairs(networks) do
      inside = inside or address.contains(network, bytes)
      if network.address == bytes then
        refuse(field, "'%s' is the guest's own address", text)
      end
    end
    if not inside then
      refuse(field, "'%s' is in none of its networks (%s)", text, table.concat(static.ip, ", "))
    end
    if given[#bytes] then
      refuse(field, "'%s' is one more of the family of '%s'", text, given[#bytes])
    end
    given[#bytes] = text
  end
end

local function overlap (a, b)
  return address.contains(a, b.address) or address.contains(b, a.address)
end

local function check_nat (at, nat, networks)
  for _, key in ipairs { "subnet", "subnet6" } do
    local network = nat[key] and address.cidr(nat[key])
    for _, other in ipairs(network and networks or {}) do
      if overlap(network, other.network) then
        refuse(("%s.nat.%s"):format(at, key), "%s overlaps %s", nat[key], other.field)
      end
    end
    networks[#networks + 1] = network and { network = network, field = ("%s.nat.%s"):format(at, key) }
  end
  local bytes = nat.address and address.parse(nat.address)
  local network = address.cidr(nat.subnet)
  if bytes then
    local field = at .. ".nat.address"
    if not address.contains(network, bytes) then
      refuse(field, "'%s' is not in %s", nat.address, nat.subnet)
    end
    check_host(field, bytes, network)
    if bytes == address.next(address.first(network)) then
      refuse(field, "'%s' is the gateway's", nat.address)
    end
  end
  local found, err = require "firecracker.network.command".find "nft"
  if not found then
    refuse(at .. ".nat", "%s", err.message)
  end
end

local function check_cni (i, at, config, taken)
  local cni = config.network_interfaces[i].cni
  claim(taken, "if_name", cni.if_name, at .. ".cni.if_name")
  local list, err = require "firecracker.network.cni".load(cni)
  if not list then
    err.code, err.field = "config", ("%s.cni.%s"):format(at, err.field or "network_name")
    err.message = ("config.%s: %s"):format(err.field, err.message)
    error(err, 0)
  end
end

--- The namespace that a machine wants: where there are plugins it is one of its own in any case.
-- @tparam table config
-- @treturn ?string|boolean a name; true: one of its own
function check.namespace (config)
  local own = nil
  for _, interface in ipairs(config.network_interfaces) do
    own = own or interface.cni and true or nil
  end
  return config.netns or own
end

local function check_place (at, interface, config)
  local own = check.namespace(config) == true
  local made = interface.tap or interface.bridge or interface.nat or interface.cni
  if own and interface.nat and (interface.nat.subnet .. (interface.nat.subnet6 or "")):find ":" then
    refuse(at .. ".nat", "%s", require "firecracker.network.nat".NO_WAY_OUT)
  elseif interface.bridge and own then
    refuse(at .. ".bridge", "'%s' cannot be in a namespace of the machine's own", interface.bridge)
  elseif own and not made then
    refuse(at .. ".host_dev_name", "'%s' cannot be in a namespace of the machine's own; tap = true makes it", interface.host_dev_name)
  end
end

local function run (config)
  local taken, networks, brings_ip = {}, {}, nil
  for i, interface in ipairs(config.network_interfaces) do
    local at = ("network_interfaces[%d]"):format(i)
    if interface.host_dev_name then
      claim(taken, "tap", interface.host_dev_name, at .. ".host_dev_name")
    end
    check_mac(at, interface.guest_mac)
    check_place(at, interface, config)
    if interface.static then
      check_static(at, interface.static, taken)
    elseif interface.nat then
      check_nat(at, interface.nat, networks)
    elseif interface.cni then
      check_cni(i, at, config, taken)
    end
    local section = interface.static and "static" or interface.nat and "nat" or interface.cni and "cni"
    brings_ip = brings_ip or (section and not (interface.static and not table.concat(interface.static.ip, " "):find "%.%d+/")
      and at .. "." .. section)
  end
  local line = config.boot_source and config.boot_source.boot_args
  if brings_ip and line and kernel_args.new(line):get "ip" then
    refuse("boot_source.boot_args", "ip= is given twice: %s brings one as well", brings_ip)
  end
end

--- Check.
-- @tparam table config
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config", with `field`
function check.run (config)
  local ok, err = errors.pcall(run, config)
  if ok then
    return true
  end
  return nil, err
end

return check
