--- Network primitives, for use by themselves: namespaces, links, addresses, routes, neighbours, redirects.
--
--    net = assert(fc.net.open())                       -- or open "blue", of namespace blue
--    net:add_tap { name = "tap0", owner = 1000, vnet_hdr = true, up = true }
--    net:add_address("tap0", "10.0.0.1/24")
--
-- They do exactly what they say: what exists is not made again (`EEXIST`), what is gone cannot be deleted (`ENODEV`,
-- `ESRCH`, `EADDRNOTAVAIL`, `ENOENT`), nothing is taken back later. What fails is `nil, err` with `err.errno`, code "netlink"
-- (of namespaces and files "system") and the kernel's explanation in `err.message`; wrong arguments raise.
-- The calling thread never changes its namespace, and nothing waits but for the kernel.
--
-- A namespace has `name` (nil for one without), `path` (for other programs) and `fd` (a descriptor of the core, for
-- `core.process.spawn`). A `net` is the network of one namespace; links are named by their names, as they are at the call.
-- @module firecracker.network

local errors = require "firecracker.errors"
local core = require "firecracker.core.net"

local netns, netlink = core.netns, core.netlink
local network = {}

-- Call the core: its misuse becomes an error object, its failure gets the user's line.
local function finish (what, ok, value, ...)
  if not ok then
    if errors.is(value) or value == "not enough memory" then
      error(value, 0)
    end
    errors.raise(2, { code = "usage", message = ("%s: %s"):format(what, value), field = tostring(value):match "^([%w_]+): " })
  elseif value == nil and ... then
    local err = ...
    err.where = err.where or errors.where(2)
  end
  return value, ...
end

-- Namespaces --------------------------------------------------------------------------------------------------------

local namespace = {}
local namespace_metatable = { __name = "firecracker.network.namespace", __index = namespace }

--- Give up the descriptor; a namespace with a name stays. Closing twice is no error.
-- @function namespace:close
function namespace:close ()
  self.fd:close()
end

--- Take its name away and close it.
-- @function namespace:delete
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENOENT`: the name is gone
function namespace:delete ()
  local ok, err = true, nil
  if self.name then
    ok, err = network.delete_namespace(self.name)
  end
  self:close()
  return ok, err
end

namespace_metatable.__close = namespace.close

function namespace_metatable:__tostring ()
  return ("<network namespace %s>"):format(self.name or self.path)
end

-- Where other programs find a namespace that has no name.
local function own_path (fd)
  return ("/proc/%d/fd/%d"):format(assert(require "firecracker.host".process "self"), fd:number())
end

local function new_namespace (fd, name)
  local path = name and (name:find "/" and name or "/run/netns/" .. name)
  return setmetatable({
    name = name and not name:find "/" and name or nil, path = path or own_path(fd), fd = fd,
  }, namespace_metatable)
end

--- Make a network namespace, its loopback down. `ip netns` shows it and other programs find it at `/run/netns/NAME`.
-- @function create_namespace
-- @tparam[opt] string name without one it lasts as long as `fd` is open, or a process is in it
-- @treturn[1] namespace
-- @return[2] nil
-- @treturn[2] err `EEXIST`: the name is taken; `EPERM`: CAP_SYS_ADMIN is missing
function network.create_namespace (name)
  local fd, err = finish("create_namespace", pcall(netns.create, name))
  if not fd then
    return nil, err
  end
  return new_namespace(fd, name)
end

--- Open a network namespace.
-- @function open_namespace
-- @tparam string name or a path, with a slash: `/proc/PID/ns/net`
-- @treturn[1] namespace
-- @return[2] nil
-- @treturn[2] err `ENOENT`: no such namespace
function network.open_namespace (name)
  local fd, err = finish("open_namespace", pcall(netns.open, name))
  if not fd then
    return nil, err
  end
  return new_namespace(fd, name)
end

--- Take a namespace's name away. What runs in it goes on; when the last process and descriptor are gone, its links go too.
-- @function delete_namespace
-- @tparam string name
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENOENT`: no such namespace
function network.delete_namespace (name)
  local ok, err = finish("delete_namespace", pcall(netns.delete, name))
  return ok, err
end

--- The names of the namespaces, sorted.
-- @function namespaces
-- @treturn[1] {string,...}
-- @return[2] nil
-- @treturn[2] err
function network.namespaces ()
  local names, err = finish("namespaces", pcall(netns.list))
  if names then
    table.sort(names)
  end
  return names, err
end

-- Addresses as texts ------------------------------------------------------------------------------------------------

--- Read an address or a network.
-- @function parse_address
-- @tparam string text "10.0.0.1", "10.0.0.1/24", "fd00::1/64"
-- @treturn[1] string its bytes, 4 or 16 (`string.unpack(">I4", bytes)`)
-- @treturn[1] integer bits of the prefix; without one 32 or 128
-- @return[2] nil (it is none)
network.parse_address = netlink.parse

