-- The loop inside other event loops: the same calls, many at a time, while the others' own work goes on.
local bed = require "spec.support.bed"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

local GUESTS <const>, CALLS <const> = 5, 50

describe("#kvm requests inside another event loop", function ()
  setup(function () fc.loop:pollfd() end)    -- makes the timer for other loops, which stays
  leaks.check(before_each, after_each, teardown)

  local function boot_all ()
    local vms = {}
    for i = 1, GUESTS do
      vms[i] = assert(fc.boot(bed.config "idle"))
    end
    return setmetatable(vms, { __close = function ()
      for _, vm in ipairs(vms) do
        vm:close()
      end
    end })
  end

  local function ask (vms, i)
    local vm = vms[i % GUESTS + 1]
    local info = assert(vm:info())
    assert.equal(vm.id, info.id)
  end

  describe("cqueues", function ()
    local cqueues = require "cqueues"

    it("run side by side, and its own timers go on", function ()
      local vms <close> = boot_all()
      local controller = cqueues.new()
      local done, ticks, under_way = 0, 0, 0
      for _, vm in ipairs(vms) do
        assert(vm:kill "STOP")   -- no reply before all have asked
      end
      for i = 1, CALLS do
        controller:wrap(function ()
          under_way = under_way + 1
          ask(vms, i)
          done = done + 1
        end)
      end
      controller:wrap(function ()
        while under_way < CALLS do
          cqueues.sleep(0.001)
        end
        for _, vm in ipairs(vms) do
          assert(vm:kill "CONT")
        end
      end)
      controller:wrap(function ()
        while done < CALLS do
          cqueues.sleep(0.001)
          ticks = ticks + 1
        end
      end)
      assert(controller:loop(30))
      assert.equal(CALLS, done)
      assert.is_true(ticks > 0)
    end)

    it("boot, wait and stop, each under a deadline of its own", function ()
      local controller = cqueues.new()
      local ended, late = 0, 0
      for _ = 1, 4 do
        controller:wrap(function ()
          local vm <close> = assert(fc.boot(bed.config "hello"))
          assert.same({ exited = 0 }, vm:wait { timeout = 10 })
          ended = ended + 1
        end)
        controller:wrap(function ()
          local vm <close> = assert(fc.boot(bed.config "idle"))
          local _, err = vm:wait { timeout = 0.05 }
          late = late + (err.code == "timeout" and 1 or 0)
        end)
      end
      assert(controller:loop(30))
      assert.equal(4, ended)
      assert.equal(4, late)
    end)

    it("in a task of ours, whose others go on", function ()
      local vms <close> = boot_all()
      local done, ticks = 0, 0
      fc.run(function ()
        local ticker = fc.spawn(function ()
          while done < CALLS do
            fc.sleep(0.0001)
            ticks = ticks + 1
          end
        end)
        local controller = cqueues.new()
        for i = 1, CALLS do
          controller:wrap(function ()
            ask(vms, i)
            done = done + 1
          end)
        end
        assert(controller:loop(30))
        ticker:wait()
      end)
      assert.equal(CALLS, done)
      assert.is_true(ticks > 0)
    end)

    it("with tasks of ours inside", function ()
      local vms <close> = boot_all()
      local controller = cqueues.new()
      local done = 0
      controller:wrap(function ()
        fc.run(function ()
          for i = 1, CALLS do
            fc.spawn(function ()
              ask(vms, i)
              done = done + 1
            end)
          end
        end)
      end)
      assert(controller:loop(30))
      assert.equal(CALLS, done)
    end)
  end)

  describe("luv", function ()
    local uv = require "spec.support.luv"

    it("run side by side as tasks, started from its callbacks, and its own timers go on", function ()
      local vms <close> = boot_all()
      local done, ticks, under_way = 0, 0, 0
      for _, vm in ipairs(vms) do
        assert(vm:kill "STOP")   -- no reply before all have asked
      end
      uv.update_time()    -- the loop stood since another spec
      local poll, timer, ticker = uv.new_poll(fc.loop:pollfd()), uv.new_timer(), uv.new_timer()
      poll:start("r", function () fc.loop:step() end)
      ticker:start(0, 1, function ()
        ticks = ticks + 1
        if under_way == CALLS then
          under_way = 0
          for _, vm in ipairs(vms) do
            assert(vm:kill "CONT")
          end
        end
      end)
      timer:start(5, 0, function ()
        for i = 1, CALLS do
          fc.spawn(function ()
            under_way = under_way + 1
            ask(vms, i)
            done = done + 1
            fc.sleep(0.002)
            if done == CALLS then
              uv.stop()
            end
          end)
        end
      end)
      local limit = uv.new_timer()
      limit:start(30000, 0, uv.stop)
      uv.run()
      for _, handle in ipairs { poll, timer, ticker, limit } do
        handle:close()
      end
      uv.run()
      assert.equal(CALLS, done)
      assert.is_true(ticks > 0)
    end)
  end)
end)
