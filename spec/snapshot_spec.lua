-- Snapshots as far as no VMM is needed: manifests, what a restore refuses before it starts anything, merging memory files.

local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local manifest = require "firecracker.snapshot.manifest"
local sh = require "spec.support.sh"

local files, json = core.files, core.json

-- A directory with a snapshot in it that no VMM wrote.
local function pretend (dir, changes)
  local described = {
    type = "Full", id = "one", created = "2026-11-23T12:00:00Z", release = "1.12.1", architecture = "x86",
    state = { path = dir .. "/state", size = 5 }, memory = { path = dir .. "/memory", size = 8192 },
    config = {
      machine_config = { vcpu_count = 1, mem_size_mib = 32 },
      drives = { { drive_id = "data", path_on_host = dir .. "/data", is_root_device = false, is_read_only = false } },
      network_interfaces = { { iface_id = "eth0", host_dev_name = "lo", guest_mac = "06:00:ac:10:63:02" } },
      vsock = { guest_cid = 3, uds_path = dir .. "/vsock" },
    },
  }
  for key, value in pairs(changes or {}) do
    described[key] = value
  end
  bed.write(dir .. "/state", "state")
  bed.write(dir .. "/memory", ("m"):rep(8192))
  bed.write(dir .. "/data", "data")
  bed.write(dir .. "/state.json", manifest.encode(described, dir .. "/state.json"))
  return described
end

-- A program that says a release and does nothing else.
local function vmm (dir, release)
  local path = ("%s/firecracker-%s"):format(dir, release)
  bed.write(path, ("#!/bin/sh\necho Firecracker v%s\n"):format(release))
  assert(os.execute("chmod 755 " .. path))
  return { binary = path }
end

