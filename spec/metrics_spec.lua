local exposition = require "spec.support.exposition"
local fc = require "firecracker"
local metrics = require "firecracker.metrics"

local SEED <const> = math.tointeger(os.getenv "SEED") or os.time()

describe("metrics", function ()
  local function sum_of (...)
    local sum = metrics.new()
    for _, object in ipairs { ... } do
      metrics.add(sum, object)
    end
    return metrics.values(sum)
  end

  it("are objects with a time, one a line", function ()
    assert.same({ utc_timestamp_ms = 12, net = { rx = 1 } }, metrics.decode '{"utc_timestamp_ms":12,"net":{"rx":1}}')
    for _, line in ipairs { "", "12", "[]", "{}", "null", '{"net":{}}', '{"utc_timestamp_ms":"12"}', '{"utc_timestamp_ms":12', "\0\xff" } do
      assert.is_nil(metrics.decode(line))
    end
  end)

  it("are found behind the beginning of an object that a full FIFO cut", function ()
    local whole = '{"utc_timestamp_ms":13,"net":{"rx":1}}'
    assert.equal(13, metrics.decode('{"utc_timestamp_ms":12,"net":{"r' .. whole).utc_timestamp_ms)
    assert.equal(13, metrics.decode('{"utc_timestamp_ms":11,{"utc_timestamp_ms":12,"net":{"r' .. whole).utc_timestamp_ms)
    assert.is_nil(metrics.decode('{"utc_timestamp_ms":12,"net":{"r' .. whole:sub(1, -2)))
  end)

  it("are added up where they count, and are the last ones where they do not", function ()
    local one = {
      utc_timestamp_ms = 1, net = { rx_bytes = 5 }, net_eth0 = { rx_bytes = 5, tap_write_agg = { min_us = 3, max_us = 9, sum_us = 12 } },
      latencies_us = { pause_vm = 100 }, vmm = { panic_count = 0 }, seccomp = { num_faults = 1 },
      signals = { sigbus = 1, sigpipe = 1 }, api_server = { process_startup_time_us = 7, sync_response_fails = 1 },
      vhost_user_block_a = { init_time_us = 4, activate_fails = 1 }, block = { init_time_us = 4 },
    }
    local two = {
      utc_timestamp_ms = 2, net = { rx_bytes = 6 }, net_eth0 = { rx_bytes = 6, tap_write_agg = { min_us = 2, max_us = 10, sum_us = 20 } },
      net_eth1 = { rx_bytes = 1 },
      latencies_us = { pause_vm = 50 }, vmm = { panic_count = 1 }, seccomp = { num_faults = 1 },
      signals = { sigbus = 1, sigpipe = 2 }, api_server = { process_startup_time_us = 7, sync_response_fails = 1 },
      vhost_user_block_a = { init_time_us = 3, activate_fails = 1 }, block = { init_time_us = 4 },
    }
    assert.same({
      utc_timestamp_ms = 2, net = { rx_bytes = 11 }, net_eth0 = { rx_bytes = 11, tap_write_agg = { min_us = 2, max_us = 10, sum_us = 32 } },
      net_eth1 = { rx_bytes = 1 },
      latencies_us = { pause_vm = 50 }, vmm = { panic_count = 1 }, seccomp = { num_faults = 1 },
      signals = { sigbus = 1, sigpipe = 3 }, api_server = { process_startup_time_us = 7, sync_response_fails = 2 },
      vhost_user_block_a = { init_time_us = 3, activate_fails = 2 }, block = { init_time_us = 8 },
    }, sum_of(one, two))
    assert.equal(5, one.net.rx_bytes)    -- not changed
  end)

  it("beyond an integer become a float, never less", function ()
    local sum = sum_of({ a = { b = math.maxinteger } }, { a = { b = 10 } })
    assert.equal(2.0 ^ 63, sum.a.b)
    assert.equal(5, sum_of({ a = { b = 5 } }, { a = { b = -3 } }).a.b)
  end)

  it("keep what a later release tells beside them", function ()
    assert.same({ utc_timestamp_ms = 2, id = "vm", properties = { rack = "b" } },
      sum_of({ utc_timestamp_ms = 1, id = "vm", properties = { rack = "a" } }, { utc_timestamp_ms = 2, properties = { rack = "b" } }))
  end)

  it("are bounded in number and depth, whatever is sent", function ()
    local sum = metrics.new()
    for i = 1, 40 do
      local group = {}
      for j = 1, 1000 do
        group["m" .. i .. "_" .. j] = 1
      end
      metrics.add(sum, { ["g" .. i] = group })
    end
    local n = 0
    for _, group in pairs(sum.values) do
      for _ in pairs(group) do
        n = n + 1
      end
    end
    assert.is_true(n > 10000 and n <= 16384)
    local deep = 1
    for _ = 1, 100 do
      deep = { a = deep }
    end
    metrics.add(metrics.new(), deep)
    assert.same({ a = { b = 3 } }, sum_of({ a = { b = 1 } }, { a = { b = { c = 1 } } }, { a = 5 }, { a = { b = 2 } }))
  end)

  it(("never raise: mutations of an object, seed %d"):format(SEED), function ()
    math.randomseed(SEED)
    local whole = '{"utc_timestamp_ms":12,"net":{"rx":1,"agg":{"min_us":2}},"net_a":{"rx":1e400},"l":[1,2,{}],"n":null,"s":"x","t":true}'
    local sum, accepted = metrics.new(), 0
    for _ = 1, 5000 do
      local line = whole
      for _ = 1, math.random(3) do
        local at = math.random(#line)
        line = line:sub(1, at - 1) .. string.char(math.random(0, 255)):rep(math.random(0, 2)) .. line:sub(at + math.random(0, 2))
      end
      local object = metrics.decode(line)
      if object then
        accepted = accepted + 1
        metrics.add(sum, object)
      end
    end
    assert.is_true(accepted > 50)
    exposition(metrics.prometheus(metrics.values(sum), { a = "\xff\n\"\\" }))
  end)
end)

describe("metrics as Prometheus text", function ()
  local VALUES <const> = {
    utc_timestamp_ms = 1795455186879, vcpu = { exit_io_in = 3, exit_io_in_agg = { min_us = 1, max_us = 2, sum_us = 3 } },
    net = { rx_bytes = 3 }, net_eth0 = { rx_bytes = 1 }, ["net_eth1"] = { rx_bytes = 2, tap_write_agg = { sum_us = 5, min_us = 1 } },
    block = { read_bytes = 0 }, vhost_user_block_data = { init_time_us = 8 }, pmem = { cfg_fails = 0 }, pmem_a = { cfg_fails = 1 },
    id = "vm", properties = { rack = "a" },
  }

  it("have valid names, types and one sample for each value", function ()
    local samples, types = exposition(fc.metrics.prometheus(VALUES))
    assert.same({
      ["firecracker_utc_timestamp_ms{}"] = 1795455186879,
      ["firecracker_vcpu_exit_io_in_total{}"] = 3,
      ["firecracker_vcpu_exit_io_in_agg_min_us{}"] = 1,
      ["firecracker_vcpu_exit_io_in_agg_max_us{}"] = 2,
      ["firecracker_vcpu_exit_io_in_agg_sum_us_total{}"] = 3,
      ["firecracker_net_rx_bytes_total{device=eth0}"] = 1,
      ["firecracker_net_rx_bytes_total{device=eth1}"] = 2,
      ["firecracker_net_tap_write_agg_sum_us_total{device=eth1}"] = 5,
      ["firecracker_net_tap_write_agg_min_us{device=eth1}"] = 1,
      ["firecracker_block_read_bytes_total{}"] = 0,
      ["firecracker_vhost_user_block_init_time_us{device=data}"] = 8,
      ["firecracker_pmem_cfg_fails_total{device=a}"] = 1,
    }, samples)
    for name, kind in pairs(types) do
      assert.equal(name:find "_total$" and "counter" or "gauge", kind, name)
    end
  end)

  it("carry labels, whatever their values hold", function ()
    local value = 'a\\b"c\nd,e}=é'
    local samples = exposition(metrics.prometheus({ net_eth0 = { rx = 1 } }, { id = value, z = 5 }))
    assert.same({ [("firecracker_net_rx_total{device=eth0,id=%s,z=5}"):format(value)] = 1 }, samples)
    assert.same({ ["firecracker_a_b_total{id=a??b}"] = 1 }, (exposition(metrics.prometheus({ a = { b = 1 } }, { id = "a\xff\xfeb" }))))
  end)

  it("are refused where they are no table", function ()
    local ok, err = pcall(metrics.prometheus, nil)
    assert.is_false(ok)
    assert.equal("prometheus: table of metrics expected, got nil", err.message)
  end)

  -- As `{ { vm:metrics(), { id = vm.id } } }` is where the machine had none to give.
  it("are refused where one of several machines has none", function ()
    for got, machine in pairs { ["one of nil"] = { nil, { id = "b" } }, number = 5 } do
      local ok, err = pcall(metrics.prometheus, { { { net = { rx = 1 } }, { id = "a" } }, machine })
      assert.is_false(ok)
      assert.equal("prometheus: [2]: table of metrics and its labels expected, got " .. got, err.message)
      assert.matches("metrics_spec.lua", err.where)
    end
  end)

  it("refuse names that cannot be a label's", function ()
    for _, name in ipairs { "1a", "a-b", "", "__x", "device", 5 } do
      local ok, err = pcall(metrics.prometheus, VALUES, { [name] = "x" })
      assert.is_false(ok)
      assert.equal(("prometheus: labels: '%s' cannot be the name of a label"):format(name), err.message)
      assert.matches("metrics_spec.lua", err.where)
    end
  end)

  it("of several machines are one text", function ()
    local text = metrics.prometheus {
      { { net_eth0 = { rx = 1 } }, { id = "a" } }, { { net = { rx = 5 } }, { id = "b" } }, { { net_eth0 = { rx = 2 } }, { id = "c" } },
    }
    assert.same({
      ["firecracker_net_rx_total{device=eth0,id=a}"] = 1, ["firecracker_net_rx_total{id=b}"] = 5,
      ["firecracker_net_rx_total{device=eth0,id=c}"] = 2,
    }, (exposition(text)))
    assert.equal("", metrics.prometheus {})
  end)

  it("of several machines carry the labels of all, but where one has its own", function ()
    local text = metrics.prometheus({
      { { net = { rx = 1 } }, { id = "a" } }, { { net = { rx = 2 } }, { id = "b", rack = "r2" } }, { { net = { rx = 3 } } },
    }, { rack = "r1", ok = true })
    assert.same({
      ["firecracker_net_rx_total{id=a,ok=true,rack=r1}"] = 1, ["firecracker_net_rx_total{id=b,ok=true,rack=r2}"] = 2,
      ["firecracker_net_rx_total{ok=true,rack=r1}"] = 3,
    }, (exposition(text)))
  end)

  it("are refused where something of theirs would be lost, or is no label", function ()
    local one, other = { net = { rx = 1 } }, { net = { rx = 2 } }
    for message, given in pairs {
      ["[2]: labels that tell it from [1] expected, got none"] = { { { one }, { other } } },
      ["[3]: labels that tell it from [1] expected, got the same"] =
        { { { one, { id = "a" } }, { other, { id = "b" } }, { other, { id = "a" } } }, { x = 1 } },
      ["[1]: table of metrics and its labels expected, got nil"] = { { nil, { other, { id = "b" } } } },
      ["[2]: table of metrics and its labels expected, got nil"] = { { { one }, nil, { other, { id = "b" } } } },
      ["the metrics of one machine or a list of several expected, got both"] = { { { one }, net = { rx = 1 } } },
      ["labels: table expected, got 'a'"] = { one, "a" },
      ["[1]: labels: table expected, got 5"] = { { { one, 5 } } },
      ["[1]: labels: 'a-b' cannot be the name of a label"] = { { { one, { ["a-b"] = 1 } } } },
      ["labels.id: string expected, got table"] = { one, { id = {} } },
      ["[1]: labels.id: string expected, got function"] = { { { one, { id = print } } } },
    } do
      local ok, err = pcall(metrics.prometheus, table.unpack(given, 1, 2))
      assert.is_false(ok, message)
      assert.equal("prometheus: " .. message, type(err) == "table" and err.message or err)
      assert.matches("metrics_spec.lua", err.where)
    end
  end)

  it("keep what names of a stranger's do to them valid", function ()
    local text = metrics.prometheus { ["a b\n"] = { ["c}d"] = 1, ["c_d"] = 2 }, ["net_x\"y"] = { ["\xff"] = 1.5 } }
    metrics.prometheus { a = { 1, b = 2, [true] = { 5, c = 6 } } }
    local samples = exposition(text)
    assert.equal(1.5, samples["firecracker_net___total{device=x\"y}"])
    assert.equal(2, samples["firecracker_a_b__c_d_total{}"])
  end)
end)
