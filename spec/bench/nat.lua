-- The same as nat.c by the library: the part of NAT that nft does.

local core = require "firecracker.core"
local nat = require "firecracker.network.nat"
local now = core.now

local directory = assert(os.getenv "WORK") .. "/nat-files"
assert(core.files.mkdir_private(directory))

for _ in io.lines() do
  local undo
  local vm = {
    id = "bench", directory = directory, nat = { { tap = "tap0", guest = "10.0.0.2", subnet = "10.0.0.0/24" } },
    defer = function (_, _, fn) undo = fn end,
  }
  local before = now()
  assert(nat.finish(vm))
  local made = now()
  assert(undo())
  print(("set_up %.1f removal %.1f"):format((made - before) * 1e6, (now() - made) * 1e6))
  io.stdout:flush()
end
assert(core.files.remove_directory(directory))
