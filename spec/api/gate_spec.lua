local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local gate = require "firecracker.api.gate"
local release = require "firecracker.release"
local sh = require "spec.support.sh"

local files = core.files

local named = {}
for _, operation in ipairs(require "firecracker.api.operations") do
  named[operation.name] = operation
end

local function refusal (name, body, text, at)
  local found = gate.check(gate.of(named[name]), body, text, at)
  return found and found.message
end

describe("the gate", function ()
  it("has nothing to check where every release has all", function ()
    for _, name in ipairs { "put_boot_source", "patch_vm", "put_mmds", "put_actions", "patch_drive", "get_vm_config" } do
      assert.is_nil(gate.of(named[name]), name)
    end
  end)

  it("needs no release for a request that any has", function ()
    assert.is_false(gate.asks(gate.of(named.put_machine_config), { vcpu_count = 1, mem_size_mib = 128 }))
    assert.is_false(gate.asks(gate.of(named.put_drive), { drive_id = "a", path_on_host = "/a", is_root_device = true }))
    assert.is_true(gate.asks(gate.of(named.put_machine_config), { huge_pages = "2M" }))
    assert.is_true(gate.asks(gate.of(named.put_serial), {}))
    assert.is_true(gate.asks(gate.of(named.put_snapshot_load), {}))
  end)

  for _, case in ipairs {
    { "put_network_interface", { mtu = 1400 }, "1.12.1", "network_interfaces[1]",
      "network_interfaces[1].mtu needs Firecracker 1.16 (this is 1.12.1)" },
    { "put_network_interface", { mtu = 1400 }, "1.12.1", nil, "mtu needs Firecracker 1.16 (this is 1.12.1)" },
    { "put_network_interface", { mtu = 1400 }, "1.16.0" },
    { "put_network_interface", { mtu = 1400 }, "1.17.0-dev" },
    { "put_machine_config", { huge_pages = "Transparent" }, "1.16.1", "machine_config",
      "machine_config.huge_pages = 'Transparent' needs Firecracker 1.17 (this is 1.16.1)" },
    { "put_machine_config", { huge_pages = "2M" }, "1.6.0", nil, "huge_pages needs Firecracker 1.7 (this is 1.6.0)" },
    { "put_machine_config", { cpu_template = "T2A" }, "1.2.1", nil,
      "cpu_template = 'T2A' needs Firecracker 1.3 (this is 1.2.1)" },
    { "put_logger", { level = "TRACE" }, "1.4.1", nil, "level = 'TRACE' needs Firecracker 1.5 (this is 1.4.1)" },
    { "put_logger", { level = "debug" }, "1.0.0" },
    { "put_serial", {}, "1.12.1", nil, "PUT /serial needs Firecracker 1.14 (this is 1.12.1)" },
    { "put_serial", {}, "1.12.1", "serial", "serial needs Firecracker 1.14 (this is 1.12.1)" },
    { "put_serial", { rate_limiter = {} }, "1.15.0", "serial",
      "serial.rate_limiter needs Firecracker 1.16 (this is 1.15.0)" },
    { "put_snapshot_load", { clock_realtime = true }, "1.14.3", nil,
      "clock_realtime needs Firecracker 1.14.4 (this is 1.14.3)" },
    { "put_snapshot_load", { clock_realtime = true }, "1.14.4" },
    { "put_snapshot_load", { clock_realtime = true }, "1.15.0", nil,
      "clock_realtime needs Firecracker 1.15.1 (this is 1.15.0)" },
    { "put_snapshot_load", { clock_realtime = true }, "1.15.1" },
    { "put_snapshot_create", { version = "1.0.0" }, "1.12.1", nil,
      "version was removed in Firecracker 1.6 (this is 1.12.1)" },
    { "put_snapshot_create", { version = "1.0.0" }, "1.5.0" },
    { "put_cpu_config", {}, "0.25.2", nil, "this needs Firecracker 1.0 (this is 0.25.2)" },
  } do
    local name, body, text, at, message = table.unpack(case, 1, 5)
    it(("%s %s at %s"):format(message and "refuses" or "lets pass", name, text) .. (at or ""), function ()
      assert.equal(message, (refusal(name, body, text, at)))
    end)
  end

  it("knows which releases have it, and have it wrong", function ()
    local gated = gate.of(named.put_snapshot_load)
    assert.equal("1.16.1", gate.warnings(gated, "1.16.0")[1].fixed)
    assert.same({}, gate.warnings(gated, "1.16.1"))
    local create, diff, full = gate.of(named.put_snapshot_create), { snapshot_type = "Diff" }, { snapshot_type = "Full" }
    assert.same({ true, false }, { gate.asks(create, diff), gate.asks(create, full) })
    for text, expected in pairs { ["1.13.2"] = 0, ["1.14.0"] = 1, ["1.14.1"] = 1, ["1.14.2"] = 0 } do
      assert.same({ expected, 0 }, { #gate.warnings(create, text, diff), #gate.warnings(create, text, full) })
    end
  end)
end)

describe("a release", function ()
  it("is compared by its numbers", function ()
    local number = release.number
    assert.is_true(number "1.9.1" < number "1.10.0")
    assert.equal(number "1.16", number "v1.16.0")
    assert.equal(number "1.17.0-dev", number "1.17")
    assert.is_nil(number "x")
  end)

  local function binary (dir, text)
    local path = dir .. "/firecracker"
    local file <close> = assert(io.open(path, "w"))
    file:write("#!/bin/sh\necho asked >> " .. dir .. "/asked\n" .. text .. "\n")
    file:close()
    os.execute("chmod +x " .. path)
    return path
  end

  local function asked (dir)
    local n = 0
    for _ in io.lines(dir .. "/asked") do n = n + 1 end
    return n
  end

  it("is learned once for each binary, and anew when the file is another", function ()
    sh.tmpdir(function (dir)
      local path = binary(dir, "echo Firecracker v1.13.2; echo; echo exiting")
      fc.run(function ()
        fc.all { function () return release.of_binary(path) end, function () return release.of_binary(path) end }
      end)
      assert.equal("1.13.2", release.of_binary(path))
      os.execute(("ln -s %s %s/link"):format(path, dir))
      assert.equal("1.13.2", release.of_binary(dir .. "/link"))
      assert.equal(1, asked(dir))
      binary(dir, "echo Firecracker v1.14.0-rc1+build")
      assert.equal("1.14.0-rc1+build", release.of_binary(path))
      assert.equal(2, asked(dir))
    end)
  end)

  it("is not learned from what says none, is not there or does not end", function ()
    sh.tmpdir(function (dir)
      local _, err = release.of_binary(binary(dir, "echo hello"))
      assert.same({ "release", dir .. "/firecracker --version says no release: hello" }, { err.code, err.message })
      _, err = release.of_binary(dir .. "/absent")
      assert.equal("ENOENT", err.errno)
      local began = core.now()
      _, err = release.of_binary(binary(dir, "exec sleep 20"), 0.05)
      assert.equal("timeout", err.code)
      assert.is_true(core.now() - began < 5)
      assert.is_true(errors.is(err))
    end)
  end)

  it("is asked for by a program that is gone when the question is given up", function ()
    sh.tmpdir(function (dir)
      local path = binary(dir, ("echo $$ >%s/pid; exec sleep 60"):format(dir))
      local function asked_pid ()
        local file <close> = io.open(dir .. "/pid")
        return file and file:read "n"
      end
      local function gone (how)
        local pid = asked_pid()
        assert.is_nil(files.look("/proc/" .. pid), how)
        assert(files.unlink(dir .. "/pid"))
      end
      fc.run(function ()
        local task = fc.spawn(release.of_binary, path)
        bed.eventually(asked_pid, "the program")
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
      end)
      gone "cancelled"
      bed.patiently(function (seconds)
        assert.equal("timeout", select(2, release.of_binary(path, seconds)).code)
        return asked_pid()
      end)
      gone "late"
    end)
  end)
end)
