-- How files enter a jail: each way, and each failing in turn. The trees are the same before and after.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local jails = require "spec.support.jails"
local sh = require "spec.support.sh"

local files = core.files

local missing = jails.missing()
if missing then
  describe("#kvm #root staging", function ()
    it("works", function () pending(missing) end)
  end)
  return
end

local function run (command)
  local out, status = sh(command)
  assert(status == 0, out)
  return out
end

-- A file system of its own below the specs' files, gone with the spec.
local function mounted (name, how)
  local path = jails.files .. "/" .. name
  run(("mkdir %s && mount %s %s"):format(path, how, path))
  jails.later(function () run(("umount -l %s && rmdir %s"):format(path, path)) end)
  return path
end

-- How each file came in, by what it is called in the jail.
local function ways (config, seen)
  config.log = function (event)
    if event.event == "staging" and event.jail then
      seen[event.jail] = event.way
    elseif event.event == "staging" then
      seen.progress = (seen.progress or 0) + 1
    end
  end
  return config
end

-- `more` fields of the drive, `others` sections beside it.
local function drive (path, more, others)
  local config = { drive_id = "d", path_on_host = path, is_root_device = false, is_read_only = false }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  local result = { drives = { config } }
  for key, value in pairs(others or {}) do
    result[key] = value
  end
  return result
end

-- Boot, look at a file in the jail, stop. What `files.look` says of it.
local function staged (config, name)
  local vm <close> = assert(fc.boot(config))
  local look = assert(files.look(jails.root(vm) .. name))
  assert(vm:stop())
  return look
end

local function refused (config)
  local vm, err = fc.boot(config)
  assert.is_nil(vm)
  assert.is_true(errors.is(err))
  assert.is_nil(err.undo_errors)
  return err
end

local function is_immutable (path)
  return select(2, sh("chattr +i " .. path)) == 0
end

