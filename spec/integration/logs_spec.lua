-- The real VMM's log through FIFOs: parsed, handed on, and never in the VMM's way.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm the VMM's log", function ()
  leaks.check(before_each, after_each, teardown)

  local function scratch (name)
    local path = bed.scratch(name)
    finally(function () os.remove(path) end)
    return path
  end

  -- Three lines a request at Debug.
  local function chatter (vm, requests)
    for _ = 1, requests do
      assert(vm:info())
    end
  end

  for _, shown in ipairs { {}, { show_level = false }, { show_level = true }, { show_log_origin = true },
                           { show_level = false, show_log_origin = true } } do
    it(("is parsed with show_level %s, show_log_origin %s"):format(shown.show_level, shown.show_log_origin), function ()
      local records = {}
      local logger = { level = "Debug", to = function (_, record) records[#records + 1] = record end }
      for key, value in pairs(shown) do
        logger[key] = value
      end
      local vm <close> = assert(fc.boot(bed.config("hello", { logger = logger })))
      assert.equal("Debug", vm.log_level)
      assert.equal(vm.directory .. "/logger.fifo", vm.log_path)
      assert.same({ exited = 0 }, vm:wait { timeout = 10 })
      assert.is_true(#records > 10)
      for _, record in ipairs(records) do
        assert.matches("^%d+%-%d+%-%d+T%d+:%d+:%d+%.%d+$", record.time)
        assert.equal(vm.id, record.id)
        assert.matches("^[%a_]+ ?%d*$", record.thread)
        assert.equal(shown.show_level ~= false, record.level ~= nil)
        assert.equal(shown.show_log_origin == true, record.file ~= nil and record.line ~= nil and record.module ~= nil)
      end
      assert.matches("exit_code=0", records[#records].message)
    end)
  end

  it("is told to config.log, by file as well", function ()
    for _, via in ipairs { "api", "config_file" } do
      local told = {}
      local vm <close> = assert(fc.boot(bed.config("hello", {
        logger = { level = "Info" }, log = function (event) told[#told + 1] = event.event == "log" and event or nil end,
      }), { via = via }))
      assert.same({ exited = 0 }, vm:wait { timeout = 10 })
      assert.equal("Artificially kick devices.", (function ()
        for _, event in ipairs(told) do
          if event.message:find "kick" then
            return event.message
          end
        end
      end)(), via)
      for _, event in ipairs(told) do
        assert.equal(vm.id, event.id)
        assert.is_nil(event.message:find("boot_args", 1, true))
      end
      assert.matches("exit_code=0", told[#told].message)
    end
  end)

  it("goes to a file and a function at once", function ()
    local path, n = scratch "log", 0
    local vm <close> = assert(fc.boot(bed.config("hello", {
      logger = { level = "Info", log_path = path, to = function () n = n + 1 end },
    })))
    assert.equal(path, vm.log_path)
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal(n, select(2, bed.read(path):gsub("\n", "")))
    assert.matches("exit_code=0", bed.read(path))
  end)

  it("ends up in the error of a VMM that died, however the logger is set", function ()
    for _, logger in ipairs { { to = function () end }, { log_path = scratch "log" }, {}, false } do
      local vm <close> = assert(fc.boot(bed.config("idle", { logger = logger or nil })))
      vm:kill "SEGV"
      bed.eventually(function () return vm.state == "exited" end, "its end")
      local info, err = vm:info()
      assert.is_nil(info)
      assert.equal("exited", err.code)
      assert.equal(150, err.exited)
      assert.matches("intercepting signal 11", err.message)
      assert.matches("intercepting signal 11", err.stderr)
      vm:wait()
    end
  end)

  it("is told from the guest's bytes where both go to standard output", function ()
    local console, lines = "", {}
    local vm <close> = assert(fc.boot(bed.config("hello", {
      console = fc.logs.split {
        console = function (bytes) console = console .. bytes end,
        log = function (line, record) lines[#lines + 1] = record.id and line end,
      },
      vmm = { spawn = function (spec, start)
        for i, word in ipairs(spec.argv) do
          if word == "--log-path" then
            table.remove(spec.argv, i)
            spec.argv[i] = "--show-level"
            table.move(spec.argv, i + 3, #spec.argv + 2, i + 1)   -- the level is Info then
            break
          end
        end
        return start(spec)
      end },
    })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal("hello from the guest\n", console)
    assert.is_true(#lines > 5)
    assert.matches("exit_code=0", lines[#lines])
  end)

  it("whose reader is killed holds nothing up, and another can take his place", function ()
    local fifo, out = bed.scratch "fifo", scratch "out"
    local vm <close> = assert(fc.boot(bed.config("idle", { logger = { fifo = fifo, level = "Debug" }, metrics = {} })))
    assert.equal(fifo, vm.log_path)
    sh(("cat %s >%s 2>/dev/null & echo $! >%s.pid"):format(fifo, out, out))
    finally(function () os.remove(out .. ".pid") end)
    bed.eventually(function ()
      chatter(vm, 1)
      return core.files.look(out) and bed.read(out):find "Status code"
    end, "a line for the reader")
    sh(("kill -9 $(cat %s.pid)"):format(out))
    chatter(vm, 600)   -- more than the FIFO holds
    assert.is_true(vm:metrics().logger.missed_log_count > 0)
    local again = sh(("timeout 5 head -n 3 %s"):format(fifo))
    assert.equal(3, select(2, again:gsub("\n", "")))
    vm:stop()
    assert.is_nil((core.files.look(fifo)))
  end)

  it("through a FIFO that was replaced by a file or a link is an error, and the rest is undone", function ()
    local victim = bed.write(scratch "victim", "mine")
    for what, command in pairs { file = "touch %s", link = "ln -s " .. victim .. " %s" } do
      local fifo = bed.scratch "fifo"
      finally(function () os.remove(fifo) end)
      local flow = fc.flow "boot":append_after("fcinit.CreateLogFilesHandler", fc.handler("mine.Replace", function ()
        os.remove(fifo)
        sh(command:format(fifo))
      end))
      local vm, err = fc.boot(bed.config("idle", { logger = { fifo = fifo } }), flow)
      assert.is_nil(vm)
      assert.equal("config", err.code)
      assert.equal("fcinit.BootstrapLogging", err.handler)
      assert.equal(("fcinit.BootstrapLogging: config.logger.fifo: %s was replaced by a %s"):format(fifo, what), err.message)
      assert.equal("mine", bed.read(victim))
      assert.equal(what, core.files.look(fifo).type)   -- not ours: left alone, and told of
      assert.matches("was replaced: it is left alone", err.undo_errors[1].err.message)
      os.remove(fifo)
    end
  end)

  it("that cannot go to one of its two files leaves the other closed", function ()
    local file, directory = bed.scratch "vm.log", bed.scratch "directory"
    assert(core.files.mkdir(directory))
    finally(function ()
      os.remove(file)
      os.remove(directory)
    end)
    for _, logger in ipairs { { log_path = file, to = directory }, { log_path = directory, to = file } } do
      bed.closes_all(function ()
        local vm, err = fc.boot(bed.config("hello", { logger = logger }))
        assert.is_nil(vm)
        assert.equal("EISDIR", err.errno)
      end)
    end
  end)

  it("for a function that sleeps, or raises, holds nothing up", function ()
    for _, to in ipairs { function () fc.sleep(0.2) end, function () error "no" end } do
      local told = 0
      local vm <close> = assert(fc.boot(bed.config("idle", {
        logger = { level = "Debug", to = to },
        log = function (event) told = told + (event.event == "logger" and event.level == "error" and 1 or 0) end,
      })))
      chatter(vm, 300)
      local began = core.now()
      assert(vm:stop { shutdown = 0 })
      assert.is_true(core.now() - began < 20)
      assert.is_true(told <= 1)
    end
  end)

  it("is whole up to the byte when the VMM is killed in the middle of it", function ()
    for _ = 1, 5 do
      fc.run(function ()
        local lines = {}
        local vm <close> = assert(fc.boot(bed.config("idle", {
          logger = { level = "Debug", to = function (line, record) lines[#lines + 1] = { line, record } end },
        })))
        for _ = 1, 4 do
          fc.spawn(function () while vm:info() do end end)
        end
        fc.sleep(0.02)
        vm:kill()
        assert.same({ signal = 9 }, vm:wait())
        assert.is_true(#lines > 20)
        for i, each in ipairs(lines) do
          assert.is_true(each[2].time ~= nil or i == #lines, each[1])
          assert.is_nil(each[2].continued)
        end
      end)
    end
  end)

  it("of 24 machines at once is each one's own, and so are the metrics", function ()
    local configs, lines, problems = {}, {}, {}
    for i = 1, 24 do
      configs[i] = bed.config("idle", {
        id = "log-" .. i, metrics = {},
        logger = { level = "Debug", to = function (line, record)
          lines[i] = (lines[i] or 0) + 1
          assert(record.id == "log-" .. i, line)
        end },
        log = function (event) problems[#problems + 1] = event.level == "error" and event.message or nil end,
      })
    end
    fc.run(function ()
      local vms <close> = fc.map(configs, fc.boot, { limit = 8 })
      assert.same({}, vms.errors)
      fc.map(vms, function (vm)
        local i = tonumber(vm.id:match "%d+")
        chatter(vm, i)
        assert(vm:metrics().get_api_requests.instance_info_count == i)
        assert(vm:metrics().get_api_requests.instance_info_count == i)
      end)
      for _, vm in ipairs(vms) do
        vm:kill()
        vm:wait()
      end
    end)
    assert.same({}, problems)
    for i = 1, 24 do
      assert.is_true(lines[i] >= 3 * i, i)
    end
  end)

  it("of a flood keeps memory bounded and the loop awake", function ()
    fc.run(function ()
      local got, ticks = 0, 0
      local vm <close> = assert(fc.boot(bed.config("idle", {
        logger = { level = "Debug", to = function () got = got + 1 end },
      })))
      -- a second writer, faster than any VMM
      local flood = ("x"):rep(119) .. "\n"
      local path = bed.write(scratch "flood", flood:rep(20000))
      sh(("(for i in 1 2 3 4 5 6 7 8 9 10; do cat %s; done >%s; echo >%s.done) >/dev/null 2>&1 &"):format(path, vm.log_path, path))
      finally(function () os.remove(path .. ".done") end)
      collectgarbage()
      local before, most = collectgarbage "count", 0
      while not core.files.look(path .. ".done") do
        fc.sleep(0.001)
        ticks = ticks + 1
        if ticks % 4 == 1 then
          collectgarbage()    -- what is in use; how much garbage there may be is the collector's matter
          most = math.max(most, collectgarbage "count" - before)
        end
        assert(vm:info())
      end
      bed.eventually(function () return got >= 200000 end, "the flood's lines", 30)
      assert.is_true(most < 8 * 1024, most)    -- of 24 MB
      assert.is_true(ticks > 5)
    end)
  end)
end)
