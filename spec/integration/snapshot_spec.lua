-- Snapshots on the real VMM, of a guest that counts in its memory and looks whether all of it is as it was: a digit is one turn
-- more, X a page that is wrong, Y a memory and a state of different times.

local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"
local uffd = require "spec.support.uffd"
local vsock = require "firecracker.snapshot.vsock"

local files = core.files

describe("#kvm a snapshot", function ()
  leaks.check(before_each, after_each, teardown)

  local dir
  before_each(function ()
    dir = bed.scratch "snapshots"
    assert(files.mkdir(dir))
  end)
  after_each(function ()
    sh("rm -rf " .. sh.quote(dir))
  end)

  local function listing (where)
    return (sh(("cd %s; ls -A | LC_ALL=C sort | tr '\\n' ' '"):format(where or dir)))
  end

  -- A machine that counts; what it has said.
  local function count (more)
    local console, text = bed.collector()
    local config = bed.config("count", { console = console, machine_config = { mem_size_mib = 32, track_dirty_pages = true } })
    for key, value in pairs(more or {}) do
      config[key] = value
    end
    return assert(fc.boot(config)), text
  end

  -- For `config.log`: while `slow.vm` is set the VMM is held once it has paused, until the snapshot is given up.
  local function holder (slow)
    return function (event)
      if slow.vm and event.operation == "PATCH /vm" and not slow.held then
        slow.held = slow.vm:kill "STOP"
      elseif slow.held and event.operation == "PUT /snapshot/create" then
        slow.vm, slow.held = nil, not slow.vm:kill "CONT"
      end
    end
  end

  local function restore (section, more)
    local console, text = bed.collector()
    local config = { run_dir = leaks.run_dir, timeouts = { shutdown = 0 }, console = console, snapshot = section }
    section.resume_vm = section.resume_vm == nil or section.resume_vm
    for key, value in pairs(more or {}) do
      config[key] = value
    end
    local vm, err = fc.restore(config)
    return vm, vm and text or err
  end

  -- So many turns, each one more than the last.
  local function counts (text, turns)
    local said
    bed.eventually(function ()
      said = text():gsub("\n", "")
      return #said >= turns or said:find "[XY]"
    end, turns .. " turns of the guest", 60)
    for i = 2, #said do
      assert.equal((tonumber(said:sub(i - 1, i - 1)) + 1) % 10, tonumber(said:sub(i, i)), said)
    end
    return said
  end

  local function paths (name)
    return { snapshot_path = ("%s/%s"):format(dir, name), mem_file_path = ("%s/%s.memory"):format(dir, name) }
  end

  local function taking (name, more)
    local options = paths(name)
    for key, value in pairs(more or {}) do
      options[key] = value
    end
    return options
  end

  it("is restored, and its guest goes on where it stood; the original too", function ()
    local vm <close>, text = count()
    counts(text, 2)
    assert(vm:pause())
    local before = counts(text, 2)
    local described = assert(vm:snapshot(paths "one"))
    assert.equal("paused", vm.state)
    assert.equal("one one.json one.memory ", listing())
    assert.same({ "Full", vm.id, vm:version(), dir .. "/one", dir .. "/one.memory", 32 << 20 },
      { described.type, described.id, described.release, described.state.path, described.memory.path, described.memory.size })
    assert.same(vm:full_config(), described.config)
    assert.same(described, (fc.snapshot.check(dir .. "/one")))
    for _, name in ipairs { "one", "one.json", "one.memory" } do
      assert.equal(tonumber("600", 8), files.look(dir .. "/" .. name).mode, name)
    end
    assert(vm:resume())
    counts(text, #before + 2)

    local again <close>, more = restore(paths "one" and { snapshot_path = dir .. "/one" })
    assert(again, more)
    assert.matches("^<vm %x+ running, 1 vCPU, 32 MiB, pid %d+>$", tostring(again))
    local after = counts(more, 3)
    assert.equal((tonumber(before:sub(-1)) + 1) % 10, tonumber(after:sub(1, 1)))
    assert.same(described.config.boot_source, again:full_config().boot_source)
    assert(again:pause() and again:resume())
    assert.equal("term", again:stop().by)
  end)

  it("is restored with options, by the restore's flow where they name none", function ()
    local vm = count()
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local config = { run_dir = leaks.run_dir, timeouts = { shutdown = 0 }, snapshot = { snapshot_path = dir .. "/one" } }
    for _, options in ipairs { {}, { via = "api" }, { flow = fc.flow "restore" } } do
      local before = next(options)
      local again <close>, err = fc.restore(config, options)
      assert(again, err)
      assert.equal("paused", again.state)
      assert.equal(before, next(options))
    end
    for message, options in pairs {
      ["options.via: 'config_file': Firecracker's file loads no snapshot"] = { via = "config_file" },
      ["options.vai: unknown key (did you mean 'via'?)"] = { vai = "api" },
    } do
      local ok, err = pcall(fc.restore, config, options)
      assert.is_false(ok)
      assert.equal(message, err.message)
      assert.matches("snapshot_spec%.lua:%d+$", err.where)
    end
  end)

  it("is restored in another process, paused until it is told", function ()
    local vm = count()
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local out = host("", ([[
      local fc = require "firecracker"
      local said = ""
      local vm <close> = assert(fc.restore { run_dir = %q, snapshot = { snapshot_path = %q }, timeouts = { shutdown = 0 },
        console = function (bytes) said = said .. bytes end })
      fc.sleep(0.3)
      print(vm.state, #said)
      assert(vm:resume())
      local deadline = fc.now() + 60
      while #said < 6 and fc.now() < deadline do fc.sleep(0.01) end
      print(said:find "^\n?%%d\n%%d\n%%d" and "goes on" or said)]]):format(leaks.run_dir, dir .. "/one"))
    assert.equal("paused\t0\ngoes on\n", out)
  end)

  it("is taken of a guest that runs, which goes on", function ()
    local vm <close>, text = count()
    local ok, err = vm:snapshot(paths "one")
    assert.is_nil(ok)
    assert.equal("state", err.code)
    assert.matches("^cannot snapshot machine %x+: it is running, not paused$", err.message)
    assert(vm:snapshot(taking("one", { pause = true, hashes = true })))
    assert.equal("running", vm.state)
    assert.equal("Running", vm:info().state)
    counts(text, #text() / 2 + 2)
    assert(fc.snapshot.check(dir .. "/one", { hashes = true }))
    assert(vm:snapshot(taking("two", { pause = true, manifest = false })))
    assert.equal("one one.json one.memory two two.memory ", listing())
    local again <close>, more = restore { snapshot_path = dir .. "/two",
                                          mem_backend = { backend_type = "File", backend_path = dir .. "/two.memory" } }
    assert(again, more)
    counts(more, 2)
    assert.equal(32, again.config.machine_config.mem_size_mib)
  end)

  it("is taken while another is, each in its turn", function ()
    local asked, slow = {}, {}
    local hold = holder(slow)
    local vm <close>, text = count { log_level = "debug", log = function (event)
      if event.operation == "PATCH /vm" or event.operation == "PUT /snapshot/create" then
        asked[#asked + 1] = event.operation
      end
      hold(event)
    end }
    local each = { "PATCH /vm", "PUT /snapshot/create", "PATCH /vm" }
    assert.is_nil(fc.map({ "one", "two" }, function (name)
      return assert(vm:snapshot(taking(name, { pause = true })))
    end).errors[1])
    assert.same({ each[1], each[2], each[3], each[1], each[2], each[3] }, asked)
    assert.equal("one one.json one.memory two two.json two.memory ", listing())
    counts(text, #text() / 2 + 2)
    fc.run(function ()
      slow.vm = vm
      local task = fc.spawn(vm.snapshot, vm, taking("one", { pause = true }))
      bed.eventually(function () return slow.held end, "the pause")
      for verb, options in pairs { pause = {}, resume = {}, snapshot = paths "two" } do
        options.timeout = 0.01
        local ok, err = vm[verb](vm, options)
        assert.is_nil(ok)
        assert.equal("timeout", err.code)
        assert.equal(("cannot %s machine %s: another task's snapshot of it does not end in time"):format(verb, vm.id), err.message)
      end
      local paused = fc.spawn(vm.pause, vm)
      fc.sleep(0)
      vm:kill "CONT"
      assert(task:wait())
      assert(paused:wait())
      assert.same({ "paused", "Paused" }, { vm.state, vm:info().state })
    end)
  end)

  it("of what changed is merged onto the one before it", function ()
    local vm <close>, text = count()
    counts(text, 2)
    assert(vm:snapshot(taking("base", { pause = true })))
    local before
    for i = 1, 3 do
      counts(text, #text() / 2 + 2)
      assert(vm:pause())
      fc.sleep(0.05)      -- all that it has said is here now
      before = counts(text, 1)
      local described = assert(vm:snapshot(taking("diff" .. i, { snapshot_type = "Diff" })))
      assert(vm:resume())
      assert.equal("Diff", described.type)
      assert.is_true(tonumber((sh(("stat -c %%b %s/diff%d.memory"):format(dir, i)))) * 512 < 1 << 20, "it holds all")
      assert(fc.snapshot.rebase(dir .. "/base.memory", ("%s/diff%d.memory"):format(dir, i), { into = dir .. "/merged" .. i }))
      assert(fc.snapshot.rebase(dir .. "/base.memory", ("%s/diff%d.memory"):format(dir, i)))
    end
    local function memory (name)
      return { snapshot_path = dir .. "/diff3", mem_backend = { backend_type = "File", backend_path = dir .. "/" .. name } }
    end
    for _, name in ipairs { "base.memory", "merged3" } do
      local again <close>, more = restore(memory(name))
      assert(again, more)
      local said = counts(more, 3)
      -- the VMM may have held a digit back, whose line was not at its end
      assert.is_true((tonumber(said:sub(1, 1)) - tonumber(before:sub(-1))) % 10 <= 2, before .. " " .. said)
    end
    -- the state of one time and the memory of another: the guest says so
    local wrong <close>, more = restore(memory "merged2")
    assert(wrong, more)
    bed.eventually(function () return more():find "Y" end, "a guest that notices", 60)
  end)

  it("of what changed is taken of a restored guest as well", function ()
    local vm = count()
    assert(vm:snapshot(taking("base", { pause = true })))
    vm:close()
    local again <close>, text = restore { snapshot_path = dir .. "/base", track_dirty_pages = true }
    assert(again, text)
    counts(text, 2)
    assert(again:snapshot(taking("diff", { pause = true, snapshot_type = "Diff" })))
    local refused, err = restore { snapshot_path = dir .. "/diff" }
    assert.is_nil(refused)
    assert.equal("validate.LoadSnapshotCfg", err.handler)
    assert.matches("merge it by fc.snapshot.rebase", err.message)
    assert(fc.snapshot.rebase(dir .. "/base.memory", dir .. "/diff.memory"))
    local third <close>, more = restore { snapshot_path = dir .. "/diff",
                                          mem_backend = { backend_type = "File", backend_path = dir .. "/base.memory" } }
    assert(third, more)
    counts(more, 3)
  end)

  it("keeps running guests when it takes the place of the one they run from", function ()
    local vm = count()
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local first <close>, text = restore { snapshot_path = dir .. "/one" }
    counts(text, 2)
    assert(first:snapshot(taking("one", { pause = true })))
    counts(text, #text() / 2 + 3)
    local second <close>, more = restore { snapshot_path = dir .. "/one" }
    counts(more, 3)
    counts(text, #text() / 2 + 2)
    assert.is_true(second.id ~= first.id)
  end)

  it("takes log, metrics, metadata and limits along", function ()
    local data = bed.write(dir .. "/data", ("\0"):rep(1 << 20))
    local vm = count { drives = { { drive_id = "data", path_on_host = data, is_root_device = false } },
                       mmds = { a = "old" } }
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local copy = dir .. "/copy"
    sh(("cp %s %s"):format(data, copy))
    local lines = {}
    local limiter = { bandwidth = { size = 1000, refill_time = 100 } }
    local again <close>, text = restore({ snapshot_path = dir .. "/one" }, {
      drives = { { drive_id = "data", path_on_host = copy, is_root_device = false, rate_limiter = limiter } },
      mmds = { a = "new" }, logger = { level = "Info", log_path = dir .. "/log" },
      metrics = { to = function (line) lines[#lines + 1] = line end },
    })
    assert(again, text)
    counts(text, 2)
    assert.same({ a = "new" }, again:metadata())
    local drive = again:full_config().drives[1]
    assert.equal(copy, drive.path_on_host)
    assert.equal(1000, drive.rate_limiter.bandwidth.size)
    assert.matches("load snapshot", bed.read(dir .. "/log"))
    assert(again:flush_metrics())
    bed.eventually(function () return lines[1] end, "a line of metrics")
    again:close()
    local plain <close>, more = restore { snapshot_path = dir .. "/one" }
    assert(plain, more)
    assert.same({}, plain:metadata())
    assert.equal(data, plain:full_config().drives[1].path_on_host)
    assert.is_nil(plain:full_config().drives[1].rate_limiter)
  end)

  it("has an interface on another tap, with each direction's limits put again #root", function ()
    local taps = { leaks.links .. "a", leaks.links .. "b" }
    for _, tap in ipairs(taps) do
      assert.equal(0, select(2, sh("ip tuntap add mode tap " .. tap)))
    end
    finally(function ()
      for _, tap in ipairs(taps) do
        sh("ip link delete " .. tap)
      end
    end)
    local function limiter (size)
      return { bandwidth = { size = size, refill_time = 100 } }
    end
    local vm = count { network_interfaces = { { iface_id = "eth0", host_dev_name = taps[1], rx_rate_limiter = limiter(1) } } }
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local again <close>, text = restore({ snapshot_path = dir .. "/one" }, { network_interfaces = {
      { iface_id = "eth0", host_dev_name = taps[2], rx_rate_limiter = limiter(111), tx_rate_limiter = limiter(999) } } })
    assert(again, text)
    counts(text, 2)
    local interface = again:full_config().network_interfaces[1]
    assert.same({ taps[2], limiter(111), limiter(999) },
      { interface.host_dev_name, interface.rx_rate_limiter, interface.tx_rate_limiter })
    again:close()
  end)

  it("comes from a page fault handler", function ()
    if not files.look "/dev/userfaultfd" then
      pending "no /dev/userfaultfd here"
    end
    local vm = count()
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local handler <close> = uffd(dir, dir .. "/one.memory")
    local served = { backend_type = "Uffd", backend_path = handler.path }
    local again, text = restore { snapshot_path = dir .. "/one", mem_backend = served }
    assert(again, text)
    counts(text, 3)
    again:close()
    local copied, log = handler:copied()
    assert.is_true(copied and copied > 3, log)
    -- nobody there any more
    local refused, err = restore { snapshot_path = dir .. "/one", mem_backend = served }
    assert.is_nil(refused)
    assert.equal("fcinit.LoadSnapshot", err.handler)
    assert.matches("Connection refused", err.fault_message)
    assert.equal(1, err.exited)
  end)

  it("is loaded twice: what two cannot share is refused, and another is taken", function ()
    local data = bed.write(dir .. "/data", ("\0"):rep(1 << 20))
    local original <close> = count { drives = { { drive_id = "data", path_on_host = data, is_root_device = false } } }
    assert(original:snapshot(taking("one", { pause = true })))
    local function refused (who)
      local vm, err = restore { snapshot_path = dir .. "/one" }
      assert.is_nil(vm)
      assert.equal("snapshot", err.code)
      assert.equal("drives", err.field)
      assert.equal(("validate.LoadSnapshotCfg: drive 'data' of the snapshot: machine %s writes to %s; name a copy in config.drives")
        :format(who.id, data), err.message)
    end
    refused(original)
    original:close()
    local first <close>, text = restore { snapshot_path = dir .. "/one" }
    assert(first, text)
    refused(first)
    local copy = dir .. "/copy"
    sh(("cp %s %s"):format(data, copy))
    local drives = { { drive_id = "data", path_on_host = copy, is_root_device = false } }
    local second <close>, more = restore({ snapshot_path = dir .. "/one" }, { drives = drives })
    assert(second, more)
    counts(text, 3)
    counts(more, 3)
    assert.equal(copy, second:full_config().drives[1].path_on_host)
  end)

  it("is not loaded beside a machine that writes to its drive, whatever way that came to it", function ()
    local data, copy = bed.write(dir .. "/data", ("\0"):rep(1 << 20)), bed.write(dir .. "/copy", ("\0"):rep(1 << 20))
    local function on (path, read_only)
      return count { drives = { { drive_id = "data", path_on_host = path, is_root_device = false, is_read_only = read_only } } }
    end
    local original = on(data)
    assert(original:snapshot(taking("one", { pause = true })))
    original:close()
    local function refused (who)
      local vm, err = restore { snapshot_path = dir .. "/one" }
      assert.is_nil(vm)
      assert.same({ "snapshot", "drives" }, { err.code, err.field })
      assert.matches(("machine %s writes to %s"):format(who.id, data), err.message, 1, true)
    end
    local function loaded ()
      local vm <close>, err = restore { snapshot_path = dir .. "/one" }
      assert(vm, err)
    end
    local booted <close> = on(data)
    refused(booted)
    assert(booted:update_drive("data", { path_on_host = copy }))
    loaded()
    assert(booted:update_drive("data", { path_on_host = data }))
    refused(booted)
    booted:close()
    local reader <close> = on(data, true)
    loaded()
    assert(reader:update_drive("data", { path_on_host = copy }))
    assert(reader:update_drive("data", { path_on_host = data }))
    loaded()
    fc.run(function ()
      local vms <close> = fc.map({ 1, 2, 3 }, function ()
        return restore { snapshot_path = dir .. "/one" }
      end)
      local won
      for i = 1, 3 do
        assert.is_nil(won and vms[i])
        won = won or vms[i]
        assert(vms[i] or vms.errors[i].field == "drives", vms.errors[i])
      end
      refused(assert(won))
    end)
  end)

  describe("with a vsock", function ()
    local socket
    before_each(function ()
      socket = dir .. "/vsock"
      local vm <close> = count { vsock = { guest_cid = 3, uds_path = socket } }
      assert(vm:snapshot(taking("one", { pause = true })))
      vm:kill()
      vm:close()
      os.remove(socket)
    end)

    it("has it again, and takes its socket away at the end", function ()
      local vm <close>, text = restore { snapshot_path = dir .. "/one" }
      assert(vm, text)
      assert.equal(socket, vm.vsock_path)
      assert.is_true(files.listens(socket))
      vm:close()
      assert.is_nil(files.look(socket))
    end)

    it("passes over a socket that nobody serves", function ()
      local stale <close> = assert(core.listener.open(socket))
      stale:close()
      sh(("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(%q)'"):format(socket))
      assert.equal("socket", files.look(socket).type)
      local vm <close>, text = restore { snapshot_path = dir .. "/one" }
      assert(vm, text)
      counts(text, 2)
    end)

    it("is refused where another serves, or something else is", function ()
      local vm <close>, text = restore { snapshot_path = dir .. "/one" }
      assert(vm, text)
      local other, err = restore { snapshot_path = dir .. "/one" }
      assert.is_nil(other)
      assert.same({ "vsock", "fcinit.LoadSnapshot", socket }, { err.code, err.handler, err.path })
      assert.matches("is in use by another VMM", err.message)
      assert.matches("vsock_override", err.hint)
      assert.is_true(files.listens(socket))
      vm:close()
      bed.write(socket, "mine")
      other, err = restore { snapshot_path = dir .. "/one" }
      assert.is_nil(other)
      assert.matches("vsock .* is a file", err.message)
      assert.equal("mine", bed.read(socket))
      os.remove(socket)
    end)

    it("leaves no socket where the load is given up as it is done", function ()
      for _, way in ipairs { "cancelled", "timeout" } do
        local loaded
        local flow = assert(fc.flow "restore"):insert_before("fcinit.LoadSnapshot", function (vm)
          local put = vm.api.put_snapshot_load
          function vm.api.put_snapshot_load (...)
            assert(put(...))
            loaded = files.listens(socket)
            fc.sleep(way == "cancelled" and 60 or 0)
            return nil, errors.new { code = "timeout", message = "late" }
          end
        end)
        fc.run(function ()
          local task = fc.spawn(fc.restore, { run_dir = leaks.run_dir, snapshot = { snapshot_path = dir .. "/one" } }, flow)
          bed.eventually(function () return loaded end, "the load")
          if way == "cancelled" then
            task:cancel()
          end
          local vm, err = task:wait()
          assert.is_nil(vm)
          assert.equal(way, err.code)
        end)
        assert.is_nil(files.look(socket))
      end
    end)

    it("is not taken for one that nobody serves while another restore here makes it", function ()
      fc.run(function ()
        local restoring
        do
          local own <close> = assert(vsock.turn({ config = {}, manifest = false }, { vsock_override = { uds_path = socket } }))
          sh(("rm -f %s; python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"%s\")'"):format(socket, socket))
          local bound = assert(files.look(socket))
          restoring = fc.spawn(restore, { snapshot_path = dir .. "/one" })
          assert.equal("timeout", select(2, restoring:wait { timeout = 0.5 }).code)
          assert.equal(bound.inode, assert(files.look(socket)).inode)
          assert.is_table(own)
        end
        local vm <close> = assert(restoring:wait())
        assert.is_true(files.listens(vm.vsock_path))
      end)
    end)

    it("goes to one of several at once; the others say why and leave it alone", function ()
      fc.run(function ()
        local vms <close> = fc.map({ 1, 2, 3, 4 }, function ()
          local vm, err = restore { snapshot_path = dir .. "/one" }
          return vm, err
        end)
        local won, why = 0, {}
        for i = 1, 4 do
          if vms[i] then
            won = won + 1
          else
            why[#why + 1] = vms.errors[i].fault_message or vms.errors[i].message
          end
        end
        assert.equal(1, won, table.concat(why, "\n"))
        for _, each in ipairs(why) do
          assert.is_true(each:find "in use" ~= nil, each)
        end
        assert.is_true(files.listens(socket))
      end)
    end)
  end)

  it("goes from jail to jail: its files are where the VMM had them #root", function ()
    local jailer = { uid = 1000, gid = 1000, chroot_base_dir = dir .. "/jails" }
    assert(files.mkdir(jailer.chroot_base_dir))
    sh("chmod 755 " .. dir)
    local data, socket = bed.write(dir .. "/data", ("\0"):rep(1 << 20)), dir .. "/vsock"
    local vm <close>, text = count {
      jailer = jailer, vsock = { guest_cid = 3, uds_path = socket },
      drives = { { drive_id = "data", path_on_host = data, is_root_device = false } },
    }
    counts(text, 2)
    local described = assert(vm:snapshot(taking("one", { pause = true, hashes = true })))
    assert.are_not.equal(data, described.config.drives[1].path_on_host)
    assert.same({ data, socket }, { described.host.drives.data, described.host.vsock })
    counts(text, #text() / 2 + 2)
    local ok, err = vm:snapshot { snapshot_path = dir .. "/no/one", mem_file_path = dir .. "/two", pause = true }
    assert.is_nil(ok)
    assert.equal("system", err.code)
    vm:close()
    for _, name in ipairs { "one", "one.memory", "data" } do
      assert.equal(0, files.look(dir .. "/" .. name).uid, name)
    end
    local copy = dir .. "/copy"
    sh(("cp %s %s"):format(data, copy))
    local first <close>, more = restore({ snapshot_path = dir .. "/one", verify = true }, { jailer = jailer })
    assert(first, more)
    counts(more, 3)
    assert.is_true(files.listens(first.vsock_path))
    local refused, why = restore({ snapshot_path = dir .. "/one" }, { jailer = jailer })
    assert.is_nil(refused)
    assert.equal("drives", why.field)
    first:close()
    local second <close>, said = restore({ snapshot_path = dir .. "/one" }, { jailer = jailer, drives = {
      { drive_id = "data", path_on_host = copy, is_root_device = false } } })
    assert(second, said)
    counts(said, 3)
    assert.equal(1000, files.look(copy).uid)    -- lent
    second:close()
    assert.same({ 0, "" }, { files.look(copy).uid, (sh("find " .. dir .. "/jails -mindepth 1")) })
  end)

  it("of somebody else's brings nothing into a jail that the configuration does not name #root", function ()
    local jailer = { uid = 1000, gid = 1000, chroot_base_dir = dir .. "/jails" }
    assert(files.mkdir(jailer.chroot_base_dir))
    sh("chmod 755 " .. dir)
    local data, secret = bed.write(dir .. "/data", ("\0"):rep(1 << 20)), bed.write(dir .. "/secret", ("\0"):rep(1 << 20))
    local vm = count {
      jailer = jailer, vsock = { guest_cid = 3, uds_path = dir .. "/vsock" },
      drives = { { drive_id = "data", path_on_host = data, is_root_device = false } },
    }
    local described = assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    described.host.drives.data, described.host.vsock = secret, dir .. "/planted"
    bed.write(dir .. "/one.json", require "firecracker.snapshot.manifest".encode(described, dir .. "/one.json"))
    local memory = { backend_type = "File", backend_path = dir .. "/one.memory" }
    local drives = { { drive_id = "data", path_on_host = data, is_root_device = false } }
    for _, theirs in ipairs { "chown 1000", "chown 0 %s; chmod 620" } do
      sh((theirs .. " %s"):format(dir .. "/one.json", dir .. "/one.json"))
      local refused, err = restore({ snapshot_path = dir .. "/one" }, { jailer = jailer, drives = drives })
      assert.is_nil(refused)
      assert.equal("snapshot.mem_backend", err.field)
      refused, err = restore({ snapshot_path = dir .. "/one", mem_backend = memory }, { jailer = jailer })
      assert.is_nil(refused)
      assert.equal(("validate.LoadSnapshotCfg: config.drives: path_on_host of 'data' must be named here: %s/one.json is not ours " ..
        "alone to write to"):format(dir), err.message)
      local again <close>, text = restore({ snapshot_path = dir .. "/one", mem_backend = memory }, { jailer = jailer, drives = drives })
      assert(again, text)
      counts(text, 2)
      assert.same({ 0, 1000 }, { files.look(secret).uid, files.look(data).uid })
      assert.is_true(files.listens(again.vsock_path))
      assert.is_nil(files.look(dir .. "/planted"))
      again:close()
    end
  end)

  it("of a guest restored in a jail goes to one as well: its vsock is where the first had it #root", function ()
    local jailer = { uid = 1000, gid = 1000, chroot_base_dir = dir .. "/jails" }
    assert(files.mkdir(jailer.chroot_base_dir))
    sh("chmod 755 " .. dir)
    local socket = dir .. "/vsock"
    local vm = count { jailer = jailer, vsock = { guest_cid = 3, uds_path = socket } }
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    for _, names in ipairs { { "one", "two" }, { "two", "three" } } do
      local again <close>, text = restore({ snapshot_path = dir .. "/" .. names[1] }, { jailer = jailer })
      assert(again, text)
      counts(text, 2)
      assert.equal(again.jail.root .. "/run/vsock.sock", (sh("readlink -n " .. socket)))
      assert.equal(socket, assert(again:snapshot(taking(names[2], { pause = true }))).host.vsock)
      again:close()
      assert.is_nil(files.look(socket))
    end
  end)

  it("goes to a jail without its manifest: what the VMM says is in the jail #root", function ()
    local jailer = { uid = 1000, gid = 1000, chroot_base_dir = dir .. "/jails" }
    assert(files.mkdir(jailer.chroot_base_dir))
    sh("chmod 755 " .. dir)
    local vm <close>, text = count { jailer = jailer, vsock = { guest_cid = 3, uds_path = dir .. "/vsock" } }
    counts(text, 2)
    assert(vm:snapshot(taking("one", { pause = true })))
    vm:close()
    local inside <close>, more = restore({ snapshot_path = dir .. "/one", ignore_manifest = true,
      mem_backend = { backend_type = "File", backend_path = dir .. "/one.memory" } }, { jailer = jailer })
    assert(inside, more)
    counts(more, 2)
    assert.equal(inside.jail.root, inside.vsock_path:match "^(.-)//")
    assert.is_true(files.listens(inside.vsock_path))
    inside:close()
  end)

  it("leaves nothing of itself in a jail, and nothing to its user #root", function ()
    local jailer = { uid = 1000, gid = 1000, chroot_base_dir = dir .. "/jails" }
    local other = dir .. "/other"
    assert(files.mkdir(jailer.chroot_base_dir))
    local _, status = sh(("chmod 755 %s; mkdir %s && mount -t tmpfs none %s"):format(dir, other, other))
    assert.equal(0, status)
    finally(function () sh("umount -l " .. other) end)
    for _, case in ipairs { { where = dir }, { where = dir, staging = { "copy" } }, { where = other } } do   -- linked, linked, mounted
      jailer.staging = case.staging
      local slow = {}
      local vm <close>, text = count { jailer = jailer, log = holder(slow), log_level = "debug" }
      local options = { snapshot_path = case.where .. "/one", mem_file_path = case.where .. "/one.memory", pause = true }
      assert(vm:snapshot(options))
      local function held ()
        return { (sh("ls " .. vm.jail.root .. "/vm")), select(2, bed.read(("/proc/%d/mountinfo"):format(vm.pid)):gsub("\n", "")),
                 #vm.undo, fds.count "^[^s]" }    -- no sockets: a request that is given up keeps its connection
      end
      local before = held()
      assert.equal("kernel\n", before[1])
      assert.equal(32 << 20, assert(vm:snapshot(options)).memory.size)
      options.timeout, slow.vm = 0, vm
      assert.equal("timeout", select(2, vm:snapshot(options)).code)
      assert.same(before, held())
      assert.equal("0 1\n0 1\n0 1\n", (sh(("cd %s; stat -c '%%u %%h' one one.json one.memory"):format(case.where))))
      counts(text, #text() / 2 + 2)
      vm:close()
      local again <close>, more = restore { snapshot_path = options.snapshot_path }
      assert(again, more)
      counts(more, 3)
    end
  end)

  describe("that cannot be loaded:", function ()
    local vm
    local function base ()
      vm = count()
      assert(vm:snapshot(taking("one", { pause = true })))
      vm:close()
    end

    local function fails (section, more)
      local loaded, err = restore(section, more)
      assert.is_nil(loaded)
      assert.is_table(err)
      assert.is_nil(err.undo_errors)
      assert.equal("", (sh("ls -A " .. leaks.run_dir)))
      return err
    end

    local function ignoring (name)
      return { snapshot_path = dir .. "/" .. (name or "one"), ignore_manifest = true,
               mem_backend = { backend_type = "File", backend_path = dir .. "/one.memory" } }
    end

    it("its state is cut at twenty places", function ()
      base()
      local size = files.look(dir .. "/one").size
      for i = 0, 19 do
        local length = size * i // 20
        sh(("head -c %d %s/one >%s/cut; cp %s/one.json %s/cut.json; sed -i 's/\"path\":\"one\"/\"path\":\"cut\"/' %s/cut.json")
          :format(length, dir, dir, dir, dir, dir))
        local err = fails { snapshot_path = dir .. "/cut" }
        assert.same({ "snapshot", ("validate.LoadSnapshotCfg: %s/cut: the snapshot's state has %d bytes, its manifest says %d")
          :format(dir, length, size) }, { err.code, err.message })
        err = fails(ignoring "cut")
        assert.equal("api", err.code, tostring(err))
        assert.equal("fcinit.LoadSnapshot", err.handler)
        assert.equal(400, err.status)
        assert.equal(1, err.exited)
        assert.matches("snapshot", err.fault_message)
      end
    end)

    it("a byte of its state is another", function ()
      base()
      local text = bed.read(dir .. "/one")
      for i = 1, 8 do
        local at = #text * i // 9
        bed.write(dir .. "/bad", text:sub(1, at - 1) .. string.char(text:byte(at) ~ 0x55) .. text:sub(at + 1))
        local err = fails(ignoring "bad")
        assert.equal("api", err.code)
        assert.equal(1, err.exited)
      end
    end)

    it("its memory is gone, short, a directory, or another's", function ()
      base()
      local section = ignoring()
      sh(("truncate -s 31M %s/one.memory"):format(dir))
      assert.matches("has 32505856 bytes, its manifest says 33554432", fails({ snapshot_path = dir .. "/one" }).message)
      assert.equal("api", fails(section).code)
      os.remove(dir .. "/one.memory")
      assert.matches("cannot look at .*one.memory: No such file", fails({ snapshot_path = dir .. "/one" }).message)
      local err = fails(section, { disable_validation = true })
      assert.equal("api", err.code)
      assert.matches("No such file or directory", err.fault_message)
      assert.equal(1, err.exited)
      assert.is_string(err.stderr)
      files.mkdir(dir .. "/one.memory")
      assert.matches("is a directory, no file", fails(section).message)
      assert.equal("api", fails(section, { disable_validation = true }).code)
    end)

    it("its manifest is of another release", function ()
      base()
      sh(("sed -i 's/\"release\":\"[^\"]*\"/\"release\":\"1.6.0\"/' %s/one.json"):format(dir))
      local err = fails { snapshot_path = dir .. "/one" }
      assert.equal("release", err.field)
      assert.matches("it was made by Firecracker 1.6.0, which this one %(%d+%.%d+%.%d+%) does not read", err.message)
      local ok <close>, text = restore(ignoring())    -- the files are fine
      assert(ok, text)
    end)

    it("a drive or a tap is not there", function ()
      local data = bed.write(dir .. "/data", ("\0"):rep(1 << 20))
      local with_drive = count { drives = { { drive_id = "data", path_on_host = data, is_root_device = false } } }
      assert(with_drive:snapshot(taking("one", { pause = true })))
      with_drive:close()
      os.remove(data)
      assert.matches("drive 'data' of the snapshot: cannot use .*/data: No such file", fails({ snapshot_path = dir .. "/one" }).message)
      local err = fails(ignoring())
      assert.equal("api", err.code)
      assert.matches("No such file", err.fault_message)
      assert.equal("config.drives[1].drive_id: the snapshot has no 'other'", (fails({ snapshot_path = dir .. "/one" },
        { drives = { { drive_id = "other", path_on_host = bed.write(data, ""), is_root_device = false } } })
        .message:gsub("^validate.LoadSnapshotCfg: ", "")))
    end)

    it("the VMM is not fresh", function ()
      base()
      local flow = assert(fc.flow "restore"):insert_before("fcinit.LoadSnapshot", function (machine)
        return machine.api:request("PUT", "/machine-config", { vcpu_count = 1, mem_size_mib = 32 })
      end)
      local loaded, err = fc.restore({ run_dir = leaks.run_dir, snapshot = { snapshot_path = dir .. "/one" } }, flow)
      assert.is_nil(loaded)
      assert.matches("not allowed after configuring boot%-specific resources", err.fault_message)
    end)
  end)

  describe("that cannot be written", function ()
    it("leaves nothing, and the machine as it was", function ()
      local slow = {}
      local vm <close>, text = count { log = holder(slow), log_level = "debug" }
      local function unharmed (state)
        assert.equal(state, vm.state)
        assert.equal(state == "running" and "Running" or "Paused", vm:info().state)
        assert.equal("", listing())
      end
      for _, state in ipairs { "running", "paused" } do
        for _, case in ipairs {
          { { snapshot_path = dir .. "/no/state", mem_file_path = dir .. "/memory" }, "system" },
          { { snapshot_path = dir .. "/state", mem_file_path = dir .. "/no/memory" }, "system" },
          { { snapshot_path = "/proc/state", mem_file_path = dir .. "/memory" }, "system" },
          { taking("one", { timeout = 0 }), "timeout" },
        } do
          local options, code = table.unpack(case)
          options.pause = true
          slow.vm = code == "timeout" and vm
          slow.held = slow.vm and state == "paused" and vm:kill "STOP"
          local ok, err = vm:snapshot(options)
          assert.is_nil(ok)
          assert.equal(code, err.code, tostring(err))
          unharmed(state)
        end
        if state == "running" then
          counts(text, #text() / 2 + 2)
          assert(vm:pause())
        end
      end
      files.mkdir(dir .. "/one")
      local ok, err = vm:snapshot(paths "one")
      assert.is_nil(ok)
      assert.equal(dir .. "/one is a directory", err.message)
      assert.equal("one ", listing())
      os.remove(dir .. "/one")
      assert(vm:snapshot(paths "one"))
    end)

    it("for want of dirty pages' track", function ()
      local vm <close> = count { machine_config = { mem_size_mib = 32 } }
      local described, err = vm:snapshot(taking("one", { pause = true, snapshot_type = "Diff" }))
      if not described then    -- before release 1.13
        assert.equal("api", err.code)
        assert.matches("[Dd]irty", err.fault_message)
        assert.equal("", listing())
      end
      assert.equal("Running", vm:info().state)
    end)

    it("where a diff would lack what was swapped out", function ()
      local open, header = io.open, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
      local function diff (vm, areas)
        bed.write(dir .. "/swaps", header .. areas)
        rawset(io, "open", function (path, ...)
          return open(path == "/proc/swaps" and dir .. "/swaps" or path, ...)
        end)
        local taken, err = vm:snapshot(taking("one", { pause = true, snapshot_type = "Diff" }))
        rawset(io, "open", open)
        os.remove(dir .. "/swaps")
        return taken, err
      end
      local area = "/swapfile                               file\t\t2097148\t\t0\t\t-2\n"
      local vm <close> = count { machine_config = { mem_size_mib = 32 } }
      local _, err = diff(vm, area)
      assert.equal("snapshot", err.code)
      assert.matches("would lack what was swapped out: this host swaps to /swapfile %(machine_config.track_dirty_pages", tostring(err))
      assert.equal("", listing())
      assert.equal("running", vm.state)
      assert.not_equal("snapshot", (select(2, diff(vm, "")) or {}).code)
      local tracked <close> = count { machine_config = { mem_size_mib = 32, track_dirty_pages = true } }
      assert(diff(tracked, area))
    end)

    it("because its manifest cannot be written to the disk", function ()
      local vm <close> = count()
      local sync = files.sync
      finally(function () files.sync = sync end)
      function files.sync (path)
        if path:find "%.json%.%x+%.partial$" then
          return nil, errors.new { code = "system", errno = "EIO", path = path, message = "cannot write " .. path }
        end
        return sync(path)
      end
      local made, err = vm:snapshot(taking("one", { pause = true }))
      assert.is_nil(made)
      assert.equal("EIO", err and err.errno)
      assert.same({ "running", "" }, { vm.state, listing() })
    end)

    it("under its names leaves there what was there", function ()
      local vm <close> = count()
      local function kept ()
        return (sh(("cd %s; cksum *"):format(dir)))
      end
      local calls, fails, raises = 0, 0, false
      local rename, sync = os.rename, files.sync
      finally(function () rawset(os, "rename", rename); files.sync = sync end)
      local function failing (original)
        return function (...)
          calls = calls + 1
          if calls == fails and raises then
            error(errors.new { code = "interrupted", message = "interrupted!" }, 0)
          elseif calls == fails then
            return nil, errors.new { code = "system", errno = "EIO", message = "no disk" }
          end
          return original(...)
        end
      end
      rawset(os, "rename", failing(function (...) return rename(...) end))
      files.sync = failing(sync)
      local function take (n)
        calls, fails = 0, n
        local returned, ok, err = pcall(vm.snapshot, vm, taking("one", { pause = true }))
        return returned and ok, err or ok
      end
      for _, first in ipairs { true, false } do   -- with nothing there, and with a snapshot
        for _, how in ipairs { false, true } do
          raises = how
          local before, n = kept(), 0
          repeat
            n = n + 1
            local taken, err = take(n)
            if not taken then
              assert.equal(how and "interrupted" or "system", err.code, tostring(err))
              assert.equal(before, kept(), "point " .. n)
              assert.equal("running", vm.state)
            end
          until taken
          assert.is_true(n > 9, n .. " points")
          if first then
            sh("rm " .. dir .. "/one*")
          end
        end
        assert(first or fc.snapshot.check(dir .. "/one"))
        assert(take(0))
      end
      assert.equal("one one.json one.memory ", listing())
    end)

    it("because the VMM is killed meanwhile", function ()
      fc.run(function ()
        local vm <close> = count()
        local task = fc.spawn(vm.snapshot, vm, taking("one", { pause = true }))
        bed.eventually(function () return listing():find "partial" end, "the first file")
        vm:kill()
        local ok, err = task:wait()
        if not ok then   -- it may have been through
          assert.equal("exited", err.code)
          assert.equal("", listing())
        end
      end)
    end)

    it("because the task is cancelled", function ()
      fc.run(function ()
        local vm <close>, text = count()
        for _, wait in ipairs { 0, 0.005, 0.05 } do
          local task = fc.spawn(vm.snapshot, vm, taking("one", { pause = true, hashes = true }))
          fc.sleep(wait)
          task:cancel()
          local ok, err = task:wait()
          assert.is_nil(ok)
          assert.equal("cancelled", err.code)
          assert.equal("", listing())
          assert.equal("running", vm.state)
          counts(text, #text() / 2 + 2)
        end
      end)
    end)

    it("because the task is cancelled as the guest is let go on", function ()
      fc.run(function ()
        local vm, held
        local machine <close>, text = count { log_level = "debug", log = function (event)
          held = held or event.operation == "GET /vm/config" and vm:kill "STOP"
        end }
        vm = machine
        local task = fc.spawn(vm.snapshot, vm, taking("one", { pause = true }))
        bed.eventually(function () return held end, "the last request but one")
        fc.sleep(0.01)
        task:cancel()
        fc.sleep(0.01)
        assert(vm:kill "CONT")
        assert.equal("cancelled", select(2, task:wait()).code)
        assert.equal("running", vm.state)
        assert.equal("", listing())
        counts(text, #text() / 2 + 2)
      end)
    end)

    it("because the disk is full #root", function ()
      local out, status = host(("mkdir %s/small; unshare -m sh -c 'mount -t tmpfs -o size=20m none %s/small; \"$@\"' -")
        :format(dir, dir), ([[
        local fc = require "firecracker"
        local said = ""
        local vm <close> = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 },
          machine_config = { mem_size_mib = 32, track_dirty_pages = true }, console = function (bytes) said = said .. bytes end })
        local small = %q
        local ok, err = vm:snapshot { snapshot_path = small .. "state", mem_file_path = small .. "memory", pause = true }
        print(ok, err.code, err.fault_message:match "os error %%d+")
        print(vm.state, vm:info().state)
        os.execute("ls -A " .. small)
        local before, deadline = #said, fc.now() + 60
        while #said < before + 4 and fc.now() < deadline do fc.sleep(0.01) end
        assert(#said >= before + 4 and not said:find "[XY]", said)
        -- a diff needs less, and is complete
        assert(vm:snapshot { snapshot_path = small .. "state", mem_file_path = small .. "memory", pause = true, snapshot_type = "Diff" })
        os.execute("ls -A " .. small)]]):format(leaks.run_dir, bed.guest "count", dir .. "/small/"))
      assert.equal(0, status, out)
      assert.equal("nil\tapi\tos error 28\nrunning\tRunning\nmemory\nstate\nstate.json\n", out)
    end)
  end)

  -- A coroutine that is never resumed is a program that was ended at this moment: nothing of its cleaning up runs.
  it("that is broken off anywhere never stands half under its name", function ()
    local function idle (size, more)
      more.machine_config = { mem_size_mib = size }
      local vm = assert(fc.boot(bed.config("idle", more)))
      assert(vm:pause())
      return vm
    end
    -- the old and the new one differ in the size of each file
    local old, old_size
    do
      local vm <close> = idle(18, {})
      old = assert(vm:snapshot(taking("one")))
      old_size = files.look(dir .. "/one").size
    end
    sh(("mkdir %s/old; cp %s/one* %s/old"):format(dir, dir, dir))
    local vm <close> = idle(17, { vsock = { guest_cid = 3, uds_path = dir .. "/vsock" } })
    local hooks = { { files, "create" }, { files, "sync" }, { files, "unlink" }, { os, "rename" }, { io, "open" } }
    local originals = {}
    local function put_back ()
      for i, hook in ipairs(hooks) do
        hook[1][hook[2]] = originals[i] or hook[1][hook[2]]
      end
    end
    finally(put_back)
    local points, absent, news, last = 0, 0, 0
    repeat
      points = points + 1
      local calls, body = 0, nil
      for i, hook in ipairs(hooks) do
        originals[i] = hook[1][hook[2]]
        hook[1][hook[2]] = function (...)
          if coroutine.running() == body then
            calls = calls + 1
            if calls == points then
              coroutine.yield "broken off"
            end
          end
          return originals[i](...)
        end
      end
      body = coroutine.create(function () return assert(vm:snapshot(taking("one"))) end)
      sh(("rm -f %s/one* && cp %s/old/* %s"):format(dir, dir, dir))
      local fine, result = coroutine.resume(body)
      put_back()
      vm.turn = nil
      assert(fine, tostring(result))
      last = result
      if files.look(dir .. "/one") then
        local ok, err = fc.snapshot.check(dir .. "/one")
        assert(ok, ("point %d: %s"):format(points, tostring(err)))
        news = news + (ok.id ~= old.id and 1 or 0)
        assert.equal(ok.id == old.id, files.look(dir .. "/one").size == old_size)
      else
        absent = absent + 1
      end
    until result ~= "broken off"
    assert.equal("Full", last.type)
    assert.is_true(points >= 12, points .. " points")
    assert.is_true(absent >= 2 and news >= 2, ("%d absent, %d new"):format(absent, news))
  end)
end)
