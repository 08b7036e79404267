local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local host = require "firecracker.host"
local sh = require "spec.support.sh"

describe("a listener", function ()
  before_each(fds.remember)
  after_each(fds.compare)

  local function connect (path)
    return io.popen(("python3 -SEc 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(\"%s\"); " ..
      "s.sendall(b\"ping\"); sys.stdout.write(s.recv(9).decode())'"):format(path))
  end

  it("takes a connection, through which both sides speak", function ()
    sh.tmpdir(function (dir)
      local listener <close> = assert(core.listener.open(dir .. "/s"))
      assert.is_false(listener:accept())
      local peer <close> = connect(dir .. "/s")
      local fd
      driver.poll(function ()
        fd = listener:accept()
        return fd
      end)
      local stream <close> = assert(core.stream.open(fd))
      local got
      driver.poll(function ()
        got = stream:read()
        return got
      end)
      assert.equal("ping", got)
      assert.equal(4, stream:send "pong")
      assert.equal("pong", peer:read "a")
      driver.poll(function () return stream:read() == nil end)
      assert.is_false(listener:accept())
    end)
  end)

  it("tells of a peer that is gone, without a signal", function ()
    sh.tmpdir(function (dir)
      local listener <close> = assert(core.listener.open(dir .. "/s"))
      os.execute(("python3 -SEc 'import socket; s = socket.socket(socket.AF_UNIX); s.connect(\"%s\")'"):format(dir .. "/s"))
      local stream <close> = assert(core.stream.open(assert(listener:accept())))
      local sent, err = stream:send "x"
      assert.same({ nil, "EPIPE" }, { sent, err.errno })
    end)
  end)

  it("takes the place of a socket that nobody listens at, when told so", function ()
    sh.tmpdir(function (dir)
      local path = ("%s/%s/s"):format(dir, ("d"):rep(100))    -- longer than a socket address
      assert(core.files.mkdir(path:sub(1, -3)))
      for _ = 1, 2 do
        local listener <close> = assert(core.listener.open(path, { replace_stale = true, mode = 256 }))
        assert.equal(256, core.files.look(path).mode)
        assert.same({ true, (host.process "self") }, { core.files.listens(path) })
        assert.is_true(listener:fd() > 2)
        assert.equal("EADDRINUSE", select(2, core.listener.open(path, { replace_stale = true })).errno)
        assert.equal("EADDRINUSE", select(2, core.listener.open(path)).errno)
      end
      assert.equal("EADDRINUSE", select(2, core.listener.open(path)).errno)
      for _, wrong in ipairs { { mode = "rw" }, { uid = -1 }, { gid = 1.5 } } do
        assert.error_matches(function () core.listener.open(path, wrong) end, (next(wrong)))
      end
    end)
  end)

  it("follows no link behind '//', whatever it is told to replace", function ()
    sh.tmpdir(function (dir)
      local function refused (errno, path)
        local listener, err = core.listener.open(dir .. path, { replace_stale = true, mode = 384 })
        assert.is_nil(listener)
        assert.equal(errno, err.errno)
      end
      sh(("mkdir -p %s/root/real %s/victim && ln -s ../victim %s/root/run"):format(dir, dir, dir))
      core.listener.open(dir .. "/victim/s"):close()
      local stale = core.files.look(dir .. "/victim/s").inode
      refused("ELOOP", "/root//run/s")
      refused("ELOOP", "/root//run/new")
      refused("EXDEV", "/root//../victim/s")
      refused("ENOENT", "/root//none/s")
      refused("EADDRINUSE", "/root//real/..")
      assert.equal("s\n", (sh(("ls -A %s/victim"):format(dir))))
      assert.equal(stale, core.files.look(dir .. "/victim/s").inode)
      sh(("cd %s/root/real && ln -s ../../victim/s link && mkfifo fifo && mkdir dir"):format(dir))
      for _, name in ipairs { "link", "fifo", "dir" } do
        refused("EADDRINUSE", "/root//real/" .. name)
      end
      for _, name in ipairs { "s", ("x"):rep(80) } do    -- and where its path is short
        local path = ("%s/root//real/%s"):format(dir, name)
        for _ = 1, 2 do
          local _ <close> = assert(core.listener.open(path, { replace_stale = true, mode = 256 }))
          assert.equal(256, core.files.look(path).mode)
          assert.is_true(core.files.listens(path))
          refused("EADDRINUSE", "/root//real/" .. name)
        end
      end
      local top <close> = assert(core.listener.open(dir .. "/root//s"))
      assert.equal("socket", core.files.look(dir .. "/root/s").type)
      assert.is_false(top:accept())
    end)
  end)

  it("replaces nothing elsewhere while its directory changes places with a link", function ()
    sh.tmpdir(function (dir)
      sh(("cd %s && mkdir -p root/run victim && ln -s ../victim root/link"):format(dir))
      core.listener.open(dir .. "/root/run/s"):close()
      core.listener.open(dir .. "/victim/s"):close()
      local victim = core.files.look(dir .. "/victim/s").inode
      local program = io.open(dir .. "/swap.py", "w")
      program:write [[
import ctypes, select, sys
swap = ctypes.CDLL(None).renameat2
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(100):
        swap(-100, b"run", -100, b"link", 2)
]]
      program:close()
      local swapping = assert(io.popen(("cd %s/root && exec python3 -SE ../swap.py"):format(dir), "w"))
      local refused, replaced, deadline = 0, 0, core.now() + 20
      while (refused < 1000 or replaced < 1000) and core.now() < deadline do
        local listener, err = core.listener.open(dir .. "/root//run/s", { replace_stale = true })
        if listener then
          listener:close()
          replaced = replaced + 1
        else
          assert.equal("ELOOP", err.errno)
          refused = refused + 1
        end
      end
      swapping:close()
      assert.is_true(refused >= 1000 and replaced >= 1000)
      assert.equal(victim, core.files.look(dir .. "/victim/s").inode)
    end)
  end)

  it("is replaced by one that looks while nobody else does, also behind '//'", function ()
    sh.tmpdir(function (dir)
      sh(("mkdir -p %s/root/run"):format(dir))
      core.listener.open(dir .. "/root/run/s"):close()
      local holder = assert(io.popen(("cd %s/root/run && exec python3 -SEc 'import fcntl, os, sys; d = os.open(\".\", 0); " ..
        "fcntl.flock(d, 2); os.mkdir(\"held\"); sys.stdin.read()'"):format(dir), "w"))
      driver.poll(function () return core.files.look(dir .. "/root/run/held") end)
      local listener, err = core.listener.open(dir .. "/root//run/s", { replace_stale = true })
      holder:close()
      assert.is_nil(listener)
      assert.equal("EAGAIN", err.errno)
    end)
  end)

  it("is refused where the name is taken, too long or nowhere", function ()
    sh.tmpdir(function (dir)
      local first <close> = assert(core.listener.open(dir .. "/s"))
      for path, errno in pairs { [dir .. "/s"] = "EADDRINUSE", [dir .. "/" .. ("x"):rep(108)] = "ENAMETOOLONG",
                                 [dir .. "/no/s"] = "ENOENT" } do
        local listener, err = core.listener.open(path)
        assert.is_nil(listener)
        assert.equal(errno, err.errno)
      end
      first:close()
      first:close()
      assert.error_matches(function () first:accept() end, "closed listener")
    end)
  end)
end)
