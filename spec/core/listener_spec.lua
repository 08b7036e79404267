local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
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
        assert.is_true(core.files.listens(path))
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
