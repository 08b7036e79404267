-- The real VMM's metrics: counted over its flushes, as a table and as Prometheus text.
local bed = require "spec.support.bed"
local exposition = require "spec.support.exposition"
local fc = require "firecracker"
local fc_files = require "firecracker.core".files
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm the VMM's metrics", function ()
  leaks.check(before_each, after_each, teardown)

  local function drives (...)
    local list = {}
    for _, id in ipairs { ... } do
      local path = bed.write(bed.scratch "drive", ("\0"):rep(4096))
      finally(function () os.remove(path) end)
      list[#list + 1] = { drive_id = id, path_on_host = path, is_root_device = false, is_read_only = true }
    end
    return list
  end

  for _, where in ipairs { "a FIFO of ours", "a function", "a file", "a link to a file" } do
    it(("through %s are what was counted since the start"):format(where), function ()
      local path, lines = bed.scratch "metrics", {}
      finally(function () os.remove(path) end)
      local metrics = where:find "file" and { metrics_path = path } or {}
      if where == "a link to a file" then
        local target = bed.write(bed.scratch "target", "")
        finally(function () os.remove(target) os.remove(path) end)
        sh(("ln -s %s %s"):format(target, path))
      end
      if where == "a function" then
        function metrics.to (line, object)
          lines[#lines + 1] = object.utc_timestamp_ms and line
        end
      end
      local vm <close> = assert(fc.boot(bed.config("idle", { metrics = metrics })))
      local first = assert(vm:metrics())
      for i = 1, 5 do
        assert(vm:info())
        local values = assert(vm:metrics())
        assert.equal(i, values.get_api_requests.instance_info_count)
        assert.equal(first.put_api_requests.actions_count + i, values.put_api_requests.actions_count)
        assert.equal(1, values.put_api_requests.boot_source_count)
        assert.is_true(values.utc_timestamp_ms >= first.utc_timestamp_ms)
      end
      assert.equal(5, vm:metrics { flush = false }.get_api_requests.instance_info_count)
      assert(vm:pause())
      local paused = assert(vm:metrics())
      assert.is_true(paused.latencies_us.pause_vm > 0)
      assert.equal(paused.latencies_us.pause_vm, assert(vm:metrics()).latencies_us.pause_vm)   -- no counter
      if where == "a function" then
        bed.eventually(function () return #lines >= 8 end, "the lines")
      end
      vm:kill "HUP"    -- it writes once more
      vm:wait()
      assert.equal(1, vm:metrics().signals.sighup)
      assert.equal(5, vm:metrics().get_api_requests.instance_info_count)
    end)
  end

  it("are Prometheus text, a device each", function ()
    local vm <close> = assert(fc.boot(bed.config("idle", { metrics = {}, drives = drives("a", "b") })))
    local samples, types = exposition(assert(vm:metrics { format = "prometheus" }))
    local id = ",id=" .. vm.id
    for _, device in ipairs { "a", "b" } do
      assert.equal(0, samples[("firecracker_block_read_count_total{device=%s%s}"):format(device, id)])
    end
    assert.is_nil(samples[("firecracker_block_read_count_total{id=%s}"):format(vm.id)])
    assert.equal(2, samples[("firecracker_put_api_requests_drive_count_total{id=%s}"):format(vm.id)])
    assert.equal(0, samples[("firecracker_net_rx_bytes_count_total{id=%s}"):format(vm.id)])
    assert.equal("gauge", types.firecracker_latencies_us_pause_vm)
    local n = 0
    for _ in pairs(samples) do
      n = n + 1
    end
    assert.is_true(n > 150)
    local text = vm:metrics { format = "prometheus", labels = { host = "a\"b" }, flush = false }
    assert.truthy(exposition(text)['firecracker_put_api_requests_drive_count_total{host=a"b}'])
  end)

  it("of one that has not started, has none, or gives them away say so", function ()
    local vm <close> = assert(fc.new(bed.config("idle", { metrics = {} })))
    local values, err = vm:metrics()
    assert.is_nil(values)
    assert.equal("state", err.code)
    local fifo = bed.scratch "fifo"
    for _, metrics in ipairs { false, { fifo = fifo } } do
      local other <close> = assert(fc.boot(bed.config("idle", { metrics = metrics or nil })))
      values, err = other:metrics()
      assert.is_nil(values)
      assert.equal("state", err.code)
      assert.matches(metrics and "its metrics go to who reads " .. fifo or "config.metrics is absent", err.message, 1, true)
    end
  end)

  -- Asked for once the VMM was gone, they held up the process for ever: it opened the FIFO, and nobody wrote to it any more.
  it("in a FIFO that is only named are its reader's", function ()
    local fifo = bed.scratch "fifo"
    finally(function () os.remove(fifo) end)
    assert(fc_files.mkfifo(fifo))
    local vm <close> = assert(fc.boot(bed.config("idle", { metrics = { metrics_path = fifo } })))
    for _ = 1, 2 do
      local values, err = vm:metrics()
      assert.is_nil(values)
      assert.equal("state", err.code)
      assert.matches("its metrics go to who reads " .. fifo, err.message, 1, true)
      vm:kill "KILL"
      vm:wait()
    end
  end)

  it("through a FIFO of the user's reach its reader", function ()
    local fifo, out = bed.scratch "fifo", bed.scratch "out"
    finally(function () os.remove(out) end)
    local vm <close> = assert(fc.boot(bed.config("hello", { metrics = { fifo = fifo } })))
    sh(("timeout 10 head -n 1 <%s >%s 2>/dev/null"):format(fifo, out))
    assert.matches("^{.*utc_timestamp_ms.*}\n$", bed.read(out))
    vm:wait()
  end)

  it("that a VMM does not write in time are an error", function ()
    local vm <close> = assert(fc.boot(bed.config("idle", { metrics = {} })))
    vm:kill "STOP"
    local values, err = vm:metrics { timeout = 0.1 }
    assert.is_nil(values)
    assert.equal("timeout", err.code)
  end)

  it("of one that dies before it has written them are an error at once", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config("idle", { metrics = {} })))
      bed.freeze(vm.pid)
      vm.readers.metrics:finish()   -- what it wrote of itself, when it started
      vm.flush_metrics = function () return true end   -- its reply came, and nothing more
      local asking = fc.spawn(vm.metrics, vm)
      fc.sleep(0.01)
      vm:kill()
      local values, err = asking:wait { timeout = 30 }
      assert.is_nil(values)
      assert.equal("exited", err.code)
    end)
  end)

  it("are all counters or known values: nothing counted goes down", function ()
    local vm <close> = assert(fc.boot(bed.config("idle", { metrics = {} })))
    local function walk (before, after, path)
      for key, value in pairs(before) do
        if type(value) == "table" then
          walk(value, after[key], path .. "." .. key)
        elseif type(value) == "number" then
          assert.is_true(after[key] >= value, path .. "." .. key)
        end
      end
    end
    local before = assert(vm:metrics())
    for _ = 1, 3 do
      vm:info()
      local after = assert(vm:metrics())
      walk(before, after, "")
      before = after
    end
  end)
end)
