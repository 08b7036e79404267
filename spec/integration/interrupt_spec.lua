-- Ctrl-C while a script is blocked: it raises at once, and what has a scope is closed on the way out.
local bed = require "spec.support.bed"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm Ctrl-C in a script", function ()
  leaks.check(before_each, after_each, teardown)

  local PRELUDE <const> = [[
    local fc = require "firecracker"
    local config = { run_dir = %q, boot_source = { kernel_image_path = %q } }
    local function boot ()
      return assert(fc.boot(config))
    end
    local function up (...)
      print("up", ...)
      io.stdout:flush()
    end
  ]]

  -- Run a script, interrupt it once it is up; what it wrote and its status.
  local function interrupt (body)
    local path = bed.write(bed.scratch "script.lua", PRELUDE:format(leaks.run_dir, bed.guest "idle") .. body)
    finally(function () os.remove(path) end)
    local out, status = sh(([[
      lua5.4 %s >%s.out 2>&1 & p=$!
      trap 'kill $p 2>/dev/null; cat %s.out; rm -f %s.out' EXIT
      i=0; until grep -q up %s.out; do i=$((i+1)); [ $i -lt 1000 ] || exit 99; sleep 0.01; done
      sleep 0.05
      kill -INT $p
      i=0; while kill -0 $p 2>/dev/null; do i=$((i+1)); [ $i -lt 500 ] || exit 98; sleep 0.01; done
      wait $p]]):format(path, path, path, path, path))
    for pid in out:match "up([^\n]*)":gmatch "%d+" do
      assert.is_nil(io.open("/proc/" .. pid .. "/stat"), "still there: " .. pid)
    end
    return out, status
  end

  it("raises in a wait, and closes what has a scope", function ()
    local out, status = interrupt [[
      local vm <close> = boot()
      up(vm.pid)
      vm:wait()
      print "went on"
    ]]
    assert.equal(1, status)
    assert.matches("interrupted!", out)
    assert.is_nil(out:find "went on")
  end)

  it("raises in a start, once what it made is undone", function ()
    for _, waits in ipairs { "fc.sleep(60)", "vm:kill 'STOP'; return vm.api:get_instance_info()" } do
      local out, status = interrupt(([[
        local flow = assert(fc.flow "boot"):append("fcinit", fc.handler("mine.Slow", function (vm)
          up(vm.pid)
          %s
        end))
        local ok, err = pcall(function ()
          fc.boot(config, flow)
          print "went on"
        end)
        print(ok, err.code, err.handler, table.concat(err.undone, ", "))
        error(err, 0)
      ]]):format(waits))
      assert.equal(1, status, out)
      assert.matches("\nfalse\tinterrupted\tmine.Slow\tapi client, process, run directory\n", out)
      assert.matches("mine.Slow: interrupted!", out)
      assert.is_nil(out:find "went on")
    end
  end)

  it("raises out of what is undone, once all is", function ()
    local out, status = interrupt [[
      local flow = assert(fc.flow "boot"):append("fcinit", fc.handler("mine.Fails", function (vm)
        vm:defer("slow", function () up() fc.sleep(60) end)
        return nil, "no"
      end))
      local ok, err = pcall(fc.boot, config, flow)
      print(ok, err.code, tostring(err), table.concat(err.undone, ", "), err.undo_errors[1].name)
    ]]
    assert.equal(0, status, out)
    assert.matches("\nfalse\tinterrupted\t[^\t]*mine.Fails: no: interrupted!\tslow, api client, process, run directory\tslow\n", out)
    out, status = interrupt [[
      local vm <close> = boot()
      vm:defer("slow", function () up() fc.sleep(60) end)
      local ok, err = pcall(vm.stop, vm, { shutdown = 0 })
      print(ok, err.code, #vm.undo, vm.undo_errors[1].name, vm:stop())
    ]]
    assert.equal(0, status, out)
    assert.matches("\nfalse\tinterrupted\t0\tslow\t<signal 15, by itself>\n", out)
  end)

  it("can be caught, and the machine goes on", function ()
    local out, status = interrupt [[
      local vm <close> = boot()
      up(vm.pid)
      print(pcall(vm.wait, vm))
      print(vm.state, vm:info().state, vm:stop { shutdown = 0 })
    ]]
    assert.equal(0, status)
    assert.matches("false\t.*interrupted!", out)
    assert.matches("running\tRunning\t<signal 15, by term>", out)
  end)

  it("ends a run and its tasks, each closing what it has", function ()
    local out, status = interrupt [[
      fc.run(function ()
        local pids = {}
        for i = 1, 3 do
          fc.spawn(function ()
            local vm <close> = boot()
            pids[#pids + 1] = vm.pid
            local closed <close> = setmetatable({}, { __close = function () print("closed", i) end })
            vm:wait()
          end)
        end
        repeat fc.sleep(0.005) until #pids == 3
        up(table.unpack(pids))
        fc.sleep(60)
      end)
    ]]
    assert.equal(1, status)
    assert.matches("interrupted!", out)
    for i = 1, 3 do
      assert.matches("closed\t" .. i, out)
    end
  end)

  it("raises during a request that is not answered", function ()
    local out, status = interrupt [[
      local vm <close> = boot()
      vm:kill "STOP"
      up(vm.pid)
      vm:info()
    ]]
    assert.equal(1, status)
    assert.matches("interrupted!", out)
  end)
end)
