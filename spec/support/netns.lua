--- A network namespace of a spec's own, and independent eyes on it: iproute2.
-- local space <close> = netns()   fd: of the core; net: the core's netlink socket in it
-- space:sh(command)           what it wrote, run there; space:json(command): decoded
-- space:ip "address", space:tc "qdisc", space:bridge "link": what `ip -j -d …` says there
-- space:state()               all of it as one text; space:unchanged(state): raises unless it is the same now

local core = require "firecracker.core"
local network = require "firecracker.core.net"
local sh = require "spec.support.sh"

local space = {}
local metatable = { __index = space }

function space:sh (command)
  -- the descriptor is closed on exec: it is named as this process's, which is the shell's parent
  local out, status = sh(("nsenter --net=/proc/$PPID/fd/%d sh -c %s"):format(self.fd:number(), sh.quote(command)))
  assert(status == 0, command .. ": " .. out)
  return out
end

function space:json (command)
  local out = self:sh(command)
  return out:match "%S" and assert(core.json.decode(out)) or {}
end

for _, program in ipairs { "ip", "tc", "bridge" } do
  space[program] = function (self, arguments)
    return self:json(("%s -j -d %s"):format(program, arguments))
  end
end

-- Without what the kernel changes in its own time.
function space:state ()
  return (self:sh([[{
    ip -d link; ip address; ip route show table all; ip -6 route show table all; ip neigh; tc qdisc
    for link in $(ls /proc/sys/net/ipv4/conf); do tc filter show dev $link ingress; done
    grep . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/forwarding
  } 2>/dev/null | sed 's/ state [A-Z]*//; s/NO-CARRIER,//; s/ addrgenmode.*//']]))
end

--- That nothing has changed since a state.
function space:unchanged (before)
  local lines, found = {}, {}
  local after = self:state()
  for line in before:gmatch "[^\n]+" do lines[line] = "gone: " end
  for line in after:gmatch "[^\n]+" do
    lines[line] = not lines[line] and "new: " or nil
  end
  for line, how in pairs(lines) do found[#found + 1] = how .. line end
  assert(before == after, "changed: " .. table.concat(found, "; "))
end

function metatable:__close ()
  self.net:close()
  self.fd:close()
end

return function ()
  local fd = assert(network.netns.create())
  local self = setmetatable({ fd = fd, net = assert(network.netlink.open(fd)) }, metatable)
  assert(self.net:sysctl("ipv6/conf/default/disable_ipv6", "1"))    -- nothing appears by itself
  return self
end
