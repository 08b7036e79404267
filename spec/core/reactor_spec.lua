local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local sh = require "spec.support.sh"

describe("the reactor", function ()
  local reactor = core.reactor()
  local timers

  local function timer (deadline)
    local new = assert(reactor:timer())
    timers[#timers + 1] = new
    if deadline then
      new:arm(deadline)
    end
    return new
  end

  setup(driver.settle)
  setup(function ()    -- makes descriptors that the reactor keeps: its timer's, its watches'
    reactor:pollfd()
    assert(core.watch.open("/", "proc")):close()
  end)
  before_each(function ()
    fds.remember()
    timers = {}
  end)
  after_each(function ()
    for _, one in ipairs(timers) do
      one:close()
    end
    assert.same({}, driver.fired())
    fds.compare()
  end)

  it("is one in a state, also when the module is opened again", function ()
    local state = reactor:state()
    local first = core
    package.loaded["firecracker.core"] = nil
    finally(function () package.loaded["firecracker.core"] = first end)
    local second = require "firecracker.core"
    assert.not_equal(first, second)
    assert.equal(reactor, second.reactor())
    assert.equal(state, second.reactor():state())
    local one = timer()
    one:arm(second.now())    -- a handle of the first under the methods of the second
    assert.same({ one:key() }, driver.fired(0.01))
  end)

  it("prints with the number of armed timers", function ()
    assert.equal("<reactor, 0 timers>", tostring(reactor))
    timer(core.now() + 60)
    timer()
    assert.equal("<reactor, 1 timers>", tostring(reactor))
  end)

  describe("with timers", function ()
    it("fires them in the order of their deadlines, whatever the order of arming", function ()
      local start, expected, order = core.now() + 0.01, {}, { 7, 3, 9, 1, 5, 10, 2, 8, 4, 6 }
      for _, place in ipairs(order) do
        expected[place] = timer(start + place * 1e-4):key()
      end
      assert.same(expected, driver.fired(0.05))
    end)

    it("orders a thousand, a third of them disarmed and a third moved", function ()
      local start, expected, moved, all = core.now() - 1, {}, {}, {}
      for i = 1, 999 do
        local place = i * 617 % 1000    -- each once, in no order
        all[i] = { place, timer(start + place * 1e-6), i % 3 }
      end
      for i = 1, 999 do
        local place, one, kind = table.unpack(all[i * 331 % 999 + 1])    -- in another
        if kind == 0 then
          one:disarm()
        elseif kind == 1 then
          one:arm(start + place * 1e-6 - 0.5)
          moved[#moved + 1] = { place, one:key() }
        else
          expected[#expected + 1] = { place, one:key() }
        end
      end
      local function by_place (a, b) return a[1] < b[1] end
      table.sort(moved, by_place)
      table.sort(expected, by_place)
      local keys = {}
      for _, list in ipairs { moved, expected } do
        for _, pair in ipairs(list) do
          keys[#keys + 1] = pair[2]
        end
      end
      assert.same(keys, driver.fired())
    end)

    it("fires no timer before its deadline", function ()
      local deadline = core.now() + 0.005
      local one = timer(deadline)
      local key
      repeat
        reactor:step(0)    -- does not wait, but looks
        key = reactor:fired()
      until key
      assert.is_true(core.now() >= deadline)
      assert.equal(one:key(), key)
      assert.same({}, driver.fired())    -- and once
    end)

    it("fires one that is armed anew at its new deadline alone, earlier or later", function ()
      local later, earlier = timer(core.now()), timer(core.now() + 60)
      later:arm(core.now() + 60)
      earlier:arm(core.now())
      assert.same({ earlier:key() }, driver.fired(0.01))
      assert.is_true(reactor:timeout() > 50)
    end)

    it("takes a firing back that nobody saw", function ()
      for _, verb in ipairs { "disarm", "close" } do
        local one = timer(core.now())
        assert.is_true(reactor:step(core.now()))
        one[verb](one)
        assert.is_nil(reactor:fired())
      end
      local one = timer(core.now())
      assert.is_true(reactor:step(core.now()))
      one:arm(core.now() + 60)
      assert.is_nil(reactor:fired())
    end)

    it("lets one fire again after it is armed again, with the same key", function ()
      local one = timer(core.now())
      assert.same({ one:key() }, driver.fired())
      assert.same({}, driver.fired())
      one:arm(core.now())
      assert.same({ one:key() }, driver.fired())
    end)

    it("takes an infinite deadline for none and refuses one that is no number", function ()
      local one = timer(core.now() + 60)
      one:arm(math.huge)
      assert.is_nil(reactor:timeout())
      assert.has_error(function () one:arm(0 / 0) end, "bad argument #1 to 'arm' (not a number)")
      assert.has_error(function () one:arm "soon" end, "bad argument #1 to 'arm' (number expected, got string)")
    end)

    it("says when the next one is due, and never a negative time", function ()
      assert.is_nil(reactor:timeout())
      timer(core.now() + 60)
      timer(core.now() + 30)
      local timeout = reactor:timeout()
      assert.is_true(timeout > 20 and timeout <= 30)
      timer(core.now() - 5)
      assert.equal(0, reactor:timeout())
    end)

    it("closes one twice, and by <close>", function ()
      local kept
      do
        local one <close> = timer(core.now() + 60)
        kept = one
      end
      assert.is_nil(reactor:timeout())
      kept:close()
      assert.has_error(function () kept:arm(1) end, "calling 'arm' on bad self (closed timer)")
    end)

    it("drops those that are garbage", function ()
      assert(reactor:timer()):arm(core.now() + 60)
      collectgarbage()
      assert.is_nil(reactor:timeout())
    end)
  end)

  it("gives every waiter a key of its own, never used again", function ()
    local seen, greatest = {}, 0
    for _ = 1, 300 do
      local one <close> = assert(reactor:timer())
      assert.is_nil(seen[one:key()])
      assert.is_true(one:key() > greatest)
      seen[one:key()], greatest = true, one:key()
    end
  end)

  describe("waiting", function ()
    it("ends at its deadline, not before", function ()
      local deadline = core.now() + 0.02
      assert.is_true(reactor:step(deadline))
      assert.is_true(core.now() >= deadline - 1e-6)
    end)

    it("ends for a timer before its deadline", function ()
      -- where nothing but the wait itself knows of the timer: no descriptor for other loops was asked for
      local out = host("", [[
        local core = require "firecracker.core"
        local timer = core.reactor():timer()
        local start = core.now()
        timer:arm(start + 0.02)
        core.reactor():step(start + 2)
        print(core.reactor():fired() == timer:key(), core.now() - start < 1)
      ]])
      assert.equal("true\ttrue\n", out)
    end)

    it("does not begin while something fired has not been taken", function ()
      local one = timer(core.now())
      reactor:step(core.now())
      assert.equal(0, reactor:timeout())
      reactor:step(core.now() + 60)    -- a minute, would it wait
      assert.equal(one:key(), reactor:fired())
    end)

    it("returns false when a signal interrupts it, and loses nothing", function ()
      -- a shell stops and continues this process: a stop ends the wait with EINTR and needs no handler
      local pid = io.open "/proc/self/stat":read "n"
      local one = timer(core.now() + 60)
      sh(("( sleep 0.05; kill -STOP %d; sleep 0.05; kill -CONT %d ) >/dev/null 2>&1 &"):format(pid, pid))
      local result = reactor:step(core.now() + 60)
      assert.is_false(result)
      assert.is_truthy(reactor:timeout())    -- it is still armed
      one:arm(core.now() + 0.01)
      assert.same({ one:key() }, driver.fired(0.05))
    end)

    it("for a key, or one of two, ends when it fires, and takes it", function ()
      local none, one, after = timer(), timer(core.now() + 0.01), timer(core.now() + 0.01)
      assert.is_true(reactor:await(core.now() + 60, one:key()))
      assert.same({ after:key() }, driver.fired(0.02))
      for _, armed in ipairs { one, after } do
        armed:arm(core.now() + 0.01)
        assert.is_true(reactor:await(core.now() + 60, one:key(), after:key()))
        assert.same({}, driver.fired())
      end
      assert.is_false(reactor:await(core.now() + 0.01, none:key()))
    end)

    it("is followed by what it told of, or by nothing where that was closed meanwhile", function ()
      local first, second = timer(core.now()), timer(core.now())
      local _, key = reactor:step(core.now() + 1)
      assert.equal(first:key(), key)
      first:close()
      assert.equal(second:key(), reactor:told(key))
      assert.equal(0, select("#", reactor:told(second:key())))
    end)

    it("for a key ends when another fires first, and leaves all that fired", function ()
      local deadline = core.now() + 0.01
      local first, second = timer(deadline), timer(deadline)
      assert.is_false(reactor:await(core.now() + 60, second:key()))
      assert.is_false(reactor:await(core.now() + 60, second:key()))     -- nor waits while they have not been taken
      assert.is_true(core.now() >= deadline and core.now() < deadline + 50)
      assert.same({ first:key(), second:key() }, driver.fired())
    end)

    it("for a key ends at its deadline, not before", function ()
      local one, deadline = timer(core.now() + 60), core.now() + 0.01
      assert.is_false(reactor:await(deadline, one:key()))
      assert.is_true(core.now() >= deadline)
      assert.is_false(reactor:await(0, one:key()))
    end)

    it("for a key returns false when a signal interrupts it, and loses nothing", function ()
      local pid = io.open "/proc/self/stat":read "n"
      local one = timer(core.now() + 60)
      sh(("( sleep 0.05; kill -STOP %d; sleep 0.05; kill -CONT %d ) >/dev/null 2>&1 &"):format(pid, pid))
      assert.is_false(reactor:await(core.now() + 60, one:key()))
      assert.is_truthy(reactor:timeout())
      one:arm(core.now() + 0.01)
      assert.is_true(reactor:await(core.now() + 60, one:key()))
    end)

    it("of wrong things raises", function ()
      assert.has_error(function () reactor:await(1, "x") end, "bad argument #2 to 'await' (number expected, got string)")
      assert.has_error(function () reactor:step {} end, "bad argument #1 to 'step' (number expected, got table)")
      assert.has_error(function () reactor.step(io.stdout) end,
        "bad argument #1 to 'step' (firecracker.reactor expected, got FILE*)")
    end)
  end)

  describe("in another event loop", function ()
    -- What poll(2) would say: the reactor's timer has expired and was not set since. @see proc(5), fdinfo
    local function readable ()
      for fd, target in pairs(fds.all()) do
        if target == "anon_inode:[timerfd]" then
          local file <close> = assert(io.open("/proc/self/fdinfo/" .. fd))
          return tonumber(file:read "a":match "ticks: (%d+)") > 0
        end
      end
    end

    it("shows one descriptor that is readable when a step would do something", function ()
      assert.equal(reactor:pollfd(), reactor:pollfd())
      driver.fired()    -- what others left
      assert.is_false(readable())
      local one = timer(core.now())
      assert.is_true(readable())
      reactor:step(0)
      assert.is_true(readable())    -- fired, not taken
      assert.equal(one:key(), reactor:fired())
      reactor:step(0)
      assert.is_false(readable())
      local watch <close> = assert(core.watch.open("/", "proc"))    -- fires outside of a step
      assert.is_true(readable())
      assert.same({ watch:key() }, driver.fired())
      assert.is_false(readable())
      one:arm(core.now() + 60)
      assert.is_false(readable())
      one:arm(core.now() + 0.01)
      reactor:step(core.now() + 0.005)
      sh "sleep 0.02"
      assert.is_true(readable())
    end)
  end)
end)