--- The text of an address.
-- @function format_address
-- @tparam string bytes 4 or 16
-- @tparam[opt] int bits put behind it
-- @treturn string
network.format_address = netlink.format

-- A namespace's network ---------------------------------------------------------------------------------------------

local net = {}
local net_metatable = { __name = "firecracker.network", __index = net }

-- What goes straight to the core.
for _, name in ipairs { "add_tap", "delete_link", "links", "add_address", "delete_address", "addresses",
  "add_route", "delete_route", "routes", "add_neighbour", "delete_neighbour", "neighbours", "add_ingress",
  "delete_ingress", "add_redirect", "redirects" } do
  local what = "net:" .. name
  net[name] = function (self, ...)
    local method = self.socket[name]
    local value, err = finish(what, pcall(method, self.socket, ...))
    return value, err
  end
end

local function check_table (value, what, field)
  if type(value) ~= "table" then
    errors.raise(2, { code = "usage", message = ("%s: %s: table expected, got %s"):format(what, field, type(value)), field = field })
  end
end

-- A table that names none would pass for the caller's own.
local function check_namespace (where, field)
  if type(where) == "table" and type(where.fd) ~= "userdata" then
    errors.raise(3, { code = "usage", field = field,
      message = field .. ": name, path, namespace or descriptor expected, got another table" })
  end
end

-- The namespace's descriptor of what names one.
local function descriptor (where)
  if type(where) == "table" then
    return where.fd
  elseif type(where) == "string" then
    return finish("netns", pcall(netns.open, where))
  end
  return where
end

