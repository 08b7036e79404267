-- core.tree: what is done in a directory whose content is somebody else's. What is planted there leads nowhere.

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"

local files, tree = core.files, core.tree
local is_root = files.euid() == 0

-- Remove until it is gone; how many calls that took.
local function remove_all (root, name, budget)
  local calls = 0
  repeat
    calls = calls + 1
    assert(calls < 10000, "never gone")
    local done, err = tree.remove(root, name, budget)
    assert(done ~= nil, tostring(err and err.message))
  until done
  return calls
end

describe("a tree", function ()
  local directory, outside, root

  before_each(function ()
    fds.remember()
    directory, outside = sh "mktemp -d":match "%S+", sh "mktemp -d":match "%S+"
    sh(("mkdir %s/victim; echo text >%s/victim/file"):format(outside, outside))
    root = assert(tree.name(directory))
  end)

  after_each(function ()
    assert.equal("text\n", (sh(("cat %s/victim/file"):format(outside))))
    assert.equal("file\n", (sh(("ls -A %s/victim"):format(outside))))
    root:close()
    sh(("rm -rf %s %s"):format(directory, outside))
    fds.compare()
  end)

  local function errno (wanted, ok, err)
    assert.is_nil(ok)
    assert.equal(wanted, err.errno, err.message)
  end

  it("makes directories, files and links in it", function ()
    assert(tree.mkdir(root, "a/b/c", 448))
    assert(tree.mkdir(root, "a/b/c"))
    assert.equal(448, files.look(directory .. "/a/b").mode)
    local file <close> = assert(tree.create(root, "a/b/file", 416))
    assert.equal(416, assert(tree.look(file)).mode)
    errno("EEXIST", tree.create(root, "a/b/file"))
    local source <close> = assert(tree.name(outside .. "/victim/file"))
    assert(tree.link(root, "a/b/link", source))
    assert.equal(assert(tree.look(source)).inode, files.look(directory .. "/a/b/link").inode)
    errno("EEXIST", tree.link(root, "a/b/link", source))
    errno("ENOENT", tree.link(root, "x/link", source))
    local at <close> = assert(tree.at(root, "a/b/link"))
    assert.equal(files.look(directory .. "/a/b/link").inode, assert(tree.look(at)).inode)
    local names = assert(tree.list(root))
    assert.same({ "a" }, names)
  end)

  it("follows no planted link and leaves it by no path", function ()
    sh(("ln -s %s/victim %s/link; ln -s %s/victim/file %s/file"):format(outside, directory, outside, directory))
    local source <close> = assert(tree.name "/dev/null")
    for _, path in ipairs { "link/new", "link/../new" } do
      errno("ELOOP", tree.create(root, path))
      errno("ELOOP", tree.mkdir(root, path))
      errno("ELOOP", tree.link(root, path, source))
      errno("ELOOP", tree.mknod(root, path, source, 0, 0, 384))
      errno("ELOOP", tree.at(root, path))
      errno("ELOOP", tree.read(root, path))
      errno("ELOOP", tree.remove(root, path))
    end
    errno("ELOOP", tree.read(root, "file"))
    errno("EEXIST", tree.create(root, "file"))
    errno("ELOOP", tree.bind(root, "file", source))
    errno("EXDEV", tree.create(root, "../new"))
    errno("EXDEV", tree.at(root, "../new"))
    assert.error_matches(function () tree.create(root, "/etc/new") end, "relative path expected")
    assert.error_matches(function () tree.create(root, "") end, "relative path expected")
    remove_all(root, "link")
    remove_all(root, "file")
    assert.same({}, tree.list(root))
  end)

  it("reads the files of root's that have one name", function ()
    if not is_root then return pending "needs root" end
    sh(("cd %s; printf 42 >pid; cp pid other; chown 1:1 other; ln pid hard; mkfifo fifo; mkdir dir"):format(directory))
    errno("EPERM", tree.read(root, "pid"))
    os.remove(directory .. "/hard")
    assert.equal("42", tree.read(root, "pid"))
    errno("EPERM", tree.read(root, "other"))
    errno("EPERM", tree.read(root, "fifo"))   -- and does not wait for its writer
    errno("EPERM", tree.read(root, "dir"))
    errno("ENOENT", tree.read(root, "absent"))
  end)

  it("gives what it names to a user", function ()
    if not is_root then return pending "needs root" end
    local file <close> = assert(tree.create(root, "file"))
    assert(tree.give(file, 12, 34, 256))
    local at <close> = assert(tree.at(root, "file"))
    assert(tree.give(at, 56, -1))
    local look = tree.look(at)
    assert.same({ 56, 34, 256 }, { look.uid, look.gid, look.mode })
    sh(("ln -s %s/victim/file %s/link"):format(outside, directory))
    local link <close> = assert(tree.at(root, "link"))
    assert(tree.give(link, 12, 34, 511))   -- the link itself
    assert.equal(0, files.look(outside .. "/victim/file").uid)
  end)

  it("makes a device once more, for a user", function ()
    if not is_root then return pending "needs root" end
    local source <close> = assert(tree.name "/dev/null")
    local plain <close> = assert(tree.name "/etc/passwd")
    assert(tree.mknod(root, "null", source, 12, 34, 256))
    local look = files.look(directory .. "/null")
    assert.same({ "character", 12, 34, 256 }, { look.type, look.uid, look.gid, look.mode })
    assert.equal((sh "stat -c %t:%T /dev/null"), (sh(("stat -c %%t:%%T %s/null"):format(directory))))
    errno("EINVAL", tree.mknod(root, "plain", plain, 12, 34, 256))
    errno("EEXIST", tree.mknod(root, "null", source, 12, 34, 256))
  end)

  it("makes directories for a user, or gives him those that are there", function ()
    if not is_root then return pending "needs root" end
    assert(tree.mkdir(root, "a"))
    for _ = 1, 2 do
      assert(tree.mkdir(root, "a/b/c", 448, 12, 34))
      assert.equal("0:0 755\n12:34 700\n12:34 700\n", (sh(("cd %s; stat -c '%%u:%%g %%a' a a/b a/b/c"):format(directory))))
      assert(tree.mkdir(root, "a/b/c"))
      assert.equal(12, files.look(directory .. "/a/b/c").uid)
      sh(("chown 5 %s/a/b/c; chmod 777 %s/a/b/c"):format(directory, directory))
    end
    sh(("ln -s %s/victim %s/a/link; ln %s/victim/file %s/a/file"):format(outside, directory, outside, directory))
    errno("ELOOP", tree.mkdir(root, "a/link", 448, 12, 34))
    errno("ENOTDIR", tree.mkdir(root, "a/file", 448, 12, 34))
    assert.same({ 0, 0 }, { files.look(outside .. "/victim").uid, files.look(outside .. "/victim/file").uid })
  end)

  it("removes what it holds, whatever that is, in pieces", function ()
    sh(([[cd %s; mkdir -p a/b/c a/d; mkfifo a/fifo; ln -s %s/victim a/b/link; ln %s/victim/file a/hard
      for i in $(seq 700); do : >a/b/$i; done; chmod 0 a/d a/b/c]]):format(directory, outside, outside))
    assert.is_true(remove_all(root, "a", 100) > 5)
    assert.same({}, tree.list(root))
    assert.is_true(tree.remove(root, "a"))
    assert.is_true(tree.remove(root, "not/there"))
  end)

  it("takes no name with a slash at its end for one that is not there", function ()
    sh(("mkdir %s/slash"):format(directory))
    local ok, err = tree.remove(root, "slash/")
    assert.is_nil(ok)
    assert.equal("EINVAL", err.errno)
    assert.same({ "slash" }, tree.list(root))
    assert.is_true(tree.remove(root, "slash"))
  end)

  it("takes a directory from its owner before it empties it", function ()
    if not is_root then return pending "needs root" end
    sh(("cd %s; mkdir -m 777 a; chown 5:6 a; for i in $(seq 30); do : >a/$i; done"):format(directory))
    assert.is_false((tree.remove(root, "a", 10)))
    local look = files.look(directory .. "/a")
    assert.same({ 0, 0, 448 }, { look.uid, look.gid, look.mode })
    remove_all(root, "a")
  end)

  it("removes a tree deeper than any path, with few descriptors", function ()
    local program = directory .. ".py"
    local file <close> = assert(io.open(program, "w"))
    file:write [[
import os, sys
os.chdir(sys.argv[1]); os.mkdir("deep"); os.chdir("deep")
for i in range(400):
    os.mkdir("d" * 50); os.chdir("d" * 50)
open("file", "w")
]]
    file:close()
    assert.equal(0, select(2, sh(("python3 %s %s"):format(program, directory))))
    os.remove(program)
    remove_all(root, "deep")
    assert.same({}, tree.list(root))
  end)

  it("removes deep trees whatever names its user has taken at the top", function ()
    -- the one that is found first is deep: no name has become free again by then
    local program = [[
import os
os.mkdir("top"); os.chdir("top")
for n in range(1000): os.mkdir(".removed-%d" % n)
os.makedirs(os.listdir()[0] + "/d" * 33)]]
    assert.equal(0, select(2, sh(("cd %s && python3 -c %s"):format(directory, sh.quote(program)))))
    remove_all(root, "top")
    assert.same({}, tree.list(root))
  end)

  it("says at once what cannot be removed", function ()
    sh(("mkdir -p %s/a/b; : >%s/a/b/file"):format(directory, directory))
    if select(2, sh(("chattr +i %s/a/b/file"):format(directory))) ~= 0 then
      return pending "no immutable files here"
    end
    finally(function () sh(("chattr -i %s/a/b/file %s/a/b"):format(directory, directory)) end)
    for _, name in ipairs { "a/b/file", "a/b", "a" } do
      errno("EPERM", tree.remove(root, name))
    end
    sh(("chattr -i %s/a/b/file; chattr +i %s/a/b"):format(directory, directory))
    errno("EPERM", tree.remove(root, "a/b"))
    sh(("chattr -i %s/a/b"):format(directory))
    remove_all(root, "a")
  end)

  it("takes away what is mounted in it, and nothing of that", function ()
    if not is_root then return pending "needs root" end
    sh(("cd %s; mkdir -p a/b a/t; : >a/f; mount --bind %s/victim a/b; mount --bind %s/victim/file a/f; mount -t tmpfs none a/t; : >a/t/x")
      :format(directory, outside, outside))
    remove_all(root, "a")
    assert.is_nil((sh "cat /proc/self/mountinfo"):find(directory, 1, true))
  end)

  it("mounts a file over another, read-only on demand", function ()
    if not is_root then return pending "needs root" end
    local source <close> = assert(tree.name(outside .. "/victim/file"))
    for _, name in ipairs { "ro", "rw" } do
      assert(tree.create(root, name)):close()
      assert(tree.bind(root, name, source, name == "ro"))
      assert.equal("text\n", (sh(("cat %s/%s"):format(directory, name))))
    end
    local out = sh(("echo more >>%s/ro"):format(directory))
    assert.matches("Read%-only file system", out)
    remove_all(root, "ro")
    remove_all(root, "rw")
    errno("ENOENT", tree.bind(root, "absent", source))
  end)

  it("mounts for a process whose root it is, and for no other that got its number", function ()
    if not is_root then return pending "needs root" end
    -- in a mount namespace of its own, its root that directory, until its input ends
    local function process (path)
      local program = "import os, sys; os.chroot(sys.argv[1]); os.mkdir('/lives'); sys.stdin.read()"
      local pipe = assert(io.popen(("echo $$ >%s.pid && exec unshare -m python3 -SEc %s %s"):format(path, sh.quote(program), path), "w"))
      driver.poll(function () return files.look(path .. "/lives") end)
      local file <close> = assert(io.open(path .. ".pid"))
      os.remove(path .. ".pid")
      return file:read "n", pipe
    end
    local function mounts (pid)
      local file <close> = assert(io.open(("/proc/%s/mountinfo"):format(pid)))
      return file:read "a"
    end
    local other = outside .. "/other"
    sh(("mkdir %s; : >%s/drive; : >%s/drive"):format(other, other, directory))
    local source <close> = assert(tree.name(outside .. "/victim/file"))
    local mine, mine_ends = process(directory)
    local stranger, stranger_ends = process(other)
    local before = { mounts "self", mounts(mine), mounts(stranger) }
    for _, pid in ipairs { stranger, (files.canonical "/proc/self":match "%d+$"), 1 << 22 } do
      errno("ESRCH", tree.bind(root, "drive", source, false, pid))
    end
    errno("ENOENT", tree.bind(root, "absent", source, false, mine))
    assert.same(before, { mounts "self", mounts(mine), mounts(stranger) })
    assert(tree.bind(root, "drive", source, true, mine))
    assert.matches(" /drive ro,nosuid,nodev,noexec", mounts(mine))
    assert.same({ before[1], before[3] }, { mounts "self", mounts(stranger) })
    mine_ends:close()
    stranger_ends:close()
    errno("ESRCH", tree.bind(root, "drive", source, false, mine))
  end)

  it("is emptied while its user moves things about in it", function ()
    if not is_root then return pending "needs root" end
    sh(("chown -R 61234 %s; chmod 755 %s"):format(directory, directory))
    -- its names lead out of the tree and back, all the time
    local program = ([[cd %s && exec setpriv --reuid=61234 --clear-groups sh -c '
      mkdir -p top/a/b/c top/k; ln -s %s/victim top/l; : >top/started
      while [ -d top ]; do mv top/a top/z; mv top/l top/a; mv top/a top/l; mv top/z top/a; mkdir -p top/a/b/c/d; done 2>/dev/null']])
      :format(directory, outside)
    sh(("%s </dev/null >/dev/null 2>&1 &"):format("(" .. program .. ")"))
    local deadline = core.now() + 20
    while not files.look(directory .. "/top/started") do
      assert(core.now() < deadline, "it never started")
    end
    sh(("chown 0 %s; chmod 700 %s"):format(directory, directory))   -- as a jail's root: nothing new at its top
    remove_all(root, "top", 8)
    assert.same({}, tree.list(root))
  end)

  it("copies a file in pieces, its holes as holes", function ()
    local big = directory .. "/big"
    sh(("truncate -s 64M %s; printf begin | dd of=%s conv=notrunc status=none"):format(big, big))
    sh(("head -c 3000000 /dev/urandom | dd of=%s bs=1M seek=20 conv=notrunc status=none"):format(big))
    local source <close> = assert(tree.name(big))
    local target = assert(tree.create(root, "copy"))
    local copy <close> = assert(tree.copy(source, target))
    local steps, done, at, size = 0
    repeat
      done, at, size = copy:step(1 << 20)
      steps = steps + 1
      assert(done ~= nil, at)
    until done
    assert.is_true(steps >= 3)
    assert.same({ 64 << 20, 64 << 20 }, { at, size })
    assert.equal(0, select(2, sh(("cmp %s %s/copy"):format(big, directory))))
    local blocks = tonumber((sh(("stat -c %%b %s/copy"):format(directory))))
    assert.is_true(blocks * 512 < 8 << 20, "holes were filled")
    copy:close()
    copy:close()
    assert.error_matches(function () copy:step(1) end, "closed copy")
    assert.error_matches(function () target:number() end, "closed descriptor")
  end)

  it("says that a copy finds no room, or its file shorter", function ()
    if not is_root then return pending "needs root" end
    sh(("cd %s; mkdir small; mount -t tmpfs -o size=1M none small; head -c 3000000 /dev/urandom >big"):format(directory))
    finally(function () sh(("umount %s/small"):format(directory)) end)
    local source <close> = assert(tree.name(directory .. "/big"))
    do
      local copy <close> = assert(tree.copy(source, assert(tree.create(root, "small/copy"))))
      errno("ENOSPC", copy:step(1 << 30))
      errno("EXDEV", tree.copy(source, assert(tree.create(root, "small/shared")), true))
    end
    local copy <close> = assert(tree.copy(source, assert(tree.create(root, "copy"))))
    assert.is_false((copy:step(1 << 20)))
    sh(("truncate -s 1M %s/big"):format(directory))
    errno("EIO", copy:step(1 << 30))
  end)
end)

describe("a socket's path behind '//'", function ()
  it("leads through no link and to nothing but a socket", function ()
    sh.tmpdir(function (dir)
      local python = ([[python3 -c 'import os, socket, time
s = socket.socket(socket.AF_UNIX)
os.chdir("%s"); os.mkdir("run"); s.bind("run/s"); s.listen(9)
os.symlink("run", "link"); os.symlink("s", "run/l"); open("run/file", "w"); os.mkfifo("run/fifo")
print("x", flush=True); time.sleep(30)' & echo $!]])
        :format(dir)
      local pipe <close> = assert(io.popen(python))
      local pid = pipe:read "l"
      assert(pipe:read "l")
      local function listens (path)
        local ok, err = files.listens(dir .. path)
        return ok == nil and err.errno or ok
      end
      assert.same({ true, true, true }, { listens "/run/s", listens "/link/s", listens "/run/l" })
      assert.same({ true, "ELOOP", "ENOTSOCK" }, { listens "//run/s", listens "//link/s", listens "//run/l" })
      assert.same({ "ENOTSOCK", "ENOTSOCK", "ENOENT", "EXDEV" },
        { listens "//run/file", listens "//run/fifo", listens "//run/absent", listens "//../x" })
      os.execute("kill " .. pid)
    end)
  end)
end)
