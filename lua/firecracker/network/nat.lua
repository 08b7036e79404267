--- Interfaces that reach the world through the host: a tap with the gateway's address, a leased address for the guest,
-- a route to it, forwarding, and masquerading by one table of nftables for the whole machine.
-- Each guest has its own wire: within a subnet of IPv4 the host answers for the others, so that they reach each other.
-- Forwarding, once on, stays on: others may count on it.
-- @module firecracker.network.nat

local address = require "firecracker.network.address"
local command = require "firecracker.network.command"
local errors = require "firecracker.errors"
local lease = require "firecracker.network.lease"
local names = require "firecracker.network.names"
local network = require "firecracker.network"
local tap = require "firecracker.network.tap"

local nat = {}

local SECONDS <const> = 30            -- that nft may take
local MOST_TRIES <const> = 1 << 16    -- addresses of a large subnet
--- Why a guest of IPv6 cannot be in a namespace that the machine makes.
nat.NO_WAY_OUT = "IPv6 has no way out of a namespace of the machine's own; name one that is there and has"

local HERE <const>, THERE <const> = "169.254.0.1", "169.254.0.2"   -- the ends of a way out, known on its wire alone

-- A guest that is restored remembers addresses; its snapshot's manifest is known, unless validation was skipped.
local function learn_addresses (vm)
  if vm.config.snapshot then
    return require "firecracker.snapshot.source".learn(vm)
  end
  return true
end

-- The address of a subnet that the guest of a snapshot remembers.
local function remembered (vm, id, subnet)
  local known = vm.manifest and vm.manifest.host and vm.manifest.host.addresses
  for _, text in ipairs(known and known[id] or {}) do
    local bytes = address.cidr(text).address
    if address.contains(subnet, bytes) and bytes > address.next(address.first(subnet)) and bytes < address.last(subnet) then
      return address.format(bytes)
    end
  end
end

-- The addresses of a subnet that a guest may get: all but the first (the network), the second (the gateway) and the last;
-- the `best` before all others.
local function candidates (subnet, wanted, best)
  if wanted then
    local given = false
    return function ()
      local text = not given and wanted or nil
      given = true
      return text
    end
  end
  local bytes, last, tries = address.next(address.first(subnet)), address.last(subnet), 0
  return function ()
    if best then
      local text = best
      best = nil
      return text
    end
    bytes, tries = address.next(bytes), tries + 1
    return bytes < last and tries <= MOST_TRIES and address.format(bytes) or nil
  end
end

local function take_address (vm, field, interface, text, wanted)
  local run_dir, id, subnet = vm.config.run_dir, vm.id, address.cidr(text)
  local best = not wanted and remembered(vm, interface, subnet) or nil
  local taken, err = lease.take(run_dir, id, candidates(subnet, wanted, best), text)
  if not taken then
    return tap.refuse(field, err.message, err)
  end
  vm.leased = true
  vm:defer("lease of " .. taken, function ()
    return lease.give_back(run_dir, id, taken)
  end, { lease = taken })
  if best and taken ~= best then
    vm:emit { event = "warning", level = "warn", message = ("config.%s: the guest of the snapshot has %s, which is taken: " ..
      "it is let out once it has %s"):format(field, best, taken) }
  end
  return taken
end

-- Make the namespace forward what comes in.
local function forward (net, six)
  local key = six and "ipv6/conf/all/forwarding" or "ipv4/ip_forward"
  local value, err = net:sysctl(key)
  if value == "0" and six then
    return nil, errors.new { code = "config", message = "IPv6 forwarding is off, and turning it on changes how a host learns its routes",
                             hint = "sysctl -w net.ipv6.conf.all.forwarding=1" }
  elseif value == "0" then
    value, err = net:sysctl(key, "1")
  end
  return value, err
end

-- One family of an interface, `subnet` or `subnet6`: the gateway's address on the tap, the way to the guest.
local function wire (vm, net, i, key, name)
  local interface, field = vm.config.network_interfaces[i], ("network_interfaces[%d].nat.%s"):format(i, key)
  local text = interface.nat[key]
  local subnet = address.cidr(text)
  local six = #subnet.address == 16
  if six and vm.netns and vm.netns.own then   -- named, so that the check could not know
    return tap.refuse(field, nat.NO_WAY_OUT, { code = "config" })
  end
  local guest, err = take_address(vm, field, interface.iface_id, text, key == "subnet" and interface.nat.address or nil)
  if not guest then
    return nil, err
  end
  local gateway, alone = address.format(address.next(address.first(subnet))), six and "/128" or "/32"
  local ok
  ok, err = net:add_address(name, gateway .. alone, { nodad = six })
  if ok then
    ok, err = net:add_route { to = guest .. alone, link = name, source = gateway }
  end
  if ok then
    ok, err = forward(net, six)
  end
  if ok and not six then
    ok, err = net:sysctl(("ipv4/conf/%s/proxy_arp"):format(name), "1")
  end
  if not ok then
    return tap.refuse(field, err.message, err)
  end
  return { field = field, six = six, guest = guest, gateway = gateway, subnet = text, cidr = ("%s/%d"):format(guest, subnet.prefix),
           tap = name, interface = interface.nat.interface }
end

