local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local errors = require "firecracker.errors"
local fds = require "spec.support.fds"
local loop = require "firecracker.loop"

local now = core.now

describe("the loop", function ()
  local state = core.reactor():state()

  local function registered ()
    local keys = {}
    for key in pairs(state.waits) do
      keys[#keys + 1] = tostring(key)
    end
    return keys
  end

  local function timers ()
    return tonumber(tostring(core.reactor()):match "(%d+) timers")
  end

  local armed     -- libcurl's own may be armed; it runs out some time
  setup(driver.settle)
  setup(function () loop:pollfd() end)    -- makes the descriptor for other loops, which stays
  before_each(fds.remember)
  before_each(function () armed = timers() end)
  after_each(function ()
    assert.same({}, registered())    -- a wait leaves nothing behind, however it ends
    assert.is_nil(next(state.tasks))
    assert.is_nil(state.current)
    assert.same({ deadline = math.huge, shield = 0 }, state.main)
    assert.is_true(timers() <= armed)
    fds.compare()
  end)

  describe("run", function ()
    it("gives what the function returns, with its nils", function ()
      assert.same({ n = 4, 1, nil, "x", nil }, table.pack(loop.run(function (...) return ... end, 1, nil, "x", nil)))
      assert.same({ n = 0 }, table.pack(loop.run(function () end)))
    end)

    it("keeps no task that failed and was waited for afterwards", function ()
      loop.run(function ()
        local kept = setmetatable({}, { __mode = "k" })
        for _ = 1, 3 do
          local task = loop.spawn(error, "known")
          loop.sleep(0)
          assert.equal("known", select(2, task:wait()).message)
          kept[task] = true
        end
        collectgarbage()
        collectgarbage()
        assert.is_nil(next(kept))
      end)
    end)

    it("raises the first of many that failed", function ()
      local ok, err = pcall(loop.run, function ()
        local tasks = {}
        for i = 1, 20 do
          tasks[i] = loop.spawn(error, "failure " .. i)
        end
        loop.sleep(0)
        for i = 1, 20 do
          if i ~= 7 and i ~= 13 then
            tasks[i]:wait()
          end
        end
      end)
      assert.is_false(ok)
      assert.equal("failure 7", err.message)
    end)

    it("costs the same however many other tasks there are", function ()
      local function cost ()
        local n = 0
        debug.sethook(function () n = n + 1 end, "", 100)
        for _ = 1, 20 do
          loop.run(function () end)
        end
        debug.sethook()
        return n
      end
      loop.run(function ()
        cost()
        local alone, tasks = cost(), {}
        for i = 1, 2000 do
          tasks[i] = loop.spawn(loop.sleep, 60)
        end
        loop.sleep(0)
        local among = cost()
        for _, task in ipairs(tasks) do
          task:cancel()
        end
        assert.is_true(among < 3 * alone + 10, ("%d hundreds of instructions, then %d"):format(alone, among))
      end)
    end)

    it("raises what the function raises, as an error object with its traceback", function ()
      local ok, err = pcall(loop.run, function () error "broken" end)
      assert.is_false(ok)
      assert.is_true(errors.is(err))
      assert.equal("broken", err.message)
      assert.matches("^.*loop_spec%.lua:%d+$", err.where)
      assert.matches("stack traceback", err.traceback)
    end)

    it("returns after every task spawned in it has ended, however deep", function ()
      local order = {}
      loop.run(function ()
        loop.spawn(function ()
          loop.spawn(function ()
            loop.sleep(0.02)
            order[#order + 1] = "innermost"
          end)
          order[#order + 1] = "inner"
        end)
        order[#order + 1] = "outer"
      end)
      assert.same({ "outer", "inner", "innermost" }, order)
    end)

    it("raises the error of a task that nobody waited for, after all have ended", function ()
      local ended = false
      local ok, err = pcall(loop.run, function ()
        loop.spawn(error, "lost")
        loop.spawn(function ()
          loop.sleep(0.01)
          ended = true
        end)
      end)
      assert.is_false(ok)
      assert.equal("lost", err.message)
      assert.is_true(ended)
    end)

    it("raises the error of a task that somebody gave up waiting for", function ()
      local ok, err = pcall(loop.run, function ()
        local failing = loop.spawn(function ()
          loop.sleep(0.01)
          error "lost"
        end)
        assert.equal("timeout", select(2, failing:wait { timeout = 0 }).code)
        local waiting = loop.spawn(failing.wait, failing)
        loop.sleep(0)
        waiting:cancel()
      end)
      assert.is_false(ok)
      assert.matches("lost$", err.message)
    end)

    it("raises no error of a task that somebody waited for, later too, nor of one that was cancelled", function ()
      assert.equal("fine", loop.run(function ()
        local failing, sleeping, cancelled = loop.spawn(error, "early"), loop.spawn(loop.sleep, 0.01), loop.spawn(loop.sleep, 60)
        cancelled:cancel()
        assert.is_true(sleeping:wait())
        assert.equal("early", select(2, failing:wait()).message)
        return "fine"
      end))
    end)

    it("runs inside a task and inside another run", function ()
      assert.equal(3, loop.run(function ()
        return 1 + loop.run(function ()
          loop.sleep(0.001)
          return 2
        end)
      end))
    end)

    it("left by a cancel, cancels its tasks and waits for their cleaning up", function ()
      loop.run(function ()
        local cleaned = 0
        local function clean ()
          loop.shielded(loop.sleep, 0.01)
          cleaned = cleaned + 1
        end
        local function wait ()
          local _ <close> = setmetatable({}, { __close = clean })
          loop.sleep(60)
        end
        local task = loop.spawn(loop.run, function ()
          loop.spawn(wait)
          wait()
        end)
        loop.sleep(0.01)
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
        assert.equal(2, cleaned)
      end)
    end)

    it("left by an interrupt, does so too", function ()
      local cleaned
      local ok, err = pcall(loop.run, function ()
        loop.spawn(function ()
          local _ <close> = setmetatable({}, { __close = function () cleaned = loop.shielded(loop.sleep, 0.01) end })
          loop.sleep(60)
        end)
        loop.sleep(0.001)
        local main = debug.getregistry()[1]    -- LUA_RIDX_MAINTHREAD: where Ctrl-C raises
        debug.sethook(main, function ()
          debug.sethook(main)
          error "interrupted!"
        end, "l")
        loop.sleep(60)
      end)
      assert.is_false(ok)
      assert.matches("interrupted!", tostring(err))
      assert.is_true(cleaned)
    end)

    it("does not spin while its tasks outlast its deadline", function ()
      local steps = driver.steps(function ()
        loop.under(now() + 0.01, loop.run, function ()
          loop.shielded(loop.sleep, 0.06)
        end)
      end)
      assert.is_true(steps < 20)
    end)
  end)

  describe("sleep", function ()
    it("lets the time pass, in a task and outside", function ()
      for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
        local began = now()
        assert.is_true(call(loop.sleep, 0.02))
        assert.is_true(now() - began >= 0.02)
      end
    end)

    it("lets the others go on: all sleep at once", function ()
      local begun, ended = 0, {}
      loop.run(function ()
        for i = 1, 10 do
          loop.spawn(function ()
            begun = begun + 1
            loop.sleep(0.01)
            ended[i] = begun
          end)
        end
      end)
      assert.same({ 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 }, ended)
    end)

    it("of nothing or less gives the others their turn", function ()
      local order = {}
      loop.run(function ()
        for _, name in ipairs { "a", "b" } do
          loop.spawn(function ()
            order[#order + 1] = name
            loop.sleep(-1)
            order[#order + 1] = name
          end)
        end
      end)
      assert.same({ "a", "b", "a", "b" }, order)
    end)

    it("refuses what is no number", function ()
      for _, value in ipairs { "1", {}, 0 / 0 } do
        local ok, err = pcall(loop.sleep, value)
        assert.is_false(ok)
        assert.equal("usage", err.code)
        assert.matches("^sleep: seconds expected, got ", err.message)
      end
    end)

    it("costs no processor time", function ()
      for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
        assert.is_true(driver.steps(function () call(loop.sleep, 0.05) end) < 10)
      end
    end)
  end)

  describe("a task", function ()
    it("begins at the next wait of whoever spawned it", function ()
      loop.run(function ()
        local begun = false
        local task = loop.spawn(function () begun = true end)
        assert.is_false(begun)
        task:wait()
        assert.is_true(begun)
      end)
    end)

    it("is waited for from the main thread, from another task and after its end", function ()
      local task = loop.spawn(function ()
        loop.sleep(0.01)
        return 1, nil, 3
      end)
      assert.equal("<task running>", tostring(task))
      assert.same({ n = 3, 1, nil, 3 }, table.pack(task:wait()))
      assert.same({ n = 3, 1, nil, 3 }, table.pack(task:wait()))
      assert.equal("<task done>", tostring(task))
      assert.equal(1, loop.run(function () return (task:wait()) end))
    end)

    it("is waited for by several", function ()
      local got = {}
      loop.run(function ()
        local task = loop.spawn(loop.sleep, 0.01)
        for i = 1, 3 do
          loop.spawn(function () got[i] = task:wait() end)
        end
      end)
      assert.same({ true, true, true }, got)
    end)

    it("that fails gives its error to whoever waits", function ()
      loop.run(function ()
        local task = loop.spawn(function () error({ reason = 1 }) end)
        local value, err = task:wait()
        assert.is_nil(value)
        assert.equal("raised", err.code)
        assert.same({ reason = 1 }, err.value)
        assert.equal("<task failed>", tostring(task))
      end)
    end)

    it("that returns nil and an error hands both on", function ()
      loop.run(function ()
        assert.same({ n = 2, nil, "why" }, table.pack(loop.spawn(function () return nil, "why" end):wait()))
      end)
    end)

    it("that does not end in time is told so, in a task and on the main thread, and goes on", function ()
      local function wait_for (task)
        local began = now()
        local value, err = task:wait { timeout = 0.02 }
        assert.is_nil(value)
        assert.equal("timeout", err.code)
        assert.is_true(now() - began >= 0.02)
        assert.is_true(task:wait())
      end
      wait_for(loop.spawn(loop.sleep, 0.05))
      loop.run(function () wait_for(loop.spawn(loop.sleep, 0.05)) end)
    end)

    it("gives the others a turn by a plain coroutine.yield", function ()
      local order = {}
      loop.run(function ()
        for _, name in ipairs { "a", "b" } do
          loop.spawn(function ()
            for i = 1, 2 do
              order[#order + 1] = name .. i
              coroutine.yield()
            end
          end)
        end
      end)
      assert.same({ "a1", "b1", "a2", "b2" }, order)
    end)

    it("is a function, or something that is called like one", function ()
      assert.equal(7, loop.run(function ()
        return loop.spawn(setmetatable({}, { __call = function (_, x) return x end }), 7):wait()
      end))
      for _, value in ipairs { "x", {}, 1 } do
        local ok, err = pcall(loop.spawn, value)
        assert.is_false(ok)
        assert.equal("spawn: function expected, got " .. type(value), err.message)
      end
    end)

    it("spawned outside of run is kept until it ends, and its loss is a warning", function ()
      local done
      loop.spawn(function ()
        loop.sleep(0.01)
        done = true
      end)
      collectgarbage()
      local deadline = core.now() + 10
      repeat
        loop.sleep(0.01)
      until done or core.now() > deadline
      assert.is_true(done)
    end)
  end)

  describe("cancelling", function ()
    it("raises once where the task waits, also through everything it called", function ()
      loop.run(function ()
        local caught, closed
        local task = loop.spawn(function ()
          local _ <close> = setmetatable({}, { __close = function () closed = true end })
          local ok, err = pcall(loop.sleep, 60)
          caught = { ok, err.code }
          loop.sleep(0.001)    -- it was told: this one passes
          return "went on"
        end)
        loop.sleep(0.001)
        assert.is_true(task:cancel())
        assert.is_true(task:cancel())
        assert.equal("went on", task:wait())
        assert.same({ false, "cancelled" }, caught)
        assert.is_true(closed)
        assert.is_false(task:cancel())
      end)
    end)

    it("again wakes nobody from a later wait", function ()
      loop.run(function ()
        local task = loop.spawn(function ()
          pcall(loop.sleep, 60)
          local deadline = now() + 0.02
          return loop.park(deadline, "never") or now() >= deadline
        end)
        loop.sleep(0.001)
        task:cancel()
        loop.sleep(0.001)
        task:cancel()
        assert.is_true(task:wait())
      end)
    end)

    it("ends a task that does not catch it", function ()
      loop.run(function ()
        local task = loop.spawn(loop.sleep, 60)
        loop.sleep(0.001)
        task:cancel()
        local value, err = task:wait()
        assert.is_nil(value)
        assert.equal("cancelled", err.code)
      end)
    end)

    it("of a task that has not begun raises at its first wait", function ()
      loop.run(function ()
        local reached
        local task = loop.spawn(function ()
          reached = "begun"
          loop.sleep(0)
          reached = "too far"
        end)
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
        assert.equal("begun", reached)
      end)
    end)

    it("does not reach what is shielded, and raises at the next wait after it", function ()
      loop.run(function ()
        local cleaned
        local task = loop.spawn(function ()
          loop.shielded(function ()
            loop.sleep(0.03)
            loop.shielded(loop.sleep, 0.001)
            loop.sleep(0.001)
            cleaned = true
          end)
          loop.sleep(60)
        end)
        loop.sleep(0.01)
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
        assert.is_true(cleaned)
      end)
    end)

    it("lets a __close wait when it is shielded", function ()
      loop.run(function ()
        local waited
        local task = loop.spawn(function ()
          local _ <close> = setmetatable({}, { __close = function ()
            waited = loop.shielded(loop.sleep, 0.01)
          end })
          loop.sleep(60)
        end)
        loop.sleep(0.001)
        task:cancel()
        task:wait()
        assert.is_true(waited)
      end)
    end)

    it("disturbs nobody else", function ()
      loop.run(function ()
        local one, other = loop.spawn(loop.sleep, 60), loop.spawn(loop.sleep, 0.02)
        loop.sleep(0.001)
        one:cancel()
        assert.is_true(other:wait())
        one:wait()
      end)
    end)
  end)

  describe("a deadline", function ()
    it("bounds everything called under it, and no more than that", function ()
      for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
        call(function ()
          local began = now()
          local ok, err = loop.under(began + 0.02, loop.sleep, 60)
          assert.is_nil(ok)
          assert.equal("timeout", err.code)
          assert.is_true(now() - began >= 0.02)
          assert.is_true(loop.sleep(0.01))
        end)
      end
    end)

    it("stays the earlier of two, and goes back however the function ends", function ()
      local outer, inner = now() + 50, now() + 60
      loop.under(outer, function ()
        assert.equal(outer, loop.deadline())
        loop.under(inner, function () assert.equal(outer, loop.deadline()) end)
        pcall(loop.under, now() + 1, error)
        assert.equal(outer, loop.deadline())
        assert.equal(outer, loop.deadline(1000))
        assert.is_true(loop.deadline(1) < outer)
      end)
      assert.equal(math.huge, loop.deadline())
    end)

    it("is inherited by the tasks spawned under it, and by those alone", function ()
      loop.run(function ()
        local deadline = now() + 50
        local inherited = loop.under(deadline, loop.spawn, loop.deadline)
        local background = loop.under(deadline, loop.background, loop.deadline)
        local free = loop.spawn(loop.deadline)
        assert.same({ deadline, math.huge, math.huge }, { inherited:wait(), background:wait(), (free:wait()) })
      end)
    end)

    it("does not reach what is shielded, but one set there holds", function ()
      for _, call in ipairs { function (fn, ...) return fn(...) end, loop.run } do
        call(function ()
          loop.under(now() - 1, loop.shielded, function ()
            assert.equal(math.huge, loop.deadline())
            assert.is_true(loop.sleep(0.01))
            local own = now() + 0.02
            loop.under(own, function ()
              assert.equal(own, loop.deadline())
              assert.equal("timeout", select(2, loop.sleep(60)).code)
            end)
          end)
        end)
      end
    end)
  end)

  describe("a wait", function ()
    it("is told by loop.fire of any key, all who wait for it", function ()
      local key, got = {}, 0
      loop.run(function ()
        for _ = 1, 3 do
          loop.spawn(function ()
            assert.is_true(loop.park(now() + 60, "other", key))
            got = got + 1
          end)
        end
        loop.sleep(0.001)
        loop.fire(key)
        loop.fire "nobody"
      end)
      assert.equal(3, got)
    end)

    it("says when the deadline came first, in a task, on the main thread and in a coroutine", function ()
      local function wait ()
        local deadline = now() + 0.01
        assert.is_false(loop.park(deadline, {}, 1 << 60))
        assert.is_true(now() >= deadline)
      end
      wait()
      loop.run(wait)
      coroutine.wrap(function () assert.is_false(loop.park(now() + 0.01, 1 << 60)) end)()
    end)

    describe("of the main thread's for a key of the core's", function ()
      local timer, none
      before_each(function ()
        timer, none = assert(core.reactor():timer()), assert(core.reactor():timer())
      end)
      after_each(function ()
        timer:close()
        none:close()
      end)

      it("tells all others who wait for it, and it is the first or the second", function ()
        for _, keys in ipairs { { timer:key() }, { timer:key(), none:key() }, { none:key(), timer:key() } } do
          local task = loop.spawn(loop.park, now() + 60, timer:key())
          loop.sleep(0)
          timer:arm(now() + 0.005)
          assert.is_true(loop.park(now() + 60, table.unpack(keys)))
          assert.is_true(task:wait { timeout = 60 })
        end
      end)

      it("lets a task that is to run bring it about", function ()
        local deadline, kick = now() + 5, state.kick
        state.kick = nil    -- no other event loop is there
        finally(function () state.kick = kick end)
        loop.spawn(function () timer:arm(now()) end)
        assert.is_true(loop.park(deadline, timer:key()))
        assert.is_true(now() < deadline)
      end)

      it("lets a task that wakes up meanwhile go on", function ()
        local deadline = now() + 5
        local task = loop.spawn(function ()
          loop.sleep(0.005)
          timer:arm(now())
        end)
        loop.sleep(0)
        assert.is_true(loop.park(deadline, timer:key()))
        assert.is_true(task.done and now() < deadline)
      end)

      it("is told of its deadline", function ()
        local deadline = now() + 0.005
        assert.is_false(loop.park(deadline, timer:key()))
        assert.is_true(now() >= deadline)
        assert.is_false(loop.under(now(), loop.park, now() + 60, timer:key(), none:key()))
      end)
    end)

    it("leaves nothing behind when the main thread is interrupted", function ()
      local function interrupt () error "interrupted!" end
      debug.sethook(interrupt, "", 2000)
      local ok, err = pcall(function ()
        while true do loop.sleep(0.001) end
      end)
      debug.sethook()
      assert.is_false(ok)
      assert.matches("interrupted!", tostring(err))
    end)
  end)

  describe("where Lua code calls Lua code, a task yields:", function ()
    local function meta (event, fn)
      return setmetatable({}, { [event] = fn })
    end
    for where, call in pairs {
      ["in pcall"] = pcall,
      ["in xpcall"] = function (fn) xpcall(fn, debug.traceback) end,
      ["in __index"] = function (fn) return meta("__index", fn).field end,
      ["in __newindex"] = function (fn) meta("__newindex", fn).field = 1 end,
      ["in __add"] = function (fn) return meta("__add", fn) + 1 end,
      ["in __concat"] = function (fn) return meta("__concat", fn) .. "" end,
      ["in __lt"] = function (fn) return meta("__lt", fn) < 1 end,
      ["in __eq"] = function (fn) return meta("__eq", fn) == {} end,
      ["in __call"] = function (fn) meta("__call", fn)() end,
      ["in __close"] = function (fn) local _ <close> = meta("__close", fn) end,
      ["in an iterator"] = function (fn) for _ in function () fn() end do end end,   -- luacheck: ignore 512
    } do
      it(where .. " others move meanwhile, and tasks are waited for", function ()
        local moved, waited = 0, false
        loop.run(function ()
          local other = loop.spawn(function ()
            moved = moved + 1
            loop.sleep(0.001)
            return "ended"
          end)
          call(function () waited = other:wait() == "ended" end)
          assert.equal(1, moved)
          assert.is_true(waited)
        end)
      end)
    end
  end)

  describe("where a task cannot yield", function ()
    local function sorted (fn)
      table.sort({ 2, 1 }, function (a, b)
        fn()
        return a < b
      end)
    end

    local places = {
      ["in table.sort"] = sorted,
      ["in string.gsub"] = function (fn) ("x"):gsub("x", function () fn() end) end,
      ["in a metamethod called from C"] = function (fn)
        tostring(setmetatable({}, { __tostring = function ()
          fn()
          return ""
        end }))
      end,
      ["in a coroutine that is no task"] = function (fn) coroutine.wrap(fn)() end,
      ["in require"] = function (fn)
        package.preload["spec.loads"] = function ()
          fn()
          return true
        end
        require "spec.loads"
        package.preload["spec.loads"], package.loaded["spec.loads"] = nil, nil
      end,
      ["in a finalizer"] = function (fn)
        setmetatable({}, { __gc = fn })
        collectgarbage()
      end,
    }
    for where, call in pairs(places) do
      it(where .. " it waits for its own alone: no other task moves", function ()
        local moved, moved_meanwhile = 0, nil
        loop.run(function ()
          local stop = false
          loop.spawn(function ()
            while not stop do
              moved = moved + 1
              loop.sleep(0)
            end
          end)
          loop.sleep(0.001)
          call(function ()
            local before = moved
            assert.is_true(loop.sleep(0.01))
            moved_meanwhile = moved - before
          end)
          loop.sleep(0.001)
          stop = true
        end)
        assert.equal(0, moved_meanwhile)
        assert.is_true(moved > 1)
      end)

      it(where .. " waiting for a task raises, as it could never end", function ()
        loop.run(function ()
          local other = loop.spawn(loop.sleep, 0.001)
          local ok, err = true, nil
          call(function () ok, err = pcall(other.wait, other) end)
          assert.is_false(ok)
          assert.equal("usage", err.code)
          assert.matches("^cannot wait for a task here", err.message)
          assert.is_true(other:wait())
        end)
      end)
    end

    it("a deadline holds all the same", function ()
      loop.run(function ()
        loop.under(now() + 0.02, sorted, function ()
          assert.equal("timeout", select(2, loop.sleep(60)).code)
        end)
      end)
    end)

    it("what fires for others meanwhile is not lost", function ()
      local timer <close> = assert(core.reactor():timer())
      local got
      loop.run(function ()
        loop.spawn(function ()
          timer:arm(now() + 0.005)
          got = loop.park(now() + 10, timer:key())
        end)
        loop.sleep(0)
        sorted(function () loop.sleep(0.02) end)
      end)
      assert.is_true(got)
    end)
  end)

  it("is the same when its module is loaded twice", function ()
    local own = package.loaded["firecracker.loop"]
    package.loaded["firecracker.loop"] = nil
    finally(function () package.loaded["firecracker.loop"] = own end)
    local second = require "firecracker.loop"
    assert.not_equal(loop, second)
    local order = {}
    loop.run(function ()
      local task = second.spawn(function ()
        second.sleep(0.01)
        order[#order + 1] = "second"
        return 2
      end)
      order[#order + 1] = "first"
      assert.equal(2, task:wait())
    end)
    assert.same({ "first", "second" }, order)
  end)

  describe("inside another event loop", function ()
    it("shows when to step, and steps", function ()
      assert.is_nil(loop:timeout())
      assert.equal("r", loop:events())
      assert.equal(loop:pollfd(), loop:pollfd())
      local done
      local task = loop.spawn(function ()
        loop.sleep(0.01)
        done = true
      end)
      assert.equal(0, loop:timeout())
      assert.is_true(loop:step())
      local timeout = loop:timeout()
      assert.is_true(timeout > 0 and timeout <= 0.01)
      assert.is_true(loop:step(1))
      while not done do
        assert.is_true(loop:step(1))
      end
      assert.is_nil(loop:timeout())
      assert.is_true(task.done)
    end)

    it("steps inside a task too, which goes on, as do the others: those before and those behind it", function ()
      local order = {}
      local function note (name)
        for i = 1, 2 do
          order[#order + 1] = name .. i
          loop.sleep(0)
        end
      end
      loop.run(function ()
        loop.spawn(note, "before")
        local stepping = loop.spawn(function ()
          order[#order + 1] = "step"
          assert.is_true(loop:step())
          order[#order + 1] = "stepped"
          loop.sleep(0.001)
          order[#order + 1] = "slept"
        end)
        loop.spawn(note, "behind")
        stepping:wait()
      end)
      assert.same({ "before1", "step", "behind1", "before2", "behind2", "stepped", "slept" }, order)
    end)

    it("steps inside a task that is cancelled meanwhile, which its next wait is told", function ()
      local ended
      loop.run(function ()
        local stepping
        stepping = loop.spawn(function ()
          loop.spawn(function () stepping:cancel() end)
          assert.is_true(loop:step())
          assert.is_true(loop:step())
          local ok, err = pcall(loop.sleep, 60)
          ended = not ok and err.code
        end)
      end)
      assert.equal("cancelled", ended)
    end)
  end)
end)
