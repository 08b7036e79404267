-- A jail whose user is an enemy: its root is his to write to from the jailer's start on. What he plants there, root does not
-- follow: not for the API, not for the pid file, not for cleaning up.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local jails = require "spec.support.jails"
local sh = require "spec.support.sh"

local files = core.files

local missing = jails.missing()
if missing then
  describe("#kvm #root a hostile jail", function ()
    it("is survived", function () pending(missing) end)
  end)
  return
end

-- A server that answers everything as no VMM of ours does, in a directory of the host's.
local SERVER <const> = [[
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(9)
while True:
    c, _ = s.accept(); open(sys.argv[1] + ".reached", "w"); c.close()
]]

local function lives (pid)
  return files.look("/proc/" .. pid) ~= nil and jails.status(pid, "State"):sub(1, 1) ~= "Z"
end

describe("#kvm #root a hostile jail", function ()
  local victims

  jails.check(before_each, after_each, setup, teardown)

  before_each(function ()
    victims = bed.scratch "victims"
    sh(("mkdir -p %s/run/dir; echo text >%s/file; echo text >%s/run/dir/file"):format(victims, victims, victims))
  end)

  after_each(function ()
    assert.equal(("%s\n%s/file\n%s/run\n%s/run/dir\n%s/run/dir/file\n"):format(victims, victims, victims, victims, victims),
      (sh(("find %s | sort"):format(victims))))
    assert.equal("text\ntext\n", (sh(("cat %s/file %s/run/dir/file"):format(victims, victims))))
    assert.equal("0 0 0 0 0", (sh(("find %s -printf '%%U '"):format(victims)):match "^(.-)%s*$"))
    sh("rm -rf " .. victims)
  end)

  local function boot (jailer, more)
    return assert(fc.boot(jails.config("idle", jailer, more)))
  end

  it("cannot send its API's requests elsewhere", function ()
    local socket = jails.files .. "/elsewhere"
    local program = jails.file("server.py", SERVER)
    local pid = sh(("python3 %s %s >/dev/null 2>&1 & echo $!"):format(program, socket))
    jails.later(function () sh(("kill %d; rm -f %s %s.reached"):format(pid, socket, socket)) end)
    bed.eventually(function () return files.look(socket) end, "the other server")
    local vm <close> = boot()
    local root = jails.root(vm)
    vm.api:close()
    local function ask ()
      local client <close> = fc.client(vm.socket_path, { timeout = 2 })
      return client:get_instance_info()
    end
    assert(os.rename(root .. "/run/firecracker.socket", root .. "/run/moved"))
    for _, planted in ipairs { "ln -s " .. socket, "mkfifo", "touch" } do
      sh(("%s %s/run/firecracker.socket"):format(planted, root))
      local ok, err = ask()
      assert.is_nil(ok)
      assert.is_true(errors.is(err))
      os.remove(root .. "/run/firecracker.socket")
    end
    assert(os.rename(root .. "/run", root .. "/away"))
    sh(("cd %s; mkdir there; ln %s there/firecracker.socket; ln -s %s/there %s/run"):format(jails.files, socket, jails.files, root))
    jails.later(function () sh(("rm -r %s/there"):format(jails.files)) end)
    local ok, err = ask()
    assert.is_nil(ok)
    assert.is_true(errors.is(err))
    assert.is_nil(files.look(socket .. ".reached"))
    assert(vm:stop { shutdown = 0 })
  end)

  it("cannot lead a listener, or the removal of the vsock's socket, elsewhere", function ()
    local inside = ("%s/firecracker/hostile/root/sub/file"):format(jails.base)
    local vm <close> = boot(nil, { id = "hostile", vsock = { guest_cid = 3, uds_path = inside } })
    local root = jails.root(vm)
    local listener = assert(vm:listen(5))
    assert.equal(root .. "//sub/file_5", listener.path)
    local look = files.look(root .. "/sub/file_5")
    assert.same({ "socket", jails.uid, jails.gid }, { look.type, look.uid, look.gid })
    sh(("cd %s && mv sub away && ln -s %s sub && chown -h %d sub"):format(root, victims, jails.uid))
    local other, err = vm:listen(6)
    assert.is_nil(other)
    assert.equal("ELOOP", err.errno)
    assert.is_true(listener:close())
    local ended = assert(vm:stop())
    assert.is_nil(ended.undo_errors)
  end)

  it("is given no file of the host's in the place of a device or a directory that is made in it", function ()
    local drive, tree = jails.file "drive", core.tree
    local made = { mknod = tree.mknod, mkdir = tree.mkdir }
    finally(function () tree.mknod, tree.mkdir = made.mknod, made.mkdir end)
    local vm <close> = boot(nil, { drives = fc.drives.add({}, drive, { drive_id = "d" }) })
    local planted = 0
    for name, fn in pairs(made) do   -- its user puts another in the place of what was made, at once
      tree[name] = function (root, path, ...)
        local ok, err = fn(root, path, ...)
        sh(("cd %s && mv -T %s away.%s && ln %s/file %s"):format(jails.root(vm), path, planted, victims, path))
        planted = planted + 1
        return ok, err
      end
    end
    vm:vmm_path("/dev/null", "write", "/null")
    vm:vmm_path(jails.root(vm) .. "/sub/socket", "socket")
    assert.equal(2, planted)
    local look = files.look(jails.root(vm) .. "/away.0")
    assert.same({ "character", jails.uid, jails.gid, 384 }, { look.type, look.uid, look.gid, look.mode })
    look = files.look(jails.root(vm) .. "/away.1")
    assert.same({ "directory", jails.uid, jails.gid, 448 }, { look.type, look.uid, look.gid, look.mode })
  end)

  it("is cleaned up whatever it holds", function ()
    local kernel = jails.file("kernel", bed.read(bed.guest "idle"))   -- his by the chown below
    local vm <close> = boot(nil, { boot_source = { kernel_image_path = kernel },
      vsock = { guest_cid = 3, uds_path = jails.files .. "/v" } })
    local root = jails.root(vm)
    local out, status = sh(([[cd %s
      mv run away; ln -s %s/run run                     # our directories, replaced
      mv vm staged; ln -s %s/run/dir vm
      rm -f vmm.log; ln -s %s/file vmm.log; rm firecracker.pid; ln -s %s/file firecracker.pid
      ln -s / everything; ln -s %s dev/host; mkfifo fifo; ln -s loop loop
      mkdir -p a/b/c; chmod 0 a; ln -s .. a/up; printf x >"$(printf 'new\nline')"; : >-rf; mkdir '...' ' '
      python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
      p=deep; for i in $(seq 200); do p=$p/dddddddddddddddddddd; done; mkdir -p $p
      for i in $(seq 600); do : >a/$i; done
      mkdir mounted; : >mountedfile; chown -h -R %d .
      mount --bind %s mounted; mount --bind %s/file mountedfile]]):format(root, victims, victims, victims, victims, victims,
      jails.uid, jails.files, victims))
    assert.equal(0, status, out)
    sh(("umount %s/mounted; mount -t tmpfs none %s/mounted"):format(root, root))
    local ended = assert(vm:stop())
    assert.is_nil(ended.undo_errors)
    assert.is_nil(bed.read "/proc/self/mountinfo":find(jails.base, 1, true))
  end)

  it("does not lead the tail of its log elsewhere, nor holds up who reads it", function ()
    for _, planted in ipairs { "ln -s /etc/passwd vmm.log", "mkfifo vmm.log" } do
      local vm <close> = boot()
      sh(("cd %s && rm vmm.log && %s"):format(jails.root(vm), planted))
      vm:kill()
      assert(vm:wait { timeout = 20 })
      assert.is_nil(tostring(vm:exited_error()):find("root:", 1, true))
    end
  end)

  it("cannot name another process as its VMM", function ()
    local pipe <close> = assert(io.popen "sleep 1000 >/dev/null 2>&1 & echo $!")
    local victim = pipe:read "n"
    jails.later(function () sh("kill " .. victim) end)
    local tries = {
      { ("printf %d >firecracker.pid"):format(victim), "does not live in the jail" },
      { "printf 1 >firecracker.pid", "does not live in the jail" },
      { "printf x >firecracker.pid", "holds no process id" },
      { ("rm firecracker.pid; printf %d >firecracker.pid; chown %d firecracker.pid"):format(victim, jails.uid), "is not the jailer's" },
      { ("rm firecracker.pid; ln -s %s/file firecracker.pid"):format(victims), "Too many levels of symbolic links" },
      { "rm firecracker.pid; mkfifo firecracker.pid", "is not the jailer's" },
    }
    for _, try in ipairs(tries) do
      local vm <close> = assert(fc.new(jails.config("idle", { daemonize = true })))
      -- between the jailer's end and our look at the file
      local launcher = require "firecracker.launch.jailer"
      local await, pid = launcher.await, nil
      launcher.await = function (machine)
        bed.eventually(function () return files.look(jails.root(machine) .. "/firecracker.pid") end, "the pid file")
        bed.eventually(function () return files.listens(machine.socket_path) end, "the API")
        pid = bed.read(jails.root(machine) .. "/firecracker.pid")
        sh(("cd %s; %s"):format(jails.root(machine), try[1]))
        return await(machine)
      end
      local ok, err = vm:start()
      launcher.await = await
      assert.is_nil(ok, try[1])
      assert.matches(try[2], err.message, 1, true)
      assert.is_nil(err.undo_errors)
      assert.truthy(files.look("/proc/" .. victim))
      assert.is_false(lives(pid))   -- found by where it lives
    end
  end)

  it("finds no use for its directories while files are brought in", function ()
    local drive = jails.file "drive"
    local vm <close> = boot(nil, { drives = fc.drives.add({}, drive, { drive_id = "d" }) })
    sh(("cd %s && mv vm away && ln -s %s vm && chown -h %d vm"):format(jails.root(vm), victims, jails.uid))
    local _, err = vm:update_drive("d", { path_on_host = jails.file "other" })
    assert.equal("ELOOP", err.errno)
    sh(("cd %s && rm vm && ln -s / vm"):format(jails.root(vm)))
    _, err = vm:update_drive("d", { path_on_host = jails.file "third" })
    assert.equal("ELOOP", err.errno)
  end)

  it("is cleaned up while its user moves things about in it", function ()
    local busybox = sh "command -v busybox":match "%S+"
    if not busybox or sh("file -L " .. busybox):find "dynamic" then
      return pending "no static busybox here"
    end
    for round = 1, 3 do
      local vm <close> = boot({ daemonize = round == 2 })
      local root = jails.root(vm)
      sh(("cp %s %s/busybox"):format(busybox, root))
      -- his shell, in the jail: it outlives the VMM
      local script = "mkdir -p /t/a/b /t/k; ln -s /etc /t/l; : >/t/started; while :; do mv /t/a /t/z; mv /t/l /t/a; mv /t/a /t/l; " ..
        "mv /t/z /t/a; mkdir -p /t/a/b/c/d /x/y; mv /x /t/a/x; done"
      local shell = sh(("chroot --userspec=%d:%d %s /busybox sh -c '%s' </dev/null >/dev/null 2>&1 & echo $!"):format(
        jails.uid, jails.gid, root, script))
      bed.eventually(function () return files.look(root .. "/t/started") end, "the shell")
      local ended = assert(vm:stop())
      assert.is_nil(ended.undo_errors, ended.undo_errors and tostring(ended.undo_errors[1].err))
      assert.is_nil(files.look(root))
      assert.equal(round ~= 2, lives(tonumber(shell)))
      sh("kill -9 " .. shell)
    end
  end)

  it("is not entered by another process of its user's", function ()
    local vm <close> = boot()
    local out, status = sh(("setpriv --reuid=%d --clear-groups ls %s"):format(jails.uid, jails.root(vm)))
    assert.not_equal(0, status)
    assert.matches("Permission denied", out)
  end)

  it("is not made below a directory that others can write to", function ()
    local base = jails.files .. "/base"
    jails.later(function () sh("rm -rf " .. base) end)
    for _, command in ipairs { "mkdir -m 777 %s", "mkdir -m 700 %s; chown 5 %s",
                               "mkdir -m 700 %s; mkdir -m 777 %s/firecracker", "mkdir -m 700 %s; ln -s /tmp %s/firecracker" } do
      sh((command:gsub("%%s", base)))
      for _, disable in ipairs { false, true } do
        local vm, err = fc.boot(jails.config("idle", { chroot_base_dir = base }, { disable_validation = disable }))
        assert.is_nil(vm, command)
        assert.same({ "config", "jailer.chroot_base_dir" }, { err.code, err.field }, command)
      end
      sh("rm -rf " .. base)
    end
  end)
end)