describe("#kvm #root staging", function ()
  jails.check(before_each, after_each, setup, teardown)

  it("links what the jail's user can use, and copies what he cannot read", function ()
    local open, closed = jails.file "open", jails.file "closed"
    run("chmod 600 " .. closed)
    local seen = {}
    local look = staged(ways(jails.config("idle", nil, drive(open, { is_read_only = true })), seen), "/vm/drives/d")
    assert.equal("link", seen["/vm/drives/d"])
    assert.equal(files.look(open).inode, look.inode)
    look = staged(ways(jails.config("idle", nil, drive(closed, { is_read_only = true })), seen), "/vm/drives/d")
    assert.is_true(seen["/vm/drives/d"] == "copy" or seen["/vm/drives/d"] == "reflink")
    assert.same({ jails.uid, jails.gid, 256 }, { look.uid, look.gid, look.mode })
    assert.equal(0, files.look(closed).uid)
  end)

  it("lends what the VMM writes to the jail's user, for as long as it runs", function ()
    local path = jails.file "drive"
    run("chown 5:6 " .. path .. "; chmod 440 " .. path)
    local vm <close> = assert(fc.boot(jails.config("idle", nil, drive(path))))
    local look = files.look(path)
    assert.same({ jails.uid, jails.gid, 416 }, { look.uid, look.gid, look.mode })
    assert(vm:stop())
    look = files.look(path)
    assert.same({ 5, 6, 288 }, { look.uid, look.gid, look.mode })
  end)

  -- Whose a file is, and its mode.
  local function owner (path)
    local look = files.look(path)
    return ("%d:%d %o"):format(look.uid, look.gid, look.mode)
  end

  it("takes back what it lent where the program ends with a machine it has dropped", function ()
    local path = jails.file "dropped"
    local out, status = sh(([[lua5.4 -e '
      local fc, bed = require "firecracker", require "spec.support.bed"
      assert(fc.boot(bed.config("idle", { run_dir = %q, jailer = { uid = %d, gid = %d, chroot_base_dir = %q },
        drives = { { drive_id = "data", path_on_host = %q, is_root_device = false } } })))']]):format(
      bed.config("idle").run_dir, jails.uid, jails.gid, jails.base, path))
    assert.equal(0, status, out)
    local look = core.files.look(path)
    assert.same({ 0, 0 }, { look.uid, look.gid })
  end)

  it("takes back what it lent whatever its user made of the mode, and leaves what somebody else was given", function ()
    local path, warnings = jails.file "drive", {}
    run("chown 5:6 " .. path .. "; chmod 440 " .. path)
    local function used (change)
      local vm <close> = assert(fc.boot(jails.config("idle", nil, drive(path, nil, { log = function (event)
        warnings[#warnings + 1] = event.event == "warning" and event.message or nil
      end }))))
      run(change .. " " .. path)
      assert.is_nil(assert(vm:stop()).undo_errors)
      return owner(path), table.remove(warnings)
    end
    assert.same({ "5:6 440" }, { used ":" })
    assert.same({ "5:6 440", path .. " had mode 4777 when it was given back; what it had before is set again" },
      { used "chmod 4777" })
    assert.same({ "7:8 600", path .. (" was lent to uid %d, but belongs to uid 7 by now: it stays so"):format(jails.uid) },
      { used("chmod 600 " .. path .. "; chown 7:8") })
    assert.same({}, warnings)
  end)

  it("lends one file to several machines, and takes it back when the last ends", function ()
    local path = jails.file "drive"
    run("chown 5:6 " .. path .. "; chmod 440 " .. path)
    local function boot (uid)
      return assert(fc.boot(jails.config("idle", { uid = uid }, drive(path))))
    end
    local function lent (uid)
      return ("%d:%d 640"):format(uid, jails.gid)
    end
    for order, others in pairs { [{ 1, 2, 3 }] = { 1000, 2000, 3000 }, [{ 3, 2, 1 }] = { 1000, 2000, 3000 },
                                 [{ 1, 2 }] = { 1000, 1000 }, [{ 2, 1, 3 }] = { 1000, 2000, 1000 } } do
      local vms, left = {}, {}
      for i, uid in ipairs(others) do
        vms[i], left[i] = boot(uid), uid
        assert.equal(lent(uid), owner(path))
      end
      for _, i in ipairs(order) do
        assert.is_nil(assert(vms[i]:stop()).undo_errors)
        left[i] = nil
        local last
        for n = 1, #others do
          last = left[n] or last
        end
        assert.equal(last and lent(last) or "5:6 440", owner(path))
      end
    end
    local one, two = boot(1000), boot(2000)   -- what was taken from the first is lent anew
    run("chown 7:8 " .. path .. "; chmod 400 " .. path)
    local three = boot(1000)
    assert.same({ ("1000:%d 600"):format(jails.gid) }, { owner(path) })
    for _, vm in ipairs { two, one } do
      assert(vm:stop())
      assert.same({ ("1000:%d 600"):format(jails.gid) }, { owner(path) })
    end
    assert(three:stop())
    assert.equal("7:8 400", owner(path))
  end)

  it("keeps apart two files of one name", function ()
    run(("mkdir %s/a %s/b"):format(jails.files, jails.files))
    jails.later(function () run(("rmdir %s/a %s/b"):format(jails.files, jails.files)) end)
    local a, b = jails.file "a/disk", jails.file("b/disk", ("\0"):rep(2 << 20))
    local drives = fc.drives.add(fc.drives.add({}, a), b)
    local vm <close> = assert(fc.boot(jails.config("idle", { chroot_strategy = function (flow)
      return fc.jail.naive(flow):append_after("fcinit.LinkFilesToRootFS", function (machine)
        local first, second = assert(machine:vmm_path(a)), assert(machine:vmm_path(b))
        assert.same({ "/vm/disk", "/vm/disk.2" }, { first, second })
        assert.equal(first, (machine:vmm_path(a)))
      end)
    end }, { drives = drives })))
    local inodes = {}
    for _, name in ipairs { "/vm/drives/drive1", "/vm/drives/drive2" } do
      inodes[#inodes + 1] = files.look(jails.root(vm) .. name).inode
    end
    assert.same({ files.look(a).inode, files.look(b).inode }, inodes)
  end)

  it("mounts what lies on another file system: nothing is copied, a read-only drive cannot be written", function ()
    local other = mounted("tmpfs", "-t tmpfs none")
    local path, seen = jails.file "tmpfs/drive", {}
    local vm <close> = assert(fc.boot(ways(jails.config("idle", nil, drive(path, { is_read_only = true })), seen)))
    assert.equal("bind", seen["/vm/drives/d"])
    assert.matches(" /vm/drives/d ro,nosuid,nodev,noexec", bed.read(("/proc/%d/mountinfo"):format(vm.pid)))
    assert(vm:stop())
    assert.is_nil(bed.read("/proc/self/mountinfo"):find(jails.base, 1, true))
    local look = staged(ways(jails.config("idle", nil, drive(path)), seen), "/vm/drives/d")
    assert.equal("bind", seen["/vm/drives/d"])
    assert.equal(jails.uid, look.uid)
    assert.equal(0, files.look(path).uid)
    look = staged(ways(jails.config("idle", { staging = { "copy" } }, drive(path)), seen), "/vm/drives/d")
    assert.same({ "copy", jails.uid, 384 }, { seen["/vm/drives/d"], look.uid, look.mode })
    assert.truthy(other)
  end)

  it("copies large files without their holes, and tells how far it is; the other tasks go on", function ()
    local path, seen = jails.file("sparse", ""), {}
    run(("truncate -s 400M %s; head -c 60000000 /dev/urandom | dd of=%s bs=1M seek=99 conv=notrunc status=none"):format(path, path))
    local config = ways(jails.config("idle", { staging_for = { ["drives/d"] = { "copy" } } }, drive(path)), seen)
    local log, turns, told = config.log, 0, {}
    config.log = function (event)
      log(event)
      told[#told + 1] = event.event == "staging" and event.done and turns or nil
    end
    fc.run(function ()
      local done = false
      local other = fc.spawn(function ()
        while not done do
          turns = turns + 1
          fc.sleep(0)
        end
      end)
      local vm <close> = assert(fc.boot(config, (fc.flow "boot"):insert_before("fcinit.StartInstance", function () done = true end)))
      other:wait()
      assert.is_true(seen.progress >= 5, "no progress was told")
      assert.is_true(told[#told] - told[1] >= #told - 1, "the other task stood still")
      run(("cmp %s %s/vm/drives/d"):format(path, jails.root(vm)))
      assert.is_true(tonumber(run(("stat -c %%b %s/vm/drives/d"):format(jails.root(vm)))) * 512 < 100 << 20, "holes were filled")
    end)
  end)

  it("is given up half-way when the start is cancelled or late", function ()
    local path = jails.file("large", "")
    run(("head -c 100000000 /dev/urandom >%s"):format(path))
    local config = jails.config("idle", { staging = { "copy" } }, drive(path))
    local first = true
    config.log = function (event)
      if event.event == "staging" and event.done and first then
        first = false
        error "a log function that raises"
      end
    end
    local err = refused(config)
    assert.equal("fcinit.LinkFilesToRootFS", err.handler)
    config.log = nil
    fc.run(function ()
      local vm = assert(fc.new(config))
      local task
      vm.config.log = function (event)
        if event.event == "staging" and event.done then
          task:cancel()
        end
      end
      vm.quiet = false
      task = fc.spawn(vm.start, vm)
      local ok, problem = task:wait()
      assert.is_nil(ok)
      assert.equal("cancelled", problem.code)
      assert(vm:close())
    end)
    local vm = assert(fc.new(config))
    local ok, late = vm:start { timeout = 0.01 }
    assert.is_nil(ok)
    assert.equal("timeout", late.code)
  end)

  -- Until the spec's end a copy's steps are those of a function.
  local function copying (step)
    local copy, closing = core.tree.copy, { __close = function () end }
    finally(function () core.tree.copy = copy end)
    function core.tree.copy ()
      return setmetatable({ step = step }, closing)
    end
  end

  it("that fails takes back nothing that another task brought in meanwhile", function ()
    local path, copied, lent = jails.file "drive", jails.file "copied", false
    local vm <close> = assert(fc.boot(jails.config("idle", { staging_for = { copied = { "copy" } } })))
    copying(function ()
      if lent then
        return nil, errors.new { code = "system", errno = "EIO", message = "cannot read on" }
      end
      return false, 0, 1
    end)
    fc.run(function ()
      local failing = fc.spawn(vm.vmm_path, vm, copied)
      fc.sleep(0)
      assert(vm:vmm_path(path, "write"))
      lent = true
      local ok, err = failing:wait()
      assert.is_nil(ok)
      assert.matches("copy: cannot read on$", err.message)
    end)
    assert.equal(jails.uid, files.look(path).uid)
    assert.is_nil(assert(vm:stop()).undo_errors)
    assert.equal(0, files.look(path).uid)
  end)

  it("of another file for a drive is given up in the verb's time", function ()
    local vm <close> = assert(fc.boot(jails.config("idle", { staging_for = { ["drives/d"] = { "copy" } } }, drive(jails.file "first"))))
    local second, began, last = jails.file "second", false, core.now() + 60
    copying(function ()
      began = true
      if core.now() > last then
        return nil, errors.new { code = "system", message = "nobody gave it up" }
      end
      return false, 0, 1
    end)
    bed.patiently(function (seconds)
      local _, err = vm:update_drive("d", { path_on_host = second }, { timeout = seconds })
      assert.equal("timeout", err.code)
      return began
    end)
    assert.equal("/vm/drives/d", vm:full_config().drives[1].path_on_host)
  end)

  it("shares blocks on XFS", function ()
    local image = jails.file("xfs.img", "")
    local _, status = sh(("command -v mkfs.xfs && truncate -s 400M %s && mkfs.xfs -q -m reflink=1 %s"):format(image, image))
    if status ~= 0 then
      return pending "no mkfs.xfs here: install xfsprogs"
    end
    local probe, refusal = sh(("mkdir -p %s/probe; mount -o loop %s %s/probe && umount %s/probe; s=$?; rmdir %s/probe; exit $s"):format(
      jails.files, image, jails.files, jails.files, jails.files))
    if refusal ~= 0 then
      return pending("XFS cannot be mounted here: " .. probe)
    end
    local base = mounted("xfs", "-o loop " .. image)
    run("mkdir -m 700 " .. base .. "/jails")
    local path = base .. "/drive"
    run(("head -c 20000000 /dev/urandom >%s; chmod 600 %s"):format(path, path))
    local seen = {}
    local config = ways(jails.config("idle", { chroot_base_dir = base .. "/jails" }, drive(path, { is_read_only = true })), seen)
    local free = tonumber(run("stat -f -c %f " .. base))
    local vm <close> = assert(fc.boot(config))
    assert.equal("reflink", seen["/vm/drives/d"])
    local inside = ("%s/jails/firecracker/%s/root/vm/drives/d"):format(base, vm.id)
    assert.not_equal(files.look(path).inode, files.look(inside).inode)
    run(("cmp %s %s"):format(path, inside))
    -- the VMM's program is copied by the jailer; 20 MB of blocks are not
    assert.is_true(free - tonumber(run("stat -f -c %f " .. base)) < 3000, "blocks were copied")
    assert(vm:stop())
    config.jailer.staging = { "reflink" }
    config.drives[1].path_on_host = jails.file "elsewhere"
    local err = refused(config)
    assert.matches("^fcinit.LinkFilesToRootFS: cannot bring .* into the jail: reflink: .*[Cc]ross%-device", err.message)
    assert.equal("EXDEV", err.errno)
  end)

  it("brings a drive's second file in as its first: by what the drive is called", function ()
    local first, second, third, seen = jails.file "first", jails.file "second", jails.file "third", {}
    local config = ways(jails.config("idle", { staging_for = { ["drives/d"] = { "copy" } } }, drive(first)), seen)
    local vm <close> = assert(fc.boot(config))
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.same({ "copy", "copy" }, { seen["/vm/drives/d"], seen["/vm/drives/d.2"] })
    assert.equal(0, files.look(second).uid)
    local snapshot = { snapshot_path = jails.files .. "/state", mem_file_path = jails.files .. "/memory" }
    jails.later(function () run(("rm -f %s/state %s/state.json %s/memory"):format(jails.files, jails.files, jails.files)) end)
    assert(vm:pause())
    assert.equal(second, assert(vm:snapshot(snapshot)).host.drives.d)
    vm:close()
    -- a jail of its own, where the drive keeps the path that it had
    config.drives, config.boot_source, seen["/vm/drives/d.2"] = drive(third).drives, nil, nil
    config.snapshot = { snapshot_path = snapshot.snapshot_path }
    local again <close> = assert(fc.restore(config))
    assert.same({ "copy", "/vm/drives/d.2" }, { seen["/vm/drives/d.2"], again:full_config().drives[1].path_on_host })
    assert.equal(third, assert(again:snapshot(snapshot)).host.drives.d)
    assert.equal(0, files.look(third).uid)
  end)

  it("brings a file in again when another one has taken its name", function ()
    local first, second = jails.file "first", jails.file "second"
    local vm <close> = assert(fc.boot(jails.config("idle", nil, drive(first))))
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.equal("/vm/drives/d.2", vm:full_config().drives[1].path_on_host)
    local old = files.look(second)
    run(("mv %s %s"):format(jails.file "new", second))
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.equal("/vm/drives/d", vm:full_config().drives[1].path_on_host)
    local held, now = files.look(jails.root(vm) .. "/vm/drives/d"), files.look(second)
    assert.equal(now.inode, held.inode)
    assert.not_equal(old.inode, now.inode)
    assert.equal(jails.uid, now.uid)
    assert.equal("d\n", run("ls " .. jails.root(vm) .. "/vm/drives"))
    os.remove(second)
    local ok, err = vm:update_drive("d", { path_on_host = second })
    assert.is_nil(ok)
    assert.equal("ENOENT", err.errno)
  end)

  it("lets go of a drive's former file, unless another drive has it", function ()
    local first, second, other, seen = jails.file "first", jails.file "second", jails.file "other", {}
    local config = drive(first, nil, { log = function (event) seen[#seen + 1] = event.event == "warning" and event.message or nil end })
    config.drives[2] = { drive_id = "e", path_on_host = other, is_root_device = false, is_read_only = false }
    local vm <close> = assert(fc.boot(jails.config("idle", nil, config)))
    local function held ()
      return { (run("ls " .. jails.root(vm) .. "/vm/drives"):gsub("\n", " ")), files.look(first).uid, files.look(second).uid }
    end
    assert.same({ "d e ", jails.uid, 0 }, held())
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.same({ "d.2 e ", 0, jails.uid }, held())
    assert(vm:update_drive("e", { path_on_host = second }))
    assert.same({ "d.2 ", 0, jails.uid }, held())
    fc.run(function ()
      fc.all {
        function () assert(vm:update_drive("d", { path_on_host = first })) end,
        function () assert(vm:update_drive("e", { path_on_host = first })) end,
      }
    end)
    assert.same({ "d ", jails.uid, 0 }, held())
    local ok, err = vm:update_drive("d", { path_on_host = second, rate_limiter = { bandwidth = { size = -1, refill_time = 1 } } })
    assert.is_nil(ok)
    assert.equal("api", err.code)
    assert.equal("/vm/drives/d", vm:full_config().drives[1].path_on_host)
    assert.equal(jails.uid, files.look(first).uid)
    assert.same({}, seen)
  end)

  it("does not touch what a read-only drive is changed to", function ()
    local first, second, third = jails.file "first", jails.file "second", jails.file "third"
    run(("chmod 644 %s %s %s"):format(first, second, third))
    local vm <close> = assert(fc.boot(jails.config("idle", nil, drive(first, { is_read_only = true }))))
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.equal("/vm/drives/d.2", vm:full_config().drives[1].path_on_host)
    assert.same({ 0, 420 }, { files.look(second).uid, files.look(second).mode })
    local ok, err = vm:update_drive("other", { path_on_host = third })
    assert.is_nil(ok)
    assert.equal("api", err.code)
    assert.equal(0, files.look(third).uid)
    assert.is_nil((files.look(jails.root(vm) .. "/vm/drives/other")))
  end)

  it("says why each way fails", function ()
    local other = mounted("tmpfs", "-t tmpfs none")
    local here, there = jails.file "here", jails.file "tmpfs/there"
    local function try (path, staging, more)
      local config = jails.config("idle", { staging_for = { ["drives/d"] = staging } }, drive(path, more))
      return refused(config)
    end
    local err = try(there, { "link" })
    assert.equal("EXDEV", err.errno)
    assert.matches("link: cannot link vm/drives/d: Invalid cross%-device link", err.message)
    assert.equal("jailer", err.code)
    assert.equal(there, err.path)
    err = try(there, { "link", "reflink" })
    assert.matches("link: .*; reflink: ", err.message)
    err = try(here, { "node" })
    assert.matches("node: not a device", err.message)
    run("chmod 600 " .. here)
    err = try(here, { "link", "bind" }, { is_read_only = true })
    assert.matches(("link: uid %d cannot read it; bind: uid %d cannot read it"):format(jails.uid, jails.uid), err.message)
    if is_immutable(here) then   -- it cannot be linked, nor given to somebody
      err = try(here, { "link" })
      run("chattr -i " .. here)
      assert.equal("EPERM", err.errno)
    end
    err = refused(jails.config("idle", nil, { boot_source = { kernel_image_path = bed.guest "idle" },
      drives = drive(jails.files).drives, disable_validation = true }))
    assert.equal("EISDIR", err.errno)
    err = refused(jails.config("idle", nil, { drives = drive(jails.files .. "/absent").drives, disable_validation = true }))
    assert.equal("ENOENT", err.errno)
    assert.truthy(other)
  end)

  it("finds no room: what came before goes again", function ()
    local base = mounted("small", "-t tmpfs -o size=8M,mode=700 none")
    local first, second = jails.file "first", jails.file("second", ("x"):rep(12 << 20))
    local before = jails.tree(base)
    local err = refused(jails.config("idle", { chroot_base_dir = base, staging = { "copy" } },
      { drives = fc.drives.add(fc.drives.add({}, first), second) }))
    assert.equal("ENOSPC", err.errno)
    assert.equal(before, jails.tree(base))
    -- the jailer's own copy of the VMM
    run("mount -o remount,size=1M " .. base)
    err = refused(jails.config("idle", { chroot_base_dir = base }))
    assert.equal("exited", err.code)
    assert.matches("the jailer was ended by signal 6: Failed to copy", err.message)
    assert.equal(before, jails.tree(base))
    run("mount -o remount,nr_inodes=4 " .. base)   -- no directory either
    err = refused(jails.config("idle", { chroot_base_dir = base }))
    assert.equal("ENOSPC", err.errno)
    assert.equal(before, jails.tree(base))
  end)

  it("is in the way of a name that is taken", function ()
    local root = jails.base .. "/firecracker/taken/root"
    run(("mkdir -p %s/mine && chmod 700 %s/firecracker/taken && echo x >%s/mine/file"):format(root, jails.base, root))
    jails.later(function () run("rm -r " .. jails.base .. "/firecracker") end)
    local before, path = jails.tree(jails.base), jails.file "drive"
    local function strategy (name)
      return function (flow)
        return fc.jail.naive(flow):append_after("fcinit.LinkFilesToRootFS", function (vm)
          return vm:vmm_path(path, "read", name)
        end)
      end
    end
    local err = refused(jails.config("idle", { adopt = true, chroot_strategy = strategy "/mine/file" }, { id = "taken" }))
    assert.equal("EEXIST", err.errno)
    assert.equal(before, jails.tree(jails.base))
    err = refused(jails.config("idle", { adopt = true, chroot_strategy = strategy "/mine/file/below" }, { id = "taken" }))
    assert.equal("ENOTDIR", err.errno)
    assert.equal(before, jails.tree(jails.base))
  end)

  it("makes a device once more", function ()
    local image = jails.file("image", ("\0"):rep(4 << 20))
    local device, status = sh("losetup -f --show " .. image)
    if status ~= 0 then
      return pending("no loop device: " .. device)
    end
    device = device:match "%S+"
    jails.later(function () run("losetup -d " .. device) end)
    local seen = {}
    local look = staged(ways(jails.config("idle", nil, drive(device)), seen), "/vm/drives/d")
    assert.equal("node", seen["/vm/drives/d"])
    assert.same({ "block", jails.uid, 384 }, { look.type, look.uid, look.mode })
    assert.equal(0, files.look(device).uid)
  end)

  it("brings in the seccomp filter, the initrd and what a step of the user's asks for, from any mode", function ()
    local initrd = jails.file("initrd", ("\0"):rep(4096))
    local config = jails.config("idle", nil, { boot_source = { kernel_image_path = bed.guest "idle", initrd_path = initrd } })
    local vm <close> = assert(fc.boot(config))
    assert.equal("/vm/initrd", vm:full_config().boot_source.initrd_path)
    local out = jails.files .. "/made"
    jails.later(function () os.remove(out) end)
    local path, host = vm:vmm_path(out, "create", "made")
    assert.same({ "/vm/made", out }, { path, host })
    local look = files.look(out)
    assert.same({ jails.uid, files.look(jails.root(vm) .. "/vm/made").inode }, { look.uid, look.inode })
    assert(vm:stop())
    assert.equal(0, files.look(out).uid)
    local filter = jails.file("filter", "garbage")
    run("chmod 600 " .. filter)
    local err = refused(jails.config("idle", nil, { vmm = { seccomp_filter = filter } }))
    assert.equal("exited", err.code)   -- it was found and read
    assert.matches("[Ff]ilter", err.stderr)
  end)
end)
