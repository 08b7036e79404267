--- Taps of a machine: those that are there, and those that are made for it.
-- @module firecracker.network.tap

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local names = require "firecracker.network.names"
local network = require "firecracker.network"

local tap = {}

--- The error of what the configuration asks for and the host does not have or does not let us do.
-- @tparam ?string field of the configuration; nil: `host_dev_name` of a call
-- @tparam string message
-- @tparam[opt] table err the cause: `errno`, `path` are kept
-- @return nil
-- @treturn table err code "config", or that of the cause
function tap.refuse (field, message, err)
  local errno = err and err.errno
  return nil, errors.new {
    code = err and err.code or "config", field = field or "host_dev_name", errno = errno,
    message = field and ("config.%s: %s"):format(field, message) or message,
    hint = (errno == "EPERM" or errno == "EACCES") and "it needs CAP_NET_ADMIN; a tap that root has made for this user (tap.owner) does not"
      or err and err.hint or nil,
  }
end

--- Find a tap that is there. The VMM would make a missing one, so that a typing error became an interface.
-- @tparam table net of the machine's namespace
-- @tparam ?string at the interface's place in the configuration
-- @tparam string name
-- @treturn[1] table link
-- @return[2] nil
-- @treturn[2] err
function tap.find (net, at, name)
  local field = at and at .. ".host_dev_name"
  local link, err = net:link(name)
  if not link and err.errno == "ENODEV" then
    err.hint = "ip tuntap add mode tap " .. name
    return tap.refuse(field, ("no interface '%s' on this host"):format(name), { code = "config", hint = err.hint })
  elseif not link then
    return tap.refuse(field, err.message, err)
  elseif not link.tap then
    return tap.refuse(field, ("'%s' is no tap"):format(name))
  elseif link.tap.multi_queue then
    return tap.refuse(field, ("'%s' has several queues, Firecracker takes one"):format(name))
  end
  return link
end

--- Remove a link when the machine ends; one that is gone is no error.
-- @tparam table vm
-- @tparam string what for reports
-- @tparam string name
-- @tparam ?table place descriptor of the namespace it is in; nil: the caller's
function tap.defer_removal (vm, what, name, place)
  vm:defer(what, function ()
    local net <close>, err = network.open(place)
    local ok
    if net then
      ok, err = net:delete_link(name)
    end
    if not ok and err.errno ~= "ENODEV" then
      return nil, err
    end
    return true
  end, { link = name, netns = vm.netns and vm.netns.name })
end

--- Make a tap for an interface; it goes with the machine.
-- @tparam table vm
-- @tparam table net
-- @tparam int i
-- @tparam[opt] table more `mtu`, `master`
-- @treturn[1] string its name
-- @return[2] nil
-- @treturn[2] err
function tap.make (vm, net, i, more)
  local interface = vm.config.network_interfaces[i]
  local options, jailer = interface.tap or {}, vm.config.jailer or {}
  local name = interface.host_dev_name or names.tap(vm.id, i)
  local ok, err = net:add_tap {
    name = name, vnet_hdr = true, up = true, owner = options.owner or jailer.uid or core.files.euid(),
    group = options.group or jailer.gid, mtu = options.mtu or more and more.mtu, master = more and more.master,
  }
  if not ok then
    return tap.refuse(("network_interfaces[%d].%s"):format(i, interface.tap and "tap" or interface.bridge and "bridge"
      or interface.nat and "nat" or "cni"), err.message, err)
  end
  tap.defer_removal(vm, "tap " .. name, name, vm.netns and vm.netns.fd)
  return name
end

return tap
