--- Making the network that a configuration describes, each thing with its undo.
-- Afterwards `vm.taps[i]`, `host_dev_name` in the machine's configuration too, names the tap of each interface, `vm.addresses` is what
-- the guest is told, and `vm.netns` the namespace.
-- @module firecracker.network.setup

local check = require "firecracker.network.check"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local guest = require "firecracker.network.guest"
local lease = require "firecracker.network.lease"
local models = require "firecracker.api.models"
local network = require "firecracker.network"
local tap = require "firecracker.network.tap"

local setup = {}

-- Makers: each gives the tap's name and what the guest is told, if anything.
local makers = {}

function makers.tap (vm, net, i)
  return tap.make(vm, net, i)
end

function makers.bridge (vm, net, i)
  local name, field = vm.config.network_interfaces[i].bridge, ("network_interfaces[%d].bridge"):format(i)
  local link, err = net:link(name)
  if not link and err.errno == "ENODEV" then
    return tap.refuse(field, ("no bridge '%s' on this host"):format(name),
      { code = "config", hint = "ip link add " .. name .. " type bridge" })
  elseif not link then
    return tap.refuse(field, err.message, err)
  elseif link.kind ~= "bridge" then
    return tap.refuse(field, ("'%s' is no bridge"):format(name))
  end
  return tap.make(vm, net, i, { master = name, mtu = link.mtu })
end

function makers.nat (vm, net, i)
  return require "firecracker.network.nat".make(vm, net, i)
end

function makers.cni (vm, net, i)
  return require "firecracker.network.cni.attach".make(vm, net, i)
end

function makers.host_dev_name (vm, net, i)
  local name = vm.config.network_interfaces[i].host_dev_name
  local link, err = tap.find(net, ("network_interfaces[%d]"):format(i), name)
  return link and name, err
end

local ORDER <const> = { "cni", "nat", "bridge", "tap", "host_dev_name" }

local function maker_of (interface)
  for _, key in ipairs(ORDER) do
    if interface[key] then
      return key
    end
  end
end

local function makes_something (config)
  for _, interface in ipairs(config.network_interfaces) do
    if maker_of(interface) ~= "host_dev_name" then
      return true
    end
  end
  return false
end

local function make_interface (vm, net, i)
  local name, told = makers[maker_of(vm.config.network_interfaces[i])](vm, net, i)
  if not name then
    return nil, told
  end
  vm.taps[i], vm.config.network_interfaces[i].host_dev_name = name, name
  local element = told and guest.element(vm.config, i, told) or guest.static(vm.config, i)
  vm.addresses[#vm.addresses + 1] = element
  return true
end

--- Make the network.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function setup.run (vm)
  local config = vm.config
  local wanted = check.namespace(config)
  local ok, err = true, nil
  if wanted or makes_something(config) then
    ok, err = vm:own_directory()   -- names derive from the id, which is settled then
  end
  if ok and wanted then
    ok, err = require "firecracker.network.namespace".enter(vm, wanted)
  end
  if not ok then
    return nil, err
  end
  vm.taps, vm.addresses, vm.nat, vm.attachments = {}, core.json.array {}, {}, {}
  local net <close>, problem = network.open(vm.netns and vm.netns.fd)
  if not net then
    return nil, problem
  end
  for i in ipairs(config.network_interfaces) do
    ok, err = make_interface(vm, net, i)
    if not ok then
      return nil, err
    end
  end
  if #vm.nat > 0 then
    return require "firecracker.network.nat".finish(vm, net)
  end
  return true
end

--- Look for a tap where the machine's VMM is.
-- @tparam table vm
-- @tparam string name
-- @treturn[1] table link
-- @return[2] nil
-- @treturn[2] err
function setup.find_tap (vm, name)
  local net <close>, err = network.open(vm.netns and vm.netns.fd)
  if not net then
    return nil, err
  end
  return tap.find(net, nil, name)
end

--- The body of the request that makes an interface.
-- @tparam table vm
-- @tparam int i
-- @treturn table
function setup.body (vm, i)
  local interface, body = vm.config.network_interfaces[i], {}
  for _, field in ipairs(models.NetworkInterface.fields) do
    body[field.name] = interface[field.name]
  end
  for _, element in ipairs(vm.addresses or {}) do
    if element.iface_id == interface.iface_id then
      body.guest_mac = body.guest_mac or element.mac
    end
  end
  return body
end

--- Let the machine's leases last as long as its VMM.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function setup.hand_over (vm)
  if not vm.leased or not vm.pid then
    return true
  end
  return lease.hand_over(vm.config.run_dir, vm.id, vm.pid)
end

--- Ask the plugins whether the machine's networks are as they made them.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "cni" or "timeout"
function setup.check (vm)
  for _, attachment in ipairs(vm.attachments or {}) do
    local ok, err = require "firecracker.network.cni".check(attachment)
    if not ok then
      return nil, errors.context(err, ("network_interfaces[%d].cni"):format(attachment.i))
    end
  end
  return true
end

return setup