-- A copy of options in which namespaces are descriptors; those opened here are in the list that comes second.
local function resolve (options, ...)
  local copy, opened = {}, setmetatable({}, { __close = function (list)
    for _, fd in ipairs(list) do fd:close() end
  end })
  for key, value in pairs(options) do copy[key] = value end
  for _, key in ipairs { ... } do
    check_namespace(copy[key], key)
  end
  for _, key in ipairs { ... } do
    local fd, err = descriptor(copy[key])
    if err then
      return nil, err, opened
    end
    if type(copy[key]) == "string" then opened[#opened + 1] = fd end
    copy[key] = fd
  end
  return copy, nil, opened
end

--- Make a tap that stays. All of it or nothing.
-- @function net:add_tap
-- @tparam table options `name`; `owner`, `group` (numbers: who may open it without CAP_NET_ADMIN), `vnet_hdr` (boolean,
-- as Firecracker opens it), `multi_queue` (Firecracker refuses such); `up`, `mtu`, `mac`, `master` as in @{net:set_link}
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: the name is taken

--- Make a link of another kind, in one request.
-- @function net:add_link
-- @tparam table options `kind` ("bridge", "veth", "dummy", …), `name`; of a veth `peer` (the other end's name), `peer_mac`,
-- `peer_netns`; `netns` (where it is made, as in @{open}); `up`, `mac`, `master` (of this end), `mtu` (of both)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: a name is taken
function net:add_link (options)
  check_table(options, "net:add_link", "options")
  local copy, err, _ <close> = resolve(options, "netns", "peer_netns")
  if not copy then
    return nil, err
  end
  return finish("net:add_link", pcall(self.socket.add_link, self.socket, copy))
end

--- Change a link. What is not named stays; when the kernel refuses one change, others may have been made.
-- @function net:set_link
-- @tparam string link
-- @tparam table changes `up` (boolean), `mtu`, `mac`, `master` (name of a bridge; false: of none), `name` (a new one),
-- `netns` (the namespace to move to, as in @{open})
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENODEV`: no such link

--- Delete a link; of a veth the other end goes too.
-- @function net:delete_link
-- @tparam string link
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENODEV`: no such link

--- Look at a link.
-- @function net:link
-- @tparam string name
-- @treturn[1] table `name`, `index`, `kind` (nil for hardware and `lo`), `up`, `carrier`, `state` ("up", "down", "unknown", …),
-- `mtu`, `mac`, `master`; `statistics`: `rx_bytes`, `rx_packets`, `rx_errors`, `rx_dropped`, the same with `tx`; of a tap
-- `tap`: `owner`, `group`, `vnet_hdr`, `multi_queue`, `persistent` (its `kind` is "tun")
-- @return[2] nil
-- @treturn[2] err `ENODEV`: no such link

--- List the links.
-- @function net:links
-- @treturn[1] {table,...} each as @{net:link} shows it
-- @return[2] nil
-- @treturn[2] err

--- Give a link an address.
-- @function net:add_address
-- @tparam string link
-- @tparam string address "10.0.0.1/24", "fd00::1/64"
-- @tparam[opt] table options `nodad` (IPv6: usable at once, nobody is asked whether he has it)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: it has it

--- Take an address from a link.
-- @function net:delete_address
-- @tparam string link
-- @tparam string address as it was given
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EADDRNOTAVAIL`: it does not have it

--- List the addresses.
-- @function net:addresses
-- @tparam[opt] string link
-- @treturn[1] {table,...} `link`, `address` ("10.0.0.1/24"), `family` (4, 6), `scope`, `tentative`, `failed`, `permanent`
-- @return[2] nil
-- @treturn[2] err

--- Add a route.
-- @function net:add_route
-- @tparam table route `to` (a network, or "default"), `via` (a router), `link`; `source` (preferred address), `metric`, `table`,
-- `onlink` (the router is there whatever the addresses say), `replace` (one that exists)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: there is one

--- Delete a route: the first that has these fields.
-- @function net:delete_route
-- @tparam table route as it was added
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ESRCH`: there is none

--- List the routes, both families.
-- @function net:routes
-- @tparam[opt] table filter `link`, `table` (default 254, the main one; 0: all)
-- @treturn[1] {table,...} `to`, `via`, `link`, `source`, `family`, `metric`, `table`, `protocol`, `type`, `scope`; one for each
-- next hop
-- @return[2] nil
-- @treturn[2] err

--- Add a permanent neighbour.
-- @function net:add_neighbour
-- @tparam table neighbour `link`, `address`, `mac`; `replace` (one that exists)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: there is one

--- Delete a neighbour.
-- @function net:delete_neighbour
-- @tparam table neighbour `link`, `address`
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENOENT`: there is none

--- List the neighbours.
-- @function net:neighbours
-- @tparam[opt] string link
-- @treturn[1] {table,...} `link`, `address`, `mac`, `family`, `state`
-- @return[2] nil
-- @treturn[2] err

--- Give a link the ingress queueing discipline that redirects need.
-- @function net:add_ingress
-- @tparam string link
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: it has it

--- Take it away, the redirects with it.
-- @function net:delete_ingress
-- @tparam string link
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `ENOENT` or `EINVAL`: it has none

--- Send all that comes in at one link out at another.
-- @function net:add_redirect
-- @tparam string from has the ingress queueing discipline
-- @tparam string to
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: there is one

--- List the redirects of a link.
-- @function net:redirects
-- @tparam string link
-- @treturn[1] {table,...} `from`, `to`, `bytes`, `packets`
-- @return[2] nil
-- @treturn[2] err

function net:set_link (link, changes)
  check_table(changes, "net:set_link", "changes")
  local copy, err, _ <close> = resolve(changes, "netns")
  if not copy then
    return nil, err
  end
  return finish("net:set_link", pcall(self.socket.set_link, self.socket, link, copy))
end

function net:link (name)
  local links, err = finish("net:link", pcall(self.socket.links, self.socket, name or false))
  return links and links[1], err
end

--- Join two links as one wire: redirects both ways and what they need. All of it or nothing.
-- @function net:redirect
-- @tparam string one
-- @tparam string other
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err `EEXIST`: one of them has an ingress queueing discipline
function net:redirect (one, other)
  local made = {}
  local function try (fn, link, ...)
    local ok, err = fn(self, link, ...)
    if ok and fn == net.add_ingress then
      made[#made + 1] = link
    end
    return ok, err
  end
  local ok, err = try(net.add_ingress, one)
  if ok then ok, err = try(net.add_ingress, other) end
  if ok then ok, err = try(net.add_redirect, one, other) end
  if ok then ok, err = try(net.add_redirect, other, one) end
  for _, link in ipairs(ok and {} or made) do
    self:delete_ingress(link)
  end
  return ok, err
end

--- Read a setting below /proc/sys/net of this namespace, or write it.
-- @function net:sysctl
-- @tparam string key with slashes: "ipv4/ip_forward"
-- @tparam[opt] string|int value to write
-- @treturn[1] string|boolean the value; true when it was written
-- @return[2] nil
-- @treturn[2] err `ENOENT`: no such setting
function net:sysctl (key, value)
  return finish("net:sysctl", pcall(self.socket.sysctl, self.socket, key, value))
end

--- Close it; what it made stays. Closing twice is no error.
-- @function net:close
function net:close ()
  self.socket:close()
end

net_metatable.__close = net.close

--- Open the network of a namespace.
-- @function open
-- @param[opt] where a namespace's name, its path (with a slash), a namespace as an object, a descriptor of the core; absent: the caller's
-- @treturn[1] net close it
-- @return[2] nil
-- @treturn[2] err `ENOENT`: no such namespace; `EPERM`: CAP_SYS_ADMIN is missing to enter it
function network.open (where)
  local copy, err, _ <close> = resolve({ netns = where }, "netns")
  if not copy then
    return nil, err
  end
  local socket
  socket, err = finish("open", pcall(netlink.open, copy.netns))
  return socket and setmetatable({ socket = socket }, net_metatable), err
end

return network
