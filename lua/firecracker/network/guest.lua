--- What a guest is told of its network: `ip=` for its kernel, and all of it as `vm.addresses`, a list with an element for
-- each interface that has addresses:
-- `{ iface_id =, if_name =, mac =, mtu =, addresses = { "10.0.0.2/24", … }, gateways = {…}, nameservers = {…}, routes = {…},
-- search = {…}, domain =, kernel = true where ip= carries its first }`.
-- @module firecracker.network.guest

local address = require "firecracker.network.address"
local core = require "firecracker.core"
local kernel_args = require "firecracker.kernel_args"

local array = core.json.array
local guest = {}

local MOST_NAMESERVERS <const> = 2   -- that ip= carries

local function copy (list)
  return array(table.move(list or {}, 1, #(list or {}), 1, {}))
end

local function first_of_four (list)
  for _, text in ipairs(list) do
    if not text:find(":", 1, true) then
      return text
    end
  end
end

--- The element of an interface.
-- @tparam table config of the machine
-- @tparam int i which interface
-- @tparam table found `addresses`, and what else there is
-- @treturn table
function guest.element (config, i, found)
  local interface = config.network_interfaces[i]
  return {
    iface_id = interface.iface_id, if_name = found.if_name or "eth" .. i - 1, named = found.if_name ~= nil or nil,
    mac = interface.guest_mac or found.mac, mtu = interface.mtu or found.mtu, addresses = copy(found.addresses),
    gateways = copy(found.gateways), nameservers = copy(found.nameservers), routes = found.routes and copy(found.routes),
    search = found.search and copy(found.search), domain = found.domain,
  }
end

--- The element of an interface with addresses of the user's, nil for another.
-- @tparam table config
-- @tparam int i
-- @treturn ?table
function guest.static (config, i)
  local interface = config.network_interfaces[i]
  local static = interface.static
  return static and guest.element(config, i, { if_name = static.if_name, addresses = static.ip, gateways = static.gateway,
    nameservers = static.nameservers, mtu = interface.tap and interface.tap.mtu })
end

--- The value of the kernel's `ip=`: it takes one, of IPv4, for one interface.
-- @tparam table element
-- @tparam boolean alone the machine has one interface: it needs no name
-- @treturn ?string `10.0.0.2::10.0.0.1:255.255.255.0::eth0:off:1.1.1.1:`; nil without an address of IPv4
function guest.ip (element, alone)
  local first = first_of_four(element.addresses)
  if not first then
    return nil
  end
  local network, servers = address.cidr(first), {}
  for _, server in ipairs(element.nameservers) do
    if #servers < MOST_NAMESERVERS and not server:find(":", 1, true) then
      servers[#servers + 1] = server
    end
  end
  return table.concat({
    address.format(network.address), "", first_of_four(element.gateways) or "",
    address.format(address.mask(network.prefix, 4)), "", alone and not element.named and "" or element.if_name, "off",
    servers[1] or "", servers[2] or "",
  }, ":")
end

--- Add `ip=` to a machine's command line, for its first interface that has an address of IPv4. One that is there stays.
-- @tparam table vm has `addresses`, or only static ones
function guest.set_kernel_args (vm)
  local config, source = vm.config, vm.config.boot_source
  local elements = vm.addresses
  if not elements then
    elements = {}
    for i in ipairs(config.network_interfaces) do
      elements[#elements + 1] = guest.static(config, i)
    end
  end
  local args = kernel_args.new(source.boot_args)
  if vm.ip_argument then   -- of a try before
    args:remove("ip", vm.ip_argument)
  end
  vm.ip_argument = nil
  for _, element in ipairs(elements) do
    local ip = not vm.ip_argument and not args:get "ip" and guest.ip(element, #config.network_interfaces == 1)
    element.kernel = ip and true or nil
    if ip then
      vm.ip_argument = ip
      args:add("ip", ip)
    end
  end
  source.boot_args = tostring(args)
end

--- The metadata with the addresses in them, where the configuration asks for that.
-- @tparam table vm
-- @treturn ?table
function guest.metadata (vm)
  local key, data = vm.config.mmds_addresses, vm.config.mmds
  if not key then
    return data
  end
  local result = {}
  for name, value in pairs(data or {}) do
    result[name] = value
  end
  result[key] = array {}
  for i, element in ipairs(vm.addresses or {}) do
    local shown = {}
    for name, value in pairs(element) do
      shown[name] = value
    end
    shown.named, shown.kernel = nil, element.kernel or false
    result[key][i] = shown
  end
  return result
end

--- How the guest reaches its metadata: what is configured, and the interfaces that allow it; of a snapshot nothing.
-- @tparam table config
-- @treturn ?table a body for the API
function guest.mmds_config (config)
  local ids, known = {}, {}
  local given = config.mmds_config
  if config.snapshot then   -- which holds it
    return given
  end
  for _, id in ipairs(given and given.network_interfaces or {}) do
    ids[#ids + 1], known[id] = id, true
  end
  for _, interface in ipairs(config.network_interfaces) do
    if interface.allow_mmds and not known[interface.iface_id] then
      ids[#ids + 1] = interface.iface_id
    end
  end
  if #ids == 0 then
    return given
  end
  local body = not given and { version = "V2" } or {}
  for key, value in pairs(given or {}) do
    body[key] = value
  end
  body.network_interfaces = array(ids)
  return body
end

return guest
