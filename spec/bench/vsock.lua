-- What the library's dial and streams take, in one process that obeys the commands of vsock.c: dial N, receive, send.
-- Environment: VSOCK, the path of its server.

local fc = require "firecracker"
local sample = require "spec.bench.sample"

local dial, now <const> = fc.vsock.dial, fc.now
local PATH <const> = os.getenv "VSOCK"
local BYTES <const>, BLOCK <const> = 64 << 20, 256 << 10

local commands = {}

function commands.dial (n)
  local took = {}
  for i = 1, n do
    local before = now()
    local stream <close> = assert(dial(PATH, 1))
    took[i] = (now() - before) * 1e6
    assert(stream:fd())
  end
  return ("p50 %.2f p90 %.2f"):format(sample.quantile(took, 0.5), sample.quantile(took, 0.9))
end

local function rate (began)
  return ("mb %.0f"):format(BYTES / (now() - began) / 1e6)
end

function commands.receive ()
  local stream <close> = assert(dial(PATH, 2))
  local began, left = now(), BYTES
  while left > 0 do
    left = left - #stream:read(-math.min(left, BLOCK))
  end
  assert(stream:read(1))
  return rate(began)
end

local block = ("x"):rep(BLOCK)

function commands.send ()
  local stream <close> = assert(dial(PATH, 3))
  local began = now()
  for _ = 1, BYTES // BLOCK do
    assert(stream:write(block))
  end
  assert(stream:read(1))
  return rate(began)
end

for line in io.lines() do
  local command, n = line:match "^(%S+)%s*(%d*)"
  io.write(commands[command](tonumber(n)), "\n")
  io.flush()
end
