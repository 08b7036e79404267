-- Log and metrics taken in, with writers of our own in the VMM's place.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fds = require "spec.support.fds"
local intake = require "firecracker.intake"
local loop = require "firecracker.loop"
local machine_stub = require "spec.support.machine_stub"
local sh = require "spec.support.sh"

local LINE <const> = "2026-11-23T17:33:06.856322055 [vm1:fc_api:INFO:src/vmm/src/a.rs:1] "

describe("intake", function ()
  -- A function that sleeps until it is told to go on, and the one that tells.
  local function sleeper ()
    local awake = false
    return function ()
      while not awake do
        loop.park(math.huge, sleeper)
      end
    end, function ()
      awake = true
      loop.fire(sleeper)
    end
  end

  before_each(fds.remember)
  after_each(function ()
    collectgarbage()
    fds.compare()
  end)

  -- fn(vm, section's config): a machine with what is needed; undone afterwards, without a failure.
  local function with (config, fn)
    sh.tmpdir(function (dir)
      local vm = machine_stub(config(dir))
      vm.id, vm.directory, vm.config.log_level = "vm1", dir, vm.config.log_level or "debug"
      local failures
      do
        local undone <close> = setmetatable({}, { __close = function () failures = select(2, vm.undo:unwind(0, vm)) end })
        fn(vm, dir)
        assert(undone)
      end
      vm.failures = failures
      fn = vm
    end)
    return fn
  end

  local function writer (vm, section)
    local file = assert(io.open(vm.fifos[section or "logger"].path, "w"))
    file:setvbuf "no"
    return file
  end

  it("hands lines and what is parsed of them to a function, in order, the last one cut", function ()
    local lines, records = {}, {}
    local vm = with(function ()
      return { logger = { to = function (line, record) lines[#lines + 1], records[#records + 1] = line, record end } }
    end, function (vm)
      assert(intake.prepare(vm, "logger"))
      local to <close> = writer(vm)
      to:write(LINE, "one\n", LINE, "tw")
      bed.eventually(function () return #lines == 1 end, "a line")
      to:write "o\nmore\n2026-cut"
    end)
    assert.same({}, vm.failures)
    assert.same({ LINE .. "one", LINE .. "two", "more", "2026-cut" }, lines)
    assert.equal("one", records[1].message)
    assert.equal("info", records[2].level)
    assert.is_true(records[3].continued)
  end)

  it("parses nothing for a function that takes the line alone", function ()
    local n
    with(function () return { logger = { to = function (...) n = select("#", ...) end } } end, function (vm)
      assert(intake.prepare(vm, "logger"))
      assert.is_true(vm.readers.logger.sinks.parses)
    end)
    with(function () return { logger = { to = function (line) n = line end } } end, function (vm)
      assert(intake.prepare(vm, "logger"))
      assert.is_false(vm.readers.logger.sinks.parses)
      writer(vm):write("x\n"):close()
    end)
    assert.equal("x", n)
  end)

  it("tells config.log of log lines, at their level, without the bodies of requests", function ()
    for _, level in ipairs { "info", "trace" } do
      local told = {}
      with(function ()
        return { logger = { level = "Trace" }, log_level = level, log = function (event) told[#told + 1] = event end }
      end, function (vm)
        assert(intake.prepare(vm, "logger"))
        assert.is_true(intake.body(vm, "logger").show_level)
        local to <close> = writer(vm)
        to:write(LINE:gsub("INFO", "DEBUG"), "detail\n", LINE, 'The API server received a Put request on "/x" with body "secret".\n')
      end)
      assert.equal(level == "info" and 1 or 2, #told)
      local event = told[#told]
      assert.same({ "log", "info", "vm1", "fc_api", "vmm::a", 1 },
        { event.event, event.level, event.id, event.thread, event.module, event.line })
      assert.equal('The API server received a Put request on "/x"' .. (level == "info" and "" or ' with body "secret".'), event.message)
      assert.is_number(event.time)
    end
  end)

  it("adds lines to a file, to log_path beside `to`, and follows no link", function ()
    local got = 0
    local vm = with(function (dir)
      bed.write(dir .. "/have", "old\n")
      return { logger = { to = function () got = got + 1 end, log_path = dir .. "/have" }, metrics = { to = dir .. "/new" } }
    end, function (vm, dir)
      assert(intake.prepare(vm, "logger"))
      assert(intake.prepare(vm, "metrics"))
      writer(vm):write("one\n"):close()
      writer(vm, "metrics"):write('{"utc_timestamp_ms":1}\n'):close()
      bed.eventually(function () return bed.read(dir .. "/new") ~= "" and bed.read(dir .. "/have") ~= "old\n" end, "the lines")
      assert.equal("old\none\n", bed.read(dir .. "/have"))
      assert.equal('{"utc_timestamp_ms":1}\n', bed.read(dir .. "/new"))
      assert.equal(384, core.files.look(dir .. "/new").mode)
    end)
    assert.same({}, vm.failures)
    assert.equal(1, got)
    for what, message in pairs { link = "is a symbolic link", fifo = "is a fifo, no file", directory = "Is a directory" } do
      with(function (dir)
        sh(("cd %s && touch victim && ln -s victim link && mkfifo fifo && mkdir directory && exec 3<>fifo"):format(dir))
        return { logger = { to = dir .. "/" .. what } }
      end, function (machine, dir)
        local held <close> = assert(core.files.open(dir .. "/fifo", "r+"))
        local ok, err = intake.prepare(machine, "logger")
        assert.is_nil(ok)
        assert.matches("^config.logger.to: .*" .. message, err.message)
        assert.equal("", bed.read(dir .. "/victim"))
        assert.truthy(held)
      end)
    end
  end)

  it("goes on when a function raises or a file is full, and tells of it once", function ()
    local told, kept = {}, 0
    local vm = with(function (dir)
      return { logger = { to = function () error "no more" end, log_path = "/dev/full", fifo = dir .. "/fifo" },
               log = function (event)
                 told[#told + 1] = event.level == "error" and event.message or nil
                 kept = kept + (event.event == "log" and 1 or 0)
               end }
    end, function (vm)
      assert(intake.prepare(vm, "logger"))
      local to <close> = writer(vm)
      for _ = 1, 5 do
        to:write(LINE, "x\n")
      end
      bed.eventually(function () return kept == 5 end, "all lines")
    end)
    assert.same({}, vm.failures)
    assert.equal(2, #told)
    table.sort(told)
    assert.matches("^config.logger.log_path failed: No space left", told[1])
    assert.matches("^config.logger.to failed: .*no more", told[2])
  end)

  it("drops lines for a function that sleeps, counts them, tells of it once, and never holds a writer up", function ()
    local told, got, release, total = {}, 0, {}, 60000
    local vm = with(function ()
      return { logger = { to = function ()
                 got = got + 1
                 if got == 1 then
                   loop.park(math.huge, release)
                 end
               end },
               log = function (event) told[#told + 1] = event.event == "logger" and event or nil end }
    end, function (vm)
      assert(intake.prepare(vm, "logger"))
      vm.readers.logger.sinks.announces = false
      local to <close> = writer(vm)
      local text = ("x"):rep(99) .. "\n"
      for i = 1, total do
        to:write(text)
        if i % 200 == 0 then
          loop.sleep(0)   -- it is we who read, too
        end
      end
      bed.eventually(function () return vm.readers.logger.dropped > 0 end, "a dropped line")
      local reader = vm.readers.logger
      assert.is_true(reader.last - reader.first < 17)
      loop.fire(release)
    end)
    assert.same({}, vm.failures)
    assert.equal(2, #told)
    assert.equal("config.logger.to is too slow: lines are dropped", told[1].message)
    assert.equal(total, got + told[2].dropped)
    assert.equal(("config.logger.to was too slow: %d lines were dropped"):format(told[2].dropped), told[2].message)
    assert.is_true(got > 1000)
  end)

  it("lets who is told of dropped lines end the machine", function ()
    local on_drop
    local vm = with(function ()
      return { logger = { to = function () loop.park(math.huge, {}) end },
               log = function (event) return event.event == "logger" and on_drop() end }
    end, function (vm)
      assert(intake.prepare(vm, "logger"))
      local reader = vm.readers.logger
      function on_drop ()
        on_drop = function () end
        vm.failures = select(2, vm.undo:unwind(0, vm))
      end
      local to <close> = writer(vm)
      bed.eventually(function ()
        if reader.open then
          to:write(("x\n"):rep(1000))
          assert.is_string(reader:last_lines())
        end
        return not reader.open
      end, "the end")
    end)
    assert.same({}, vm.failures)
  end)

  it("does not wait for a function that never returns", function ()
    local vm = with(function () return { logger = { to = function () loop.park(math.huge, {}) end } } end, function (vm)
      assert(intake.prepare(vm, "logger"))
      writer(vm):write("a\nb\n"):close()
      loop.sleep(0.01)
    end)
    assert.same({}, vm.failures)
  end)

  it("lets a function end the machine that it is told of", function ()
    local lines, ended = {}, false
    local vm = with(function (dir)
      return { logger = { log_path = dir .. "/log", to = function (line) lines[#lines + 1] = line; ended = ended or lines.stop() end } }
    end, function (vm, dir)
      function lines.stop ()
        local began = core.now()
        vm.failures = select(2, vm.undo:unwind(0, vm))
        assert.is_true(core.now() - began < 3)
        return true
      end
      assert(intake.prepare(vm, "logger"))
      local to <close> = writer(vm)
      to:write "a\nb\n"
      bed.eventually(function () return lines[2] end, "the second line")
      loop.sleep(0.01)
      assert.equal("a\nb\n", bed.read(dir .. "/log"))
    end)
    assert.is_true(ended)
    assert.same({}, vm.failures)
  end)

  it("is drained by nobody when its FIFO's reader is somebody else, and outlives him", function ()
    local vm = with(function (dir) return { logger = { fifo = dir .. "/fifo" } } end, function (vm, dir)
      assert(intake.prepare(vm, "logger"))
      assert.is_nil(vm.readers)
      assert.same({ log_path = dir .. "/fifo" }, intake.body(vm, "logger"))
      local to <close> = writer(vm)
      local first <close> = assert(io.open(dir .. "/fifo"))
      to:write "one\n"
      assert.equal("one", first:read())
      first:close()
      to:write "two\n"            -- neither SIGPIPE nor EPIPE
      local second <close> = assert(io.open(dir .. "/fifo"))
      assert.equal("two", second:read())
    end)
    assert.same({}, vm.failures)
  end)

  it("refuses a FIFO whose name is taken, and one that was replaced; leaves what replaced it", function ()
    for what, command in pairs { file = "touch f", link = "ln -s /dev/null f", fifo = "mkfifo f", directory = "mkdir f" } do
      with(function (dir)
        sh(("cd %s && %s"):format(dir, command))
        return { logger = { fifo = dir .. "/f" } }
      end, function (vm, dir)
        local ok, err = intake.prepare(vm, "logger")
        assert.is_nil(ok)
        assert.equal(("config.logger.fifo: %s/f exists already (a %s)"):format(dir, what), err.message)
        assert.truthy(core.files.look(dir .. "/f"))
      end)
      local vm = with(function (dir) return { logger = { fifo = dir .. "/f" } } end, function (vm, dir)
        assert(intake.prepare(vm, "logger"))
        assert(intake.check(vm, "logger"))
        sh(("cd %s && rm f"):format(dir))
        assert.matches("f is gone$", select(2, intake.check(vm, "logger")).message)
        sh(("cd %s && %s"):format(dir, command))
        local ok, err = intake.check(vm, "logger")
        assert.is_nil(ok)
        assert.equal("config", err.code)
        assert.equal(("config.logger.fifo: %s/f was replaced by a %s"):format(dir, what), err.message)
      end)
      assert.equal(1, #vm.failures)
      assert.matches("f was replaced: it is left alone$", vm.failures[1].err.message)
    end
  end)

  it("keeps the last lines for an error", function ()
    local sleep, wake = sleeper()
    with(function () return { logger = { to = sleep } } end, function (vm)
      assert(intake.prepare(vm, "logger"))
      assert.equal("", intake.last_lines(vm))
      local to <close> = writer(vm)
      for i = 1, 400 do
        to:write(("line %d\n"):format(i))
      end
      local text = intake.last_lines(vm)
      assert.matches("line 399\nline 400$", text)
      assert.is_true(#text <= 2048 and #text > 1900)
      wake()
    end)
  end)

  it("adds metrics up, whoever is slow", function ()
    local sleep, wake = sleeper()
    with(function () return { metrics = { to = sleep } } end, function (vm)
      assert(intake.prepare(vm, "metrics"))
      local to <close> = writer(vm, "metrics")
      for i = 1, 3 do
        to:write(('{"utc_timestamp_ms":%d,"net":{"rx":2}}\nnoise\n'):format(i))
      end
      local values = assert(intake.metrics(vm, { flush = false }))
      assert.same({ utc_timestamp_ms = 3, net = { rx = 6 } }, values)
      values.net.rx = 0
      assert.equal(6, intake.metrics(vm, { flush = false }).net.rx)
      wake()
    end)
  end)

  it("reads metrics from their file, and not what was there before", function ()
    local old = '{"utc_timestamp_ms":1,"net":{"rx":100}}\n'
    with(function (dir)
      bed.write(dir .. "/m", old .. old .. old)
      return { metrics = { metrics_path = dir .. "/m" } }
    end, function (vm, dir)
      assert(intake.prepare(vm, "metrics"))
      assert.same({}, intake.metrics(vm, { flush = false }))
      local to <close> = assert(io.open(dir .. "/m", "r+"))    -- as the VMM writes: over what is there
      to:setvbuf "no"
      local now = os.time() * 1000 + 10000
      to:write(('{"utc_timestamp_ms":%d,"net":{"rx":1}}\n'):format(now))
      assert.equal(1, intake.metrics(vm, { flush = false }).net.rx)
      to:write(('{"utc_timestamp_ms":%d,"net":{"r'):format(now + 1))
      assert.equal(1, intake.metrics(vm, { flush = false }).net.rx)
      to:write 'x":2}}\n'
      assert.equal(3, intake.metrics(vm, { flush = false }).net.rx)
      assert.equal(3, intake.metrics(vm, { flush = false }).net.rx)
    end)
  end)

  it("says why there are no metrics, and refuses wrong options", function ()
    local function why (metrics)
      local vm = machine_stub { metrics = metrics }
      vm.id = "vm1"
      local values, err = intake.metrics(vm)
      assert.is_nil(values)
      assert.equal("state", err.code)
      return err.message
    end
    assert.equal("machine vm1: config.metrics is absent", why(nil))
    assert.equal("machine vm1: its metrics go to who reads /f", why { fifo = "/f" })
    assert.matches("run fcinit.CreateLogFilesHandler$", why {})
    for message, options in pairs {
      ["metrics: flush: boolean expected, got 'no'"] = { flush = "no" },
      ["metrics: flsh: unknown key (did you mean 'flush'?)"] = { flsh = true },
      ["metrics: labels: table expected, got 5"] = { labels = 5 },
      ["metrics: timeout: seconds expected, got '1'"] = { timeout = "1" },
      ["metrics: format: 'prometheus' expected, got 'json'"] = { format = "json" },
      ["metrics: format: 'prometheus' expected, got 5"] = { format = 5 },
    } do
      local ok, err = pcall(intake.metrics, {}, options)
      assert.is_false(ok)
      assert.equal(message, err.message)
    end
  end)
end)