describe("a manifest", function ()
  it("comes back as it was written, and moves with its directory", function ()
    sh.tmpdir(function (dir)
      local described = pretend(dir)
      local read = assert(fc.snapshot.read(dir .. "/state"))
      assert.same(described.config, read.config)
      for _, field in ipairs { "type", "id", "created", "release", "architecture", "state", "memory" } do
        assert.same(described[field], read[field], field)
      end
      assert.equal(("<snapshot %s/state, full of one, Firecracker 1.12.1, x86, 1 vCPU, 32 MiB>"):format(dir), tostring(read))
      assert.same(read, (assert(fc.snapshot.check(dir .. "/state.json"))))
      assert.equal(0, select(2, sh(("mkdir %s/moved && mv %s/state* %s/memory %s/moved"):format(dir, dir, dir, dir))))
      assert.equal(dir .. "/moved/memory", assert(fc.snapshot.check(dir .. "/moved/state")).memory.path)
    end)
  end)

  it("names a memory that lies elsewhere by its whole path", function ()
    sh.tmpdir(function (dir)
      pretend(dir, { memory = { path = "/elsewhere/memory", size = 1 } })
      assert.equal("/elsewhere/memory", assert(fc.snapshot.read(dir .. "/state")).memory.path)
    end)
  end)

  it("tells which file is not what it was", function ()
    sh.tmpdir(function (dir)
      local function refused (expected, options)
        local ok, err = fc.snapshot.check(dir .. "/state", options)
        assert.is_nil(ok)
        assert.equal(expected, (err.message:gsub(dir:gsub("%p", "%%%0"), "DIR")))
        return err
      end
      local described = pretend(dir)
      refused("DIR/state: the manifest has no hash of the state", { hashes = true })
      for _, name in ipairs { "state", "memory" } do
        described[name].sha256 = sh("sha256sum <" .. described[name].path):match "^%x+"
      end
      pretend(dir, described)
      assert(fc.snapshot.check(dir .. "/state", { hashes = true }))
      local large = { path = dir .. "/large", size = 1 << 30, sha256 = described.state.sha256 }
      sh(("truncate -s %d %s"):format(large.size, large.path))
      local state = described.state
      described.state = large
      pretend(dir, described)
      assert.equal("timeout", refused("DIR/large: sha256sum does not end in time", { hashes = true, timeout = 0.01 }).code)
      described.state = state
      pretend(dir, described)
      bed.write(dir .. "/memory", ("n"):rep(8192))
      assert(fc.snapshot.check(dir .. "/state"))
      assert.equal("snapshot",
        refused("DIR/memory: the snapshot's memory is not what was written: its hash differs from the manifest's", { hashes = true }).code)
      bed.write(dir .. "/state", "stat")
      refused "DIR/state: the snapshot's state has 4 bytes, its manifest says 5"
      os.remove(dir .. "/state")
      refused "cannot look at DIR/state: No such file or directory"
      files.mkdir(dir .. "/state")
      refused "DIR/state: the snapshot's state is a directory, no file"
      os.remove(dir .. "/state.json")
      assert.equal("ENOENT", select(2, fc.snapshot.read(dir .. "/state")).errno)
    end)
  end)

  it("of a strange shape is refused by the field's name", function ()
    sh.tmpdir(function (dir)
      local path = dir .. "/state.json"
      for _, case in ipairs {
        { '{}', "a manifest of format nil, 1 is known" },
        { '{"format":2}', "a manifest of format 2, 1 is known" },
        { '[]', "an object expected" },
        { '{"format":1', "not valid JSON" },
        { function (t) t.release = "newest" end, "release: 'newest' is none" },
        { function (t) t.release = 1 end, "release: string expected" },
        { function (t) t.state = nil end, "state: object expected" },
        { function (t) t.memory.size = "8192" end, "memory.size: integer expected" },
        { function (t) t.memory.size = 1.5 end, "memory.size: integer expected" },
        { function (t) t.state.path = "" end, "state.path: path expected" },
        { function (t) t.state.sha256 = "12" end, "state.sha256: 64 hexadecimal digits expected" },
        { function (t) t.config = json.array { 1 } end, "config: object expected" },
        { function (t) t.config.drives = "all" end, "config.drives: list expected" },
        { function (t) t.config.drives = { 1 } end, "config.drives[1]: object expected" },
        { function (t) t.config.drives = { {} } end, "config.drives[1].drive_id: string expected" },
        { function (t) t.config.drives[1].path_on_host = 1 end, "config.drives[1].path_on_host: string expected" },
        { function (t) t.config.vsock = { guest_cid = 3 } end, "config.vsock.uds_path: string expected" },
        { function (t) t.config.machine_config.vcpu_count = "x" end, "config.machine_config.vcpu_count: integer expected" },
        { function (t) t.config.machine_config.mem_size_mib = nil end, "config.machine_config.mem_size_mib: integer expected" },
        { function (t) t.config.machine_config = json.array {} end, "config.machine_config: object expected" },
        { function (t) t.host = { addresses = "all" } end, "host.addresses: object expected" },
        { function (t) t.host = { addresses = { net1 = "10.0.0.2/24" } } end,
          "host.addresses.net1: list of addresses with their prefixes expected" },
        { function (t) t.host = { addresses = { net1 = { "10.0.0.2" } } } end, "host.addresses.net1: list of addresses" },
        { function (t) t.host = { addresses = json.array { { "10.0.0.2/24" } } } end, "host.addresses.1: list of addresses" },
      } do
        local change, expected = table.unpack(case)
        if type(change) == "string" then
          bed.write(path, change)
        else
          pretend(dir)
          local t = assert(json.decode(bed.read(path)))
          change(t)
          bed.write(path, json.encode(t))
        end
        local read, err = fc.snapshot.read(path)
        assert.is_nil(read)
        assert.is_true(err.message:find(expected, 1, true) ~= nil, err.message)
        assert.is_true(err.message:find(path, 1, true) ~= nil, err.message)
      end
      bed.write(path, ("x"):rep((1 << 20) + 1))
      assert.matches("no manifest: a file of 1048577 bytes", select(2, fc.snapshot.read(path)).message)
    end)
  end)

  it("of any bytes is read or refused, and nothing is raised", function ()
    sh.tmpdir(function (dir)
      pretend(dir)
      local path, seed = dir .. "/state.json", os.time()
      math.randomseed(seed)
      local text = bed.read(path)
      local words = { '"', "{", "}", "[", "]", ":", ",", "null", "1e999", "-1", "true", '"\\u0000"', "\0", "\xff", "9223372036854775808" }
      local function mutate (t)
        for _ = 1, math.random(1, 4) do
          local at, kind = math.random(#t), math.random(4)
          local word = words[math.random(#words)]
          t = kind == 1 and t:sub(1, at) or kind == 2 and t:sub(1, at - 1) .. t:sub(at + math.random(20))
            or kind == 3 and t:sub(1, at) .. word .. t:sub(at + 1)
            or t:gsub('("[%w_]+"):("?[^,{}%[%]]+)', function (name) return math.random(6) == 1 and name .. ":" .. word or nil end)
          t = #t > 0 and t or " "
        end
        return t
      end
      local taken = 0
      local vm = assert(fc.new { snapshot = { snapshot_path = dir .. "/state" }, vmm = vmm(dir, "1.12.1") })
      for round = 1, 1500 do
        bed.write(path, mutate(text))
        local fine, read, err = pcall(fc.snapshot.read, path)
        assert(fine, ("seed %d, round %d: %s"):format(seed, round, read))
        assert(read or (err and err.message), round)
        taken = taken + (read and 1 or 0)
        if read then
          assert(tostring(read))
          vm.manifest = nil
          local checked, ok, problem = pcall(require "firecracker.snapshot.check".run, vm)
          assert(checked, ("seed %d, round %d: %s"):format(seed, round, ok))
          assert(ok or problem.message)
        end
      end
      assert.is_true(taken > 10 and taken < 1490, "too few or too many were taken: " .. taken)
    end)
  end)

  it("is read by the releases that read the VMM's own format", function ()
    for _, case in ipairs {
      { "1.12.1", "1.12.0", true }, { "1.12.1", "1.11.0", false }, { "1.14.2", "1.13.0", true }, { "1.13.1", "1.14.0", true },
      { "1.16.1", "1.15.0", false }, { "1.10.1", "1.9.0", true }, { "1.6.0", "1.6.0", true }, { "1.6.0", "1.5.0", false },
      { "1.17.0-dev", "1.16.1", false }, { "1.17.0", "1.17.1", true }, { "2.0.0", "1.17.1", false },
    } do
      assert.equal(case[3], manifest.reads(case[1], case[2]), case[1] .. " " .. case[2])
    end
  end)
end)

describe("a restore is refused", function ()
  local function check (dir, more, section)
    local config = { snapshot = { snapshot_path = dir .. "/state" }, vmm = vmm(dir, "1.12.1") }
    for key, value in pairs(section or {}) do
      config.snapshot[key] = value
    end
    for key, value in pairs(more or {}) do
      config[key] = value
    end
    local vm = assert(fc.new(config, "restore"))
    local ok, err = fc.handlers.validate.load_snapshot_cfg(vm)
    return ok, err and (err.message:gsub("^validate%.LoadSnapshotCfg: ", ""):gsub(dir:gsub("%p", "%%%0"), "DIR")), err
  end

  local function refused (expected, ...)
    local ok, message, err = check(...)
    assert.is_nil(ok)
    assert.equal(expected, message)
    return err
  end

  it("without a section", function ()
    local vm = assert(fc.new({}, "restore"))
    local _, err = fc.handlers.validate.load_snapshot_cfg(vm)
    assert.equal("validate.LoadSnapshotCfg: config.snapshot: required to restore: table expected, got nil", err.message)
    _, err = fc.handlers.validate.cfg(assert(fc.new { snapshot = { snapshot_path = "x" } }))
    assert.equal("validate.Cfg: config.snapshot: nothing to boot from: fc.restore loads it", err.message)
  end)

  it("with files that are not there, or are none", function ()
    sh.tmpdir(function (dir)
      refused("config.snapshot.snapshot_path: cannot look at DIR/state: No such file or directory", dir)
      pretend(dir)
      assert.is_true((check(dir)))
      local file = { backend_type = "File", backend_path = dir }
      local with, at = { mem_backend = file }, "config.snapshot.mem_backend.backend_path"
      refused(at .. ": DIR is a directory, no file", dir, nil, with)
      file.backend_path = dir .. "/none"
      refused(at .. ": cannot look at DIR/none: No such file or directory", dir, nil, with)
      refused("config.snapshot.mem_file_path: cannot look at DIR/none: No such file or directory", dir, nil,
        { mem_file_path = dir .. "/none" })
      local uffd = { backend_type = "Uffd", backend_path = dir .. "/none" }
      with.mem_backend = uffd
      refused(at .. ": cannot look at DIR/none: No such file or directory", dir, nil, with)
      uffd.backend_path = dir .. "/data"
      refused(at .. ": DIR/data is a file, no socket of a page fault handler", dir, nil, with)
      os.remove(dir .. "/state.json")
      refused("config.snapshot.mem_backend: required where no manifest says it: table expected, got nil", dir)
      assert.has_error(function () check(dir, nil, { mem_backend = uffd, mem_file_path = "x" }) end)
    end)
  end)

  it("with what the snapshot brings itself", function ()
    sh.tmpdir(function (dir)
      pretend(dir)
      for name, section in pairs {
        boot_source = { kernel_image_path = "vmlinux" }, balloon = { amount_mib = 1, deflate_on_oom = true }, entropy = {},
        cpu_config = {}, memory_hotplug = { total_size_mib = 1024 }, machine_config = { vcpu_count = 2 },
      } do
        local err = refused(("config.%s: the snapshot brings its own: leave it out"):format(name), dir, { [name] = section })
        assert.equal(name, err.field)
      end
      refused("config.machine_config: the snapshot brings its own: leave it out", dir, { machine_config = { smt = false } })
      refused("config.drives[1].drive_id: the snapshot has no 'rootfs'", dir,
        { drives = { { drive_id = "rootfs", path_on_host = "x", is_root_device = true } } })
      refused("config.drives[1].is_root_device: the snapshot has false, got true", dir,
        { drives = { { drive_id = "data", path_on_host = "x", is_root_device = true } } })
      refused("config.network_interfaces[1].iface_id: the snapshot has no 'eth1'", dir,
        { network_interfaces = { { iface_id = "eth1", host_dev_name = "lo" } } })
      refused("config.network_interfaces[1].guest_mac: the snapshot has 06:00:ac:10:63:02, got 06:00:AC:10:63:03", dir,
        { network_interfaces = { { iface_id = "eth0", host_dev_name = "lo", guest_mac = "06:00:AC:10:63:03" } } })
      assert.is_true((check(dir,
        { network_interfaces = { { iface_id = "eth0", host_dev_name = "lo", guest_mac = "06:00:AC:10:63:02" } } })))
      refused("config.snapshot.network_overrides[1].iface_id: the snapshot has no 'eth1'", dir, nil,
        { network_overrides = { { iface_id = "eth1", host_dev_name = "lo" } } })
      refused("config.vsock.guest_cid: the snapshot has 3, got 4", dir, { vsock = { guest_cid = 4, uds_path = dir .. "/vsock" } })
      assert.is_true((check(dir, { vsock = { guest_cid = 3, uds_path = dir .. "/vsock" }, drives = {
        { drive_id = "data", path_on_host = dir .. "/data", is_root_device = false, rate_limiter = {} } } })))
    end)
  end)

  it("by the manifest, with a way round it", function ()
    sh.tmpdir(function (dir)
      for field, case in pairs {
        release = { "1.16.1", "DIR/state: it was made by Firecracker 1.16.1, which this one (1.12.1) does not read" },
        architecture = { "arm", "DIR/state: it was made on another processor (arm, this is x86)" },
        type = { "Diff", "DIR/memory: it holds what changed since the snapshot before it: merge it by fc.snapshot.rebase" },
        state = { { path = dir .. "/state", size = 6 }, "DIR/state: the snapshot's state has 5 bytes, its manifest says 6" },
        memory = { { path = dir .. "/memory", size = 6 }, "DIR/memory: the snapshot's memory has 8192 bytes, its manifest says 6" },
      } do
        pretend(dir, { [field] = case[1] })
        local err = refused(case[2], dir)
        assert.equal("snapshot", err.code)
        assert.equal("snapshot.ignore_manifest = true goes on all the same", err.hint)
        assert.is_true((check(dir, nil, { ignore_manifest = true,
          mem_backend = { backend_type = "File", backend_path = dir .. "/memory" } })), field)
      end
      pretend(dir)
      os.remove(dir .. "/data")
      refused("drive 'data' of the snapshot: cannot use DIR/data: No such file or directory", dir)
      local described = pretend(dir)
      described.config.network_interfaces[1].host_dev_name = "no-such-tap"
      pretend(dir, described)
      refused("interface 'eth0' of the snapshot: no tap 'no-such-tap' on this host; name another in config.network_interfaces", dir)
      assert.is_true((check(dir, { network_interfaces = { { iface_id = "eth0", host_dev_name = "lo" } } })))
      assert.is_true((check(dir, nil, { network_overrides = { { iface_id = "eth0", host_dev_name = "lo" } } })))
      bed.write(dir .. "/state.json", "{")
      assert.equal("snapshot.ignore_manifest = true goes on all the same", select(3, check(dir)).hint)
    end)
  end)

  it("by the release of the VMM", function ()
    sh.tmpdir(function (dir)
      pretend(dir)
      refused("snapshot.vsock_override needs Firecracker 1.16 (this is 1.12.1)", dir, nil, { vsock_override = { uds_path = dir .. "/v" } })
      refused("snapshot.vsock_override needs Firecracker 1.16 (this is 1.12.1)", dir, { vsock = { guest_cid = 3, uds_path = dir .. "/v" } })
      refused("snapshot.clock_realtime needs Firecracker 1.14.4 (this is 1.12.1)", dir, nil, { clock_realtime = true })
      refused("snapshot.huge_pages needs Firecracker 1.17 (this is 1.12.1)", dir, nil, { huge_pages = "2M" })
      refused("serial needs Firecracker 1.14 (this is 1.12.1)", dir, { serial = {} })
      assert.is_true((check(dir, nil, { track_dirty_pages = true })))    -- by its old name
    end)
  end)
end)

describe("what is asked of the VMM", function ()
  -- The requests of a load by a release, in their order; what they say.
  local function requests (dir, release, section, more)
    local config = { snapshot = { snapshot_path = dir .. "/state" }, vmm = vmm(dir, release) }
    for key, value in pairs(section or {}) do
      config.snapshot[key] = value
    end
    for key, value in pairs(more or {}) do
      config[key] = value
    end
    local vm, list = assert(fc.new(config, "restore")), {}
    vm.directory, vm.phase = dir, "paused"
    vm.api = setmetatable({}, { __index = function (_, name)
      return function (_, first, second)
        list[#list + 1] = { name, type(first) == "table" and first or second }
        return {}
      end
    end })
    assert(fc.handlers.fcinit.load_snapshot(vm))
    vm.api = nil
    return list
  end

  it("is in the words of its release", function ()
    sh.tmpdir(function (dir)
      local file = { backend_type = "File", backend_path = dir .. "/memory" }
      for release, expected in pairs {
        ["1.0.2"] = { mem_file_path = dir .. "/memory", enable_diff_snapshots = true },
        ["1.12.1"] = { mem_backend = file, enable_diff_snapshots = true },
        ["1.16.1"] = { mem_backend = file, track_dirty_pages = true },
      } do
        pretend(dir, { release = release })
        expected.snapshot_path, expected.resume_vm = dir .. "/state", true
        assert.same({ { "put_snapshot_load", expected } }, requests(dir, release, { track_dirty_pages = true, resume_vm = true }))
      end
      pretend(dir)
      os.remove(dir .. "/state.json")
      assert.same({ snapshot_path = dir .. "/state", mem_file_path = dir .. "/memory" },
        requests(dir, "1.12.1", { mem_file_path = dir .. "/memory" })[1][2])
    end)
  end)

  it("has other taps and sockets, and limits and drives before the guest goes on", function ()
    sh.tmpdir(function (dir)
      pretend(dir)
      local limiter = { bandwidth = { size = 1000, refill_time = 100 } }
      local more = {
        drives = { { drive_id = "data", path_on_host = dir .. "/copy", is_root_device = false, rate_limiter = limiter } },
        network_interfaces = { { iface_id = "eth0", host_dev_name = "tap9", tx_rate_limiter = limiter } },
        vsock = { guest_cid = 3, uds_path = dir .. "/other" },
      }
      local load = { snapshot_path = dir .. "/state", mem_backend = { backend_type = "File", backend_path = dir .. "/memory" },
                     network_overrides = { { iface_id = "eth0", host_dev_name = "tap9" } }, resume_vm = false,
                     vsock_override = { uds_path = dir .. "/other" } }
      assert.same({
        { "put_snapshot_load", load },
        { "patch_drive", { drive_id = "data", path_on_host = dir .. "/copy", rate_limiter = limiter } },
        { "patch_network_interface", { iface_id = "eth0", tx_rate_limiter = limiter } },
        { "patch_vm", { state = "Resumed" } },
      }, requests(dir, "1.16.1", { resume_vm = true }, more))
      -- what is as in the snapshot is not asked for
      more = {
        drives = { { drive_id = "data", path_on_host = dir .. "/data", is_root_device = false } },
        network_interfaces = { { iface_id = "eth0", host_dev_name = "lo" } },
        vsock = { guest_cid = 3, uds_path = dir .. "/vsock" },
      }
      load.network_overrides, load.vsock_override, load.resume_vm = nil, nil, true
      assert.same({ { "put_snapshot_load", load } }, requests(dir, "1.16.1", { resume_vm = true }, more))
      -- an explicit override wins over the interface's own tap
      more = { network_interfaces = { { iface_id = "eth0", host_dev_name = "tap9" } } }
      load.network_overrides = { { iface_id = "eth0", host_dev_name = "tap1" } }
      assert.same({ { "put_snapshot_load", load } },
        requests(dir, "1.16.1", { resume_vm = true, network_overrides = load.network_overrides }, more))
    end)
  end)
end)

describe("vm:snapshot", function ()
  it("is refused where it is misspelt", function ()
    local vm = assert(fc.new {})
    for _, case in ipairs {
      { nil, "snapshot: snapshot_path: path expected, got nil" },
      { 5, "snapshot: table of options expected, got number" },
      { {}, "snapshot: snapshot_path: path expected, got nil" },
      { { snapshot_path = "a" }, "snapshot: mem_file_path: path expected, got nil" },
      { { snapshot_path = "a/", mem_file_path = "b" }, "snapshot: snapshot_path: path expected, got 'a/'" },
      { { snapshot_path = "a", mem_file_path = "./a" }, "snapshot: mem_file_path: the same as snapshot_path" },
      { { snapshot_path = "a", mem_file_path = "a.json" }, "snapshot: mem_file_path: the manifest has this name" },
      { { snapshot_path = "a.json", mem_file_path = "b" }, "snapshot: snapshot_path: the manifest has this name" },
      { { snapshot_path = "a", mem_file_path = "b", snapshot_type = "diff" },
        "snapshot: snapshot_type: one of 'Full', 'Diff' expected, got 'diff'" },
      { { snapshot_path = "a", mem_file_path = "b", snapshottype = "Diff" },
        "snapshot: snapshottype: unknown key (did you mean 'snapshot_type'?)" },
      { { snapshot_path = "a", mem_file_path = "b", hashes = 1 }, "snapshot: hashes: boolean expected, got 1" },
      { { snapshot_path = "a", mem_file_path = "b", timeout = "1" }, "snapshot: timeout: seconds expected, got '1'" },
    } do
      local ok, err = pcall(vm.snapshot, vm, case[1])
      assert.is_false(ok)
      assert.equal(case[2], err.message)
      assert.matches("snapshot_spec.lua:%d+$", err.where)
    end
    local ok, err = vm:snapshot { snapshot_path = "a", mem_file_path = "b" }
    assert.is_nil(ok)
    assert.equal("state", err.code)
  end)
end)

describe("rebase", function ()
  -- A file of 4 KiB pages, "." a hole.
  local function pages (path, letters)
    assert.equal(0, select(2, sh(("rm -f %s; truncate -s %d %s"):format(path, #letters * 4096, path))))
    local file <close> = assert(io.open(path, "r+"))
    for i = 1, #letters do
      if letters:sub(i, i) ~= "." then
        file:seek("set", (i - 1) * 4096)
        file:write(letters:sub(i, i):rep(4096))
      end
    end
  end

  local function shown (path)
    return (bed.read(path):gsub(("."):rep(4096), function (page) return page:sub(1, 1) == "\0" and "." or page:sub(1, 1) end))
  end

  local function inode (path)
    return files.look(path).inode
  end

  it("puts the diff's pages over the base's, by a new file", function ()
    sh.tmpdir(function (dir)
      local base, diff = dir .. "/base", dir .. "/diff"
      pages(base, "aaaa..aa")
      pages(diff, ".b...b.b")
      local before = inode(base)
      assert.is_true(fc.snapshot.rebase(base, diff))
      assert.equal(8 * 4096, #bed.read(base))
      assert.equal("abaa.bab", shown(base))
      assert.are_not.equal(before, inode(base))    -- who has the old one mapped keeps it
      assert.equal("base diff\n", (sh(("cd %s; echo *"):format(dir))))
    end)
  end)

  it("leaves the base to its owner #root", function ()
    if files.euid() ~= 0 then
      pending "another owner needs root"
      return
    end
    sh.tmpdir(function (dir)
      local base, diff = dir .. "/base", dir .. "/diff"
      pages(base, "aaaa")
      pages(diff, ".b..")
      sh(("chown 1234:4321 %s; chmod 600 %s"):format(base, base))
      assert.is_true(fc.snapshot.rebase(base, diff))
      local look = files.look(base)
      assert.same({ "abaa", 1234, 4321, tonumber("600", 8) }, { shown(base), look.uid, look.gid, look.mode })
      assert.is_true(fc.snapshot.rebase(base, diff, { into = dir .. "/out" }))
      assert.equal(0, files.look(dir .. "/out").uid)
    end)
  end)

  it("goes into another name, or in place", function ()
    sh.tmpdir(function (dir)
      local base, diff, out = dir .. "/base", dir .. "/diff", dir .. "/out"
      pages(base, "aaaa")
      pages(diff, ".b..")
      sh("chmod 640 " .. base)
      assert.is_true(fc.snapshot.rebase(base, diff, { into = out }))
      assert.same({ "aaaa", "abaa", ".b.." }, { shown(base), shown(out), shown(diff) })
      assert.equal(tonumber("640", 8), files.look(out).mode)
      local before = inode(base)
      assert.is_true(fc.snapshot.rebase(base, diff, { in_place = true }))
      assert.equal("abaa", shown(base))
      assert.equal(before, inode(base))
    end)
  end)

  it("changes nothing when it fails", function ()
    sh.tmpdir(function (dir)
      local base, diff = dir .. "/base", dir .. "/diff"
      pages(base, "aaaa")
      pages(diff, ".b.")
      local function refused (expected, ...)
        local ok, err = fc.snapshot.rebase(...)
        assert.is_nil(ok)
        assert.is_true(err.message:find(expected, 1, true) ~= nil, err.message)
        assert.equal("aaaa", shown(base))
        assert.equal("base diff\n", (sh(("cd %s; echo *"):format(dir))))
      end
      refused("diff has 12288 bytes", base, diff)
      refused("No such file or directory", base, dir .. "/none")
      refused("No such file or directory", dir .. "/none", diff)
      refused("No such file or directory", base, diff, { into = dir .. "/none/out" })
      refused("are one file", base, base, { in_place = true })
      refused("12288 bytes", base, diff, { in_place = true })
      assert.has_error(function () fc.snapshot.rebase(base) end)
      for message, options in pairs {
        ["inplace: unknown key (did you mean 'in_place'?)"] = { inplace = true },
        ["timeout: unknown key"] = { timeout = 1 },    -- it does not wait
        ["in_place: boolean expected, got 'yes'"] = { in_place = "yes" },
      } do
        local ok, err = pcall(fc.snapshot.rebase, base, diff, options)
        assert.is_false(ok)
        assert.equal("snapshot.rebase: " .. message, err.message)
      end
    end)
  end)

  it("leaves nothing when the disk is full, or it is cancelled #root", function ()
    sh.tmpdir(function (dir)
      local host = require "spec.support.host"
      local out, status = host(("cd %s; mkdir small; unshare -m sh -c 'mount -t tmpfs -o size=3m none small; \"$@\"' -")
        :format(sh.quote(dir)), [[
        local fc = require "firecracker"
        local function fill (path, pages)
          local file <close> = assert(io.open(path, "w"))
          for page in pairs(pages) do file:seek("set", page * 4096) file:write(("x"):rep(4096)) end
          file:seek("set", 700 * 4096 - 1) file:write "e"
        end
        local all = {}
        for page = 0, 399 do all[page] = true end
        fill("small/base", all)
        fill("small/diff", { [500] = true })
        print(fc.snapshot.rebase("small/base", "small/diff"))
        os.execute "cd small && echo * && stat -c %s base"]])
      assert.equal(0, status, out)
      assert.matches("^nil\t.*No space left on device\nbase diff\n" .. 700 * 4096 .. "\n$", out)

      local base, diff = dir .. "/base", dir .. "/diff"
      assert.equal(0, select(2, sh(("dd if=/dev/urandom of=%s bs=1M count=64 2>/dev/null; truncate -s 64M %s"):format(base, diff))))
      fc.run(function ()
        local task = fc.spawn(fc.snapshot.rebase, base, diff)
        fc.sleep(0)
        task:cancel()
        local ok, err = task:wait()
        assert.is_nil(ok)
        assert.equal("cancelled", err.code)
      end)
      assert.equal("base diff small\n", (sh(("cd %s; echo *"):format(dir))))
    end)
  end)
end)
