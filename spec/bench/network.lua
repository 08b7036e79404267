-- The same as network.c by fc.net: reads commands, answers with names and microseconds.

local network = require "firecracker.network"
local now = require "firecracker.core".now

local net = assert(network.open())

local PARTS <const> = {
  { "links", function ()
    assert(net:add_tap { name = "tap0", owner = 1000, vnet_hdr = true, up = true })
    assert(net:add_link { kind = "bridge", name = "br0", up = true })
    assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
  end },
  { "address", function () assert(net:add_address("br0", "10.0.0.1/24")) end },
  { "route", function () assert(net:add_route { to = "default", via = "10.0.0.2" }) end },
  { "redirect", function () assert(net:redirect("tap0", "v0")) end },
}

for _ in io.lines() do
  local took = {}
  for i, part in ipairs(PARTS) do
    local before = now()
    part[2]()
    took[i] = ("%s %.1f"):format(part[1], (now() - before) * 1e6)
  end
  print(table.concat(took, " "))
  io.stdout:flush()
  for _, link in ipairs { "tap0", "br0", "v0" } do
    assert(net:delete_link(link))
  end
end