--- Make an interface. Its guests reach the host; @{finish} lets them out.
-- @tparam table vm
-- @tparam table net of its namespace
-- @tparam int i
-- @treturn[1] string the tap's name
-- @treturn[1] table what the guest is told: `addresses`, `gateways`, `nameservers`
-- @return[2] nil
-- @treturn[2] err
function nat.make (vm, net, i)
  local options = vm.config.network_interfaces[i].nat
  local ok, err = learn_addresses(vm)
  local name
  if ok then
    name, err = tap.make(vm, net, i)
  end
  if not name then
    return nil, err
  end
  local told = { addresses = {}, gateways = {}, nameservers = options.nameservers }
  for _, key in ipairs { "subnet", "subnet6" } do
    local made
    if options[key] then
      made, err = wire(vm, net, i, key, name)
      if not made then
        return nil, err
      end
      table.insert(vm.nat, made)
      table.insert(told.addresses, made.cidr)
      table.insert(told.gateways, made.gateway)
    end
  end
  return name, told
end

-- A pair of links from a namespace of the machine's own to where this process is.
local function open_way_out (vm, net)
  local host <close>, err = network.open()
  if not host then
    return nil, err
  end
  local name = names.uplink(vm.id)
  local ok
  ok, err = host:add_link { kind = "veth", name = name, peer = "uplink", peer_netns = vm.netns.fd, up = true }
  if not ok then
    return nil, err
  end
  tap.defer_removal(vm, "link " .. name, name)
  local function try (on, verb, ...)
    if ok then
      ok, err = on[verb](on, ...)
    end
  end
  try(host, "add_address", name, HERE .. "/32")
  try(net, "set_link", "uplink", { up = true })
  try(net, "add_address", "uplink", THERE .. "/32")
  for _, each in ipairs(vm.nat) do
    try(host, "add_route", { to = each.guest .. "/32", via = THERE, link = name, onlink = true })
  end
  try(net, "add_route", { to = "default", via = HERE, link = "uplink", onlink = true })
  if ok then
    ok, err = forward(host, false)
  end
  return ok, err
end

-- What is let through from where guests come in: what has an address of theirs, and nothing of a family in which they have none.
local function spoofs (vm, inside)
  local links, lines = {}, {}
  for _, each in ipairs(vm.nat) do
    local name, family = inside and each.tap or names.uplink(vm.id), each.six and "ip6" or "ip"
    if not links[name] then
      links[name] = { ip = {}, ip6 = {} }
      links[#links + 1] = name
    end
    table.insert(links[name][family], each.guest)
  end
  for _, name in ipairs(links) do
    for _, family in ipairs { "ip", "ip6" } do
      local guests = links[name][family]
      lines[#lines + 1] = ('  iifname "%s" %s drop'):format(name, #guests == 0 and "meta nfproto " .. (family == "ip" and "ipv4" or "ipv6")
        or ("%s saddr != { %s }"):format(family, table.concat(guests, ", ")))
    end
  end
  return table.concat(lines, "\n")
end

-- The whole table of a machine. Rules are for its guests' addresses alone.
local function rules (vm, inside)
  local lines = { ("create table inet %s"):format(names.table(vm.id)), ("table inet %s {"):format(names.table(vm.id)),
                  " chain postrouting {", "  type nat hook postrouting priority 100; policy accept;" }
  for _, each in ipairs(vm.nat) do
    local ip = each.six and "ip6" or "ip"
    lines[#lines + 1] = ("  %s saddr %s %s daddr != %s%s masquerade"):format(ip, each.guest, ip, each.subnet,
      each.interface and (' oifname "%s"'):format(each.interface) or "")
  end
  lines[#lines + 1] = " }\n chain forward {\n  type filter hook forward priority 0; policy accept;"
  lines[#lines + 1] = spoofs(vm, inside)
  lines[#lines + 1] = " }\n}\n"
  return table.concat(lines, "\n")
end

local function nft (vm, netns, text)
  local path, err = command.find "nft"
  if not path then
    return nil, err
  end
  local out, status, stderr = command.run {
    path = path, argv = { "nft", "-f", "-" }, environment = { "PATH=" .. command.path() }, input = text, netns = netns,
    directory = vm.directory, timeout = SECONDS,
  }
  if not out then
    return nil, status
  elseif status ~= 0 then
    return nil, errors.new { code = "nft", status = status, message = "nft: " .. stderr:match "^%s*(.-)%s*$",
                             errno = stderr:find "Operation not permitted" and "EPERM" or nil }
  end
  return true
end

--- Let the guests of all interfaces out: one table, made and removed in one step each.
-- @tparam table vm
-- @tparam table net of its namespace
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function nat.finish (vm, net)
  local inside, netns = true, vm.netns and vm.netns.fd
  local ok, err = true, nil
  if vm.netns and vm.netns.own then
    ok, err = open_way_out(vm, net)
    inside, netns = false, nil
  end
  local name, refused = names.table(vm.id), false
  if ok then
    -- before it is made: of an nft that is given up nobody knows how far it came. Links of this id are ours, so is a table
    vm:defer("nftables " .. name, function ()
      if refused then
        return true
      end
      return nft(vm, netns, ("table inet %s\ndelete table inet %s\n"):format(name, name))
    end, { nft_table = name, netns = vm.netns and vm.netns.name })
    ok, err = nft(vm, netns, rules(vm, inside))
    refused = not ok and (err.code == "spawn" or (err.status or -1) > 0)
  end
  if not ok then
    return tap.refuse(vm.nat[1].field, err.message, err)
  end
  return true
end

return nat
