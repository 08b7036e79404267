--- An interface whose network plugins make: its namespace is attached, and its link there joined to a tap.
-- @module firecracker.network.cni.attach

local cni = require "firecracker.network.cni"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local network = require "firecracker.network"
local result = require "firecracker.network.cni.result"
local tap = require "firecracker.network.tap"

local attach = {}

-- What tc-redirect-tap does: all that comes to the link of the plugins goes to the tap, and back.
local function redirect (vm, net, i, if_name)
  local link, err = net:link(if_name)
  local name, ok
  if link then
    name, err = tap.make(vm, net, i, { mtu = link.mtu })
  end
  if not name then
    return nil, err
  end
  ok, err = net:redirect(if_name, name)
  if not ok then
    return nil, err
  end
  local fd = vm.netns.fd
  vm:defer("redirect of " .. if_name, function ()
    local inside <close>, problem = network.open(fd)
    local done
    if inside then
      done, problem = inside:delete_ingress(if_name)
    end
    if done or problem.errno == "ENODEV" or problem.errno == "ENOENT" or problem.errno == "EINVAL" then
      return true
    end
    return nil, problem
  end, { link = if_name, netns = vm.netns.name })
  return name, link
end

--- Attach an interface.
-- @tparam table vm has `netns`
-- @tparam table net of that namespace
-- @tparam int i
-- @treturn[1] string the tap's name
-- @treturn[1] table what the guest is told
-- @return[2] nil
-- @treturn[2] err code "cni", …
function attach.make (vm, net, i)
  local options, field = vm.config.network_interfaces[i].cni, ("network_interfaces[%d].cni"):format(i)
  local list, err = cni.load(options)
  if not list then
    return tap.refuse(field, err.message, err)
  end
  local attachment = {
    i = i, network = list, options = options, id = vm.id:find "^%w" and vm.id or "vm" .. vm.id, netns = vm.netns.path,
    directory = vm.directory,
  }
  vm:defer("CNI network " .. list.name, function ()   -- also of an ADD that did not succeed
    return loop.under(core.now() + vm.config.timeouts.stop, cni.delete, attachment)
  end, { cni = list.name, if_name = options.if_name, netns = vm.netns.name })
  local answer, found, name, link
  answer, err = cni.add(attachment)
  if answer then
    found, err = result.read(answer, options.if_name, attachment.netns, attachment.id)
  end
  if found and found.tap then
    link, err = tap.find(net, nil, found.tap)
    if link then
      name = found.tap
    else
      err.code, err.hint = "cni", nil
      errors.context(err, "the result")
    end
  elseif found then
    name, link = redirect(vm, net, i, options.if_name)
    err = link
  end
  if not name then
    return tap.refuse(field, err.message, err)
  end
  found.mac, found.mtu, found.if_name = found.mac or link.mac, link.mtu, options.vm_if_name
  table.insert(vm.attachments, attachment)
  return name, found
end

return attach
