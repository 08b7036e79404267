-- A host program that forks: in the child finalizers only close descriptors; what the parent runs goes on.

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local fork = require "spec.support.fork"
local host = require "spec.support.host"
local http = require "firecracker.core.http"
local scratch = require "spec.support.scratch"
local server = require "spec.support.server"

-- Run fn in a forked child; fails unless it returns.
local function in_child (fn)
  local pid = fork.fork()
  if pid == 0 then
    local ok, err = pcall(fn)
    if not ok then
      io.stderr:write(tostring(err), "\n")
    end
    fork.exit(ok and 0 or 1)
  end
  assert.equal(0, fork.wait(pid))
end

describe("after a fork", function ()
  setup(function ()
    core.reactor():pollfd()
    assert(core.watch.open("/", "proc")):close()
    assert(http.client(core.reactor(), "/no/such/socket")):close()
  end)
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  -- Everything the core has, in use; fn(all) with a table of it.
  local function everything (fn)
    server({ { text = server.reply(200, "x") }, { text = server.reply(200, "y"), after = 0.1 } }, function (s)
      local null <close> = assert(core.files.open("/dev/null", "r+"))
      local name = scratch "fifo"
      assert(core.files.mkfifo(name))
      local writer <close> = assert(io.open(name, "r+"))
      local all = {
        client = assert(http.client(core.reactor(), s.path)),
        process = assert(core.process.spawn { path = "/bin/sleep", argv = { "sleep", "60" }, environment = {},
          stdio = { null, null, null }, kill_when_dropped = true }),
        signals = assert(core.signals.open { "USR1" }),
        stream = assert(core.stream.open(assert(core.files.open(name, "r+")))),
        timer = assert(core.reactor():timer()),
        watch = assert(core.watch.open(assert(name:match "^(.*)/"), name:match "[^/]+$" .. "-more")),
      }
      all.idle, all.running = assert(all.client:request()), assert(all.client:request())
      assert(all.idle:start("GET", "/idle"))
      driver.wait(function () return all.idle:result() end)
      assert(all.running:start("GET", "/running"))
      s:wait("^request", 2)
      all.timer:arm(core.now() + 0.2)
      driver.fired()
      fn(all)

      driver.wait(function () return all.running:result() end)
      assert.same({ 200, "y" }, { all.running:result() })
      assert.equal(1, s:count "^accept")    -- on the connection it had
      assert.is_nil(all.process:poll())
      writer:write "line\n"
      writer:flush()
      driver.wait(function () return all.stream:line() end)
      assert(core.files.create(name .. "-more"))
      driver.wait(function () return all.watch:appeared() end)
      os.remove(name .. "-more")
      os.remove(name)
      driver.wait(function () return driver.seen[all.timer:key()] end)
      all.process:signal "KILL"
      driver.wait(function () return all.process:poll() end)
      assert.same({ "signaled", 9 }, { all.process:poll() })
      for _, part in ipairs { "client", "process", "signals", "stream", "timer", "watch" } do
        all[part]:close()
      end
    end)
  end

  it("finalizers in the child leave the parent's alone", function ()
    everything(function (all)
      in_child(function ()
        for name in pairs(all) do
          all[name] = nil
        end
        collectgarbage()
        collectgarbage()
      end)
    end)
  end)

  it("closing in the child leaves the parent's alone", function ()
    everything(function (all)
      in_child(function ()
        for _, part in ipairs { "running", "idle", "client", "process", "signals", "stream", "timer", "watch" } do
          all[part]:close()
        end
      end)
    end)
  end)

  it("the child can do nothing but close", function ()
    everything(function (all)
      in_child(function ()
        local null = assert(core.files.open("/dev/null", "r+"))
        local fifo = assert(core.files.open("/proc/self/fd/" .. null:number(), "r+"))
        for what, call in pairs {
          step = function () return core.reactor():step(0) end,
          pollfd = function () return core.reactor():pollfd() end,
          spawn = function ()
            return core.process.spawn { path = "/bin/true", argv = {}, environment = {}, stdio = { null, null, null } }
          end,
          signal = function () return all.process:signal "KILL" end,
          request = function () return all.idle:start("GET", "/child") end,
          signals = function () return core.signals.open { "USR2" } end,
          stream = function () return core.stream.open(fifo) end,
          watch = function () return core.watch.open("/", "proc") end,
        } do
          local result, err = call()
          assert.is_nil(result, what)
          assert.matches("^firecracker was loaded by process %d+; this one was forked", err.message)
        end
      end)
    end)
  end)

  it("the end of the child's state leaves the parent's alone", function ()
    local out = host("", [[
      local core, fork = require "firecracker.core", require "spec.support.fork"
      local null = core.files.open("/dev/null", "r+")
      local process = core.process.spawn { path = "/bin/sleep", argv = { "sleep", "60" }, environment = {},
        stdio = { null, null, null }, kill_when_dropped = true }
      local request = require "firecracker.core.http".client(core.reactor(), "/no/such"):request()
      local pid = fork.fork()
      if pid == 0 then
        os.exit(0, true)
      end
      print(fork.wait(pid), process:poll(), request:start("GET", "/"))
      process:signal "TERM"
      while not process:poll() do core.reactor():step() end
      print(process:poll())
    ]])
    assert.equal("0\tnil\ttrue\nsignaled\t15\n", out)
  end)
end)
