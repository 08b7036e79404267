local core = require "firecracker.core"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

local files = core.files

describe("files", function ()
  local dir

  before_each(function ()
    fds.remember()
    dir = sh "mktemp -d":match "^(/%S+)\n$"
  end)
  after_each(function ()
    sh("rm -rf " .. sh.quote(dir))
    fds.compare()
  end)

  -- Shell in the directory.
  local function here (command)
    local out, status = sh(("cd %s && %s"):format(sh.quote(dir), command))
    assert(status == 0, out)
    return (out:gsub("\n$", ""))
  end

  local function look (name)
    return here("stat -c '%F %a' " .. name)
  end

  -- Fails with this errno and this message, in which DIR stands for the directory.
  local function fails (errno, message, result, err)
    assert.is_nil(result)
    assert.same({ "system", errno, message }, { err.code, err.errno, (err.message:gsub(dir, "DIR", nil)) })
  end

  describe("mkdir", function ()
    it("makes a directory with the very mode, 0700 by default, whatever the umask", function ()
      assert.is_true(files.mkdir(dir .. "/a"))
      assert.equal("directory 700", look "a")
      host("umask 077;", ("assert(require 'firecracker.core'.files.mkdir('%s/b', 509))"):format(dir))
      assert.equal("directory 775", look "b")
    end)

    it("fails for what exists, for a missing parent and below a file", function ()
      here "touch file; ln -s /no/such link"
      fails("EEXIST", "cannot make directory DIR: File exists", files.mkdir(dir))
      fails("EEXIST", "cannot make directory DIR/link: File exists", files.mkdir(dir .. "/link"))
      fails("ENOENT", "cannot make directory DIR/a/b: No such file or directory", files.mkdir(dir .. "/a/b"))
      fails("ENOTDIR", "cannot make directory DIR/file/b: Not a directory", files.mkdir(dir .. "/file/b"))
    end)
  end)

  describe("mkdir_private", function ()
    it("makes a directory of mode 0700, and those above it", function ()
      assert.is_true(files.mkdir_private(dir .. "/a/b/c"))
      assert.equal("directory 700", look "a/b/c")
      assert.equal("directory 755", look "a/b")
      assert.is_true(files.mkdir_private(dir .. "/a/b/c"))
    end)

    it("does so whatever slashes the name has", function ()
      assert.is_true(files.mkdir_private(dir .. "//a///"))
      assert.equal("directory 700", look "a")
      here "ln -s a link"
      fails("ENOTDIR", "DIR/link is not a directory", files.mkdir_private(dir .. "/link/"))
    end)

    it("takes one that is ours alone to write to, and leaves its mode", function ()
      here "mkdir -m 755 a"
      assert.is_true(files.mkdir_private(dir .. "/a"))
      assert.equal("directory 755", look "a")
    end)

    it("refuses a link, a file, and one that others can write to", function ()
      here "mkdir a; ln -s a link; touch file; mkdir -m 770 group; mkdir -m 1777 all"
      fails("ENOTDIR", "DIR/link is not a directory", files.mkdir_private(dir .. "/link"))
      fails("ENOTDIR", "DIR/file is not a directory", files.mkdir_private(dir .. "/file"))
      fails("EPERM", "directory DIR/group can be written by others (mode 0770)", files.mkdir_private(dir .. "/group"))
      fails("EPERM", "directory DIR/all can be written by others (mode 1777)", files.mkdir_private(dir .. "/all"))
    end)

    it("refuses one of somebody else #root", function ()
      if files.euid() ~= 0 then
        return pending "only root can give a directory away"
      end
      here "mkdir -m 700 a; chown 12345 a"
      fails("EPERM", "directory DIR/a belongs to uid 12345, not to us (0)", files.mkdir_private(dir .. "/a"))
    end)

    it("fails below a file, for no name and for one that is too long", function ()
      here "touch file"
      fails("ENOTDIR", "cannot make directory DIR/file/a: Not a directory", files.mkdir_private(dir .. "/file/a/b"))
      fails("ENOENT", "directory : No such file or directory", files.mkdir_private "")
      local long = ("/x"):rep(2500)
      fails("ENAMETOOLONG", ("directory %s: File name too long"):format(long:sub(1, 80)),
        files.mkdir_private(long))
    end)
  end)

  describe("mkfifo", function ()
    it("makes a FIFO, 0600 by default", function ()
      assert.is_true(files.mkfifo(dir .. "/a"))
      assert.equal("fifo 600", look "a")
      assert.is_true(files.mkfifo(dir .. "/b", tonumber("640", 8)))
      assert.equal("fifo 640", look "b")
    end)

    it("fails for what exists, a dangling link too, and for a missing parent", function ()
      here "ln -s nothing link"
      fails("EEXIST", "cannot make FIFO DIR/link: File exists", files.mkfifo(dir .. "/link"))
      fails("ENOENT", "cannot make FIFO DIR/a/b: No such file or directory", files.mkfifo(dir .. "/a/b"))
    end)
  end)

  describe("create", function ()
    it("makes an empty file, 0600 by default", function ()
      assert.is_true(files.create(dir .. "/a"))
      assert.equal("regular empty file 600", look "a")
    end)

    it("fails for what exists and writes through no link", function ()
      here "echo text >file; ln -s file link; ln -s new dangling"
      fails("EEXIST", "cannot make file DIR/file: File exists", files.create(dir .. "/file"))
      fails("EEXIST", "cannot make file DIR/dangling: File exists", files.create(dir .. "/dangling"))
      assert.equal("text", here "cat file; test ! -e new")
    end)
  end)

  describe("open", function ()
    -- What a child with this descriptor as its standard output leaves in the file.
    local function append (fd)
      local process <close> = assert(spawn("echo new", { stdio = { nil, fd } }))
      spawn.ended(process)
      fd:close()
    end

    it("writes: emptied by w, kept by a, made by both with 0600", function ()
      here "echo old >file"
      append(assert(files.open(dir .. "/file", "a")))
      assert.equal("old\nnew", here "cat file")
      append(assert(files.open(dir .. "/file", "w")))
      assert.equal("new", here "cat file")
      files.open(dir .. "/w", "w"):close()
      files.open(dir .. "/a", "a"):close()
      assert.equal("regular empty file 600\nregular empty file 600", look "w a")
    end)

    it("makes nothing by r and r+", function ()
      fails("ENOENT", "cannot open DIR/a: No such file or directory", files.open(dir .. "/a", "r"))
      fails("ENOENT", "cannot open DIR/a: No such file or directory", files.open(dir .. "/a", "r+"))
      fails("EISDIR", "cannot open DIR: Is a directory", files.open(dir, "w"))
    end)

    it("follows no link when told so", function ()
      here "touch file && ln -s file link"
      files.open(dir .. "/link", "a"):close()
      files.open(dir .. "/file", "a", true):close()
      for _, mode in ipairs { "r", "w", "a", "r+" } do
        fails("ELOOP", "cannot open DIR/link: Too many levels of symbolic links", files.open(dir .. "/link", mode, true))
      end
    end)

    it("gives descriptors that are closed at exec and block, but for r+", function ()
      here "touch file"
      for mode, flags in pairs { r = 0, w = 1, a = tonumber("2001", 8), ["r+"] = tonumber("4002", 8) } do
        local fd <close> = assert(files.open(dir .. "/file", mode))
        local info <close> = assert(io.open("/proc/self/fdinfo/" .. fd:number()))
        local O_CLOEXEC <const>, O_LARGEFILE <const> = tonumber("2000000", 8), tonumber("100000", 8)
        assert.equal(flags | O_CLOEXEC, tonumber(info:read "a":match "flags:%s*(%d+)", 8) & ~O_LARGEFILE)
      end
    end)

    it("never waits for the other end of a FIFO", function ()
      here "mkfifo fifo"
      fails("ENXIO", "cannot open DIR/fifo: No such device or address", files.open(dir .. "/fifo", "w"))
      files.open(dir .. "/fifo", "r"):close()
      local both <close> = assert(files.open(dir .. "/fifo", "r+"))
      files.open(dir .. "/fifo", "w"):close()
      assert.truthy(both)
    end)

    it("refuses other modes", function ()
      assert.has_error(function () files.open("/dev/null", "rw") end, "bad argument #2 to 'open' (invalid option 'rw')")
    end)
  end)

  describe("unlink", function ()
    it("removes a name, of a link the link, and is content when there is none", function ()
      here "touch file; ln -s file link; mkfifo fifo"
      assert.is_true(files.unlink(dir .. "/link"))
      assert.is_true(files.unlink(dir .. "/fifo"))
      assert.is_true(files.unlink(dir .. "/nothing"))
      assert.equal("file", here "ls")
    end)

    it("fails for a directory and below a file", function ()
      here "mkdir a; touch file"
      fails("EISDIR", "cannot remove DIR/a: Is a directory", files.unlink(dir .. "/a"))
      fails("ENOTDIR", "cannot remove DIR/file/x: Not a directory", files.unlink(dir .. "/file/x"))
    end)
  end)

  describe("remove_directory", function ()
    it("removes plain entries of every kind and the directory", function ()
      here [[mkdir -p a kept; touch kept/file a/file a/.hidden; ln -s ../kept a/link; mkfifo a/fifo
        python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind("a/socket")']]
      assert.is_true(files.remove_directory(dir .. "/a"))
      assert.equal("kept\nkept/file", here "find * | sort")
      assert.is_true(files.remove_directory(dir .. "/a"))    -- gone is no error
    end)

    it("refuses a deeper tree", function ()
      here "mkdir -p a/b; touch a/b/c"
      fails("ENOTEMPTY", "cannot remove DIR/a/b: Directory not empty", files.remove_directory(dir .. "/a"))
      assert.equal("c", here "ls a/b")
    end)

    it("follows no link, with a slash behind it or without, and removes no file", function ()
      here "mkdir a; touch a/file file; ln -s a link"
      fails("ENOTDIR", "cannot open directory DIR/link: Not a directory", files.remove_directory(dir .. "/link"))
      fails("ENOTDIR", "cannot open directory DIR/link: Not a directory", files.remove_directory(dir .. "/link/"))
      fails("ENOTDIR", "cannot open directory DIR/file: Not a directory", files.remove_directory(dir .. "/file"))
      assert.equal("file", here "ls a")
    end)
  end)

  describe("list", function ()
    it("gives the names, of files of every kind", function ()
      here "mkdir a a/b empty; touch a/file a/.hidden; ln -s x a/link; mkfifo 'a/a name'"
      local names = assert(files.list(dir .. "/a"))
      table.sort(names)
      assert.same({ ".hidden", "a name", "b", "file", "link" }, names)
      assert.same({}, files.list(dir .. "/empty"))
      assert.is_true(#files.list "/proc/self/task" >= 1)
    end)

    it("follows no link and reads directories only", function ()
      here "mkdir a; touch file; ln -s a link"
      fails("ENOTDIR", "cannot open directory DIR/link: Not a directory", files.list(dir .. "/link"))
      fails("ENOTDIR", "cannot open directory DIR/file: Not a directory", files.list(dir .. "/file"))
      fails("ENOENT", "cannot open directory DIR/none: No such file or directory", files.list(dir .. "/none"))
    end)
  end)

  describe("tail", function ()
    it("gives the last bytes at most", function ()
      here "printf 'one\\ntwo\\n\\0\\377' >file; touch empty"
      assert.equal("two\n\0\xff", files.tail(dir .. "/file", 6))
      assert.equal("one\ntwo\n\0\xff", files.tail(dir .. "/file", 10))
      assert.equal("one\ntwo\n\0\xff", files.tail(dir .. "/file", 1000))
      assert.equal("", files.tail(dir .. "/empty", 10))
    end)

    it("fails for what is no regular file, a link to one too, and waits for no FIFO", function ()
      here "touch file; ln -s file link; mkfifo fifo"
      fails("EINVAL", "DIR is not a regular file", files.tail(dir, 10))
      fails("EINVAL", "DIR/fifo is not a regular file", files.tail(dir .. "/fifo", 10))
      fails("ELOOP", "cannot open DIR/link: Too many levels of symbolic links", files.tail(dir .. "/link", 10))
      fails("ENOENT", "cannot open DIR/x: No such file or directory", files.tail(dir .. "/x", 10))
    end)

    it("refuses limits that make no sense", function ()
      for _, limit in ipairs { 0, -1, 1 << 25 } do
        assert.has_error(function () files.tail("/dev/null", limit) end, "bad argument #2 to 'tail' (limit out of range)")
      end
    end)
  end)

  describe("absolute", function ()
    it("puts the working directory before a relative path", function ()
      local cwd = sh "pwd -P":gsub("\n", "")
      assert.equal(cwd .. "/a", files.absolute "a")
      assert.equal(cwd .. "/a/b", files.absolute "./a//./b/")
      assert.equal(cwd .. "/../a", files.absolute "../a")
      assert.equal(cwd .. "/.a/..b/.", files.absolute ".a/..b/." .. "/.")
      assert.equal(cwd, files.absolute "")
    end)

    it("takes empty parts and dots out of an absolute one, and leaves ..", function ()
      assert.equal("/", files.absolute "/")
      assert.equal("/", files.absolute "//.//")
      assert.equal("/a/b", files.absolute "/a/./b/")
      assert.equal("/a/../b", files.absolute "/a/../b")
      assert.equal("/" .. ("x"):rep(9000), files.absolute("/" .. ("x"):rep(9000)))
    end)

    it("fails where the working directory is gone", function ()
      here "mkdir a"
      assert.equal("ENOENT cannot tell the working directory: No such file or directory",
        host(("cd %s/a; rmdir ../a;"):format(dir), [[
          local _, err = require "firecracker.core".files.absolute "b"
          io.write(err.errno, " ", err.message)]]))
    end)
  end)

  describe("look", function ()
    it("tells every type, of a link the link", function ()
      here [[printf 12345 >file; ln -s file link; mkfifo fifo
        python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind("socket")']]
      for name, type in pairs { file = "file", link = "link", fifo = "fifo", socket = "socket", ["."] = "directory" } do
        assert.equal(type, files.look(dir .. "/" .. name).type)
      end
      assert.equal("character", files.look("/dev/null").type)
    end)

    it("tells size, mode, owner, identity and age", function ()
      here "printf 12345 >file; chmod 2751 file; touch -d @1234567890.5 file"
      local found = assert(files.look(dir .. "/file"))
      assert.same({ here "stat -c '%s %u %g %d %i' file", tonumber("2751", 8), 1234567890.5 },
        { ("%d %d %d %d %d"):format(found.size, found.uid, found.gid, found.device, found.inode), found.mode, found.mtime })
    end)

    it("fails for what is not there", function ()
      fails("ENOENT", "cannot look at DIR/x: No such file or directory", files.look(dir .. "/x"))
    end)
  end)

  describe("access", function ()
    it("tells whether this process may", function ()
      here "touch file; chmod 600 file; ln -s file link; ln -s nothing dangling"
      assert.is_true(files.access(dir .. "/file"))
      assert.is_true(files.access(dir .. "/link", "rw"))
      fails("EACCES", "cannot use DIR/file: Permission denied", files.access(dir .. "/file", "x"))
      fails("EACCES", "cannot use DIR/file: Permission denied", files.access(dir .. "/file", "rx"))
      fails("ENOENT", "cannot use DIR/dangling: No such file or directory", files.access(dir .. "/dangling"))
      assert.has_error(function () files.access(dir, "rq") end, "bad argument #2 to 'access' (letters of \"rwx\" expected)")
    end)
  end)

  describe("random_hex", function ()
    it("gives two digits a byte, never the same", function ()
      local seen = {}
      for _ = 1, 100 do
        local text = files.random_hex(8)
        assert.matches("^" .. ("[0-9a-f]"):rep(16) .. "$", text)
        assert.is_nil(seen[text])
        seen[text] = true
      end
      assert.equal(2, #files.random_hex(1))
      assert.equal(64, #files.random_hex(32))
      for _, n in ipairs { 0, 33 } do
        assert.has_error(function () files.random_hex(n) end, "bad argument #1 to 'random_hex' (1 to 32 expected)")
      end
    end)
  end)

  it("euid is that of this process", function ()
    assert.equal(tonumber((sh "id -u")), files.euid())
  end)

  describe("open_pty", function ()
    it("gives two ends of a raw terminal", function ()
      local master, slave = assert(files.open_pty())
      assert.matches("^/dev/pts/%d+$", fds.all()[slave:number()])
      local settings = spawn.output({ "/bin/stty", "-a", "-F", fds.all()[slave:number()] })
      assert.matches("%-opost", settings)
      assert.matches("%-echo ", settings)
      assert.matches("%-icanon", settings)
      master:close()
      slave:close()
    end)
  end)

  describe("reopen", function ()
    it("gives a descriptor of its own of a FIFO, whose flags do not show on the standard stream", function ()
      local out = host("", [[
        local core = require "firecracker.core"
        local function flags (n)    -- of which those to write and not to block
          return tonumber(io.open("/proc/self/fdinfo/" .. n):read "a":match "flags:%s*(%d+)", 8) & 2051
        end
        local before = flags(1)
        local fd <close> = assert(core.files.reopen(1))
        local number = fd:number()
        local stream <close> = assert(core.stream.open(fd))    -- makes it non-blocking
        print(before, flags(1), flags(number))]])
      assert.equal("1\t1\t2049\n", out)
    end)

    it("duplicates what cannot be opened again: a socket is for others as it was once its stream is closed", function ()
      local out = host("exec python3 -SEc 'import socket, subprocess, sys; subprocess.run(sys.argv[1:], stdin=socket.socketpair()[1])'", [[
        local core = require "firecracker.core"
        local function blocks () return tonumber(io.open "/proc/self/fdinfo/0":read "a":match "flags:%s*(%d+)", 8) & 2048 == 0 end
        for _, verb in ipairs { "close", "finish" } do
          local stream <close> = assert(core.stream.open(assert(core.files.reopen(0))))
          local before = blocks()
          stream[verb](stream)
          print(before, blocks())
        end]])
      assert.equal("false\ttrue\nfalse\ttrue\n", out)
    end)

    it("duplicates what cannot be opened again: a file keeps its offset", function ()
      host(("exec >%s/file;"):format(dir), [[
        local core, spawn = require "firecracker.core", require "spec.support.spawn"
        local fd <close> = assert(core.files.reopen(1))
        for i = 1, 2 do
          spawn.ended(assert(spawn("echo child", { stdio = { nil, fd } })))
          print("host")
          io.stdout:flush()
        end]])
      assert.equal("child\nhost\nchild\nhost", here "cat file")
    end)

    it("refuses other numbers, and fails for a closed one", function ()
      assert.has_error(function () files.reopen(3) end, "bad argument #1 to 'reopen' (0, 1 or 2 expected)")
      assert.equal("EBADF descriptor 0: Bad file descriptor", (host("exec <&-;", [[
        local place = io.open "/dev/null"    -- the reactor would take it
        local core = require "firecracker.core"
        place:close()
        local _, err = core.files.reopen(0)
        io.write(err.errno, " ", err.message)]])))
    end)
  end)

  describe("lock", function ()
    it("holds one at a time, until it is closed", function ()
      local path = dir .. "/lock"
      local one = assert(files.lock(path))
      assert.is_false(files.lock(path))
      one:close()
      local two = assert(files.lock(path))
      assert.is_false(files.lock(path))
      assert(os.remove(path))   -- whoever has it may
      local three = assert(files.lock(path))
      assert.is_false(files.lock(path))
      two:close()
      three:close()
    end)

    it("follows no link, and says what is wrong", function ()
      assert(sh(("ln -s /etc/passwd %s/link"):format(dir)))
      local fd, err = files.lock(dir .. "/link")
      assert.is_nil(fd)
      assert.equal("ELOOP", err.errno)
      assert.equal("ENOENT", select(2, files.lock(dir .. "/no/lock")).errno)
      assert.equal("EISDIR", select(2, files.lock(dir)).errno)
    end)
  end)

  it("of wrong arguments raise", function ()
    for name, fn in pairs(files) do
      if name ~= "open_pty" and name ~= "euid" then
        assert.error_matches(function () fn({}) end, "^bad argument #1 to '.-' %(%w+ expected, got table%)$", name)
        assert.error_matches(function () fn() end, "^bad argument #1 to '.-' %(%w+ expected, got no value%)$", name)
        local ok, message = pcall(fn, dir .. "/a\0b", dir .. "/c")    -- never what is named before it
        assert.is_true(not ok and message:find "it has a NUL byte" ~= nil or message:find "number expected" ~= nil, name)
      end
    end
  end)
end)
