-- The host's side of a vsock against a listener that says what no VMM can be made to say.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fc = require "firecracker"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"
local stream = require "firecracker.stream"

local vsock = fc.vsock
local OK <const> = "OK 1073741824\n"

describe("vsock", function ()
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  -- body(path, requests): as a task; each connection at path is given to serve(peer, n), a task too, once its line is there.
  local function with_vmm (serve, body, subdirectory)
    sh.tmpdir(function (dir)
      fc.run(function ()
        local path, n, requests = dir .. (subdirectory or "") .. "/vsock", 0, {}
        assert(core.files.mkdir_private(dir .. (subdirectory or "")))
        local listener <close> = assert(core.listener.open(path))
        local accepting = fc.spawn(function ()
          while true do
            local fd = listener:accept()
            if fd then
              n = n + 1
              local number = n
              fc.spawn(function ()
                local peer <close> = stream.new(assert(core.stream.open(fd)), "peer")
                requests[number] = peer:read()
                serve(peer, number)
              end)
            else
              fc.loop.park(math.huge, listener:key())
            end
          end
        end)
        local _ <close> = setmetatable({}, { __close = function () accepting:cancel() end })
        body(path, requests)
      end)
    end)
  end

  local function failing (err)
    return { err.code, err.message:match ": (.*)$", err.hint ~= nil }
  end

  describe("dial", function ()
    it("asks for the port in one line, and loses no byte behind OK", function ()
      with_vmm(function (peer)
        peer:write(OK .. "HELLO", "-GUEST\n")
        peer:write(peer:read())
      end, function (path, requests)
        local s <close> = assert(vsock.dial(path, 52))
        assert.same({ "CONNECT 52" }, requests)
        assert.equal("HELLO-GUEST", s:read())
        assert.equal(s, s:write("ping", 1, "\n"))
        assert.equal("ping1", s:read "a")
        assert.is_nil(s:read())
        assert.equal("<stream of vsock port 52>", tostring(s))
      end)
    end)

    it("takes OK cut at each byte, whatever follows it", function ()
      with_vmm(function (peer, number)
        local text = OK .. "\0OK 1\n"
        peer:write(text:sub(1, number - 1))
        fc.sleep(0.002)
        peer:write(text:sub(number))
      end, function (path)
        for _ = 1, #OK + 4 do
          local s <close> = assert(vsock.dial(path, 1, { timeout = 10 }))
          assert.equal("\0OK 1\n", s:read "a")
        end
      end)
    end)

    it("tries again until the socket is there, somebody listens and the guest takes it", function ()
      sh.tmpdir(function (dir)
        fc.run(function ()
          local path = dir .. "/vsock"
          local dialled = fc.spawn(vsock.dial, path, 7, { timeout = 10 })
          fc.sleep(0.01)
          local stale = assert(core.listener.open(path))    -- refuses once it is closed, and its name stays
          stale:close()
          fc.sleep(0.01)
          local listener <close> = assert(core.listener.open(path, { replace_stale = true }))
          local refused = 0
          fc.spawn(function ()
            while not dialled.done do
              local fd = listener:accept()
              if fd then
                local peer <close> = stream.new(assert(core.stream.open(fd)), "peer")
                refused = refused + 1
                if refused > 3 then
                  peer:write(OK, "at last")
                end
              else
                fc.loop.park(fc.now() + 0.01, listener:key())
              end
            end
          end)
          local s <close> = assert(dialled:wait())
          assert.equal("at last", s:read "a")
          assert.equal(4, refused)
        end)
      end)
    end)

    it("tries again from a millisecond on, less and less often", function ()
      local most = 0
      for _ = 1, 20 do    -- a busy machine is late, never early
        with_vmm(function () end, function (path, requests)
          assert.is_nil((vsock.dial(path, 1, { timeout = 0.03 })))
          most = math.max(most, #requests)
        end)
        if most >= 4 then break end
      end
      assert.is_true(most >= 4 and most <= 7, most)    -- after 0, 1, 3, 7 and 15 ms, and at the deadline
    end)

    it("dials through a path that is longer than a socket address", function ()
      with_vmm(function (peer) peer:write(OK, "far") end, function (path)
        assert.is_true(#path > 250)
        local s <close> = assert(vsock.dial(path, 1))
        assert.equal("far", s:read "a")
      end, "/" .. ("d"):rep(200) .. "/" .. ("e"):rep(40))
    end)

    it("says that nobody listens in the guest when the VMM hangs up, also in the middle of OK", function ()
      for _, text in ipairs { "", "O", OK:sub(1, -2) } do
        with_vmm(function (peer) peer:write(text) end, function (path, requests)
          local s, err
          bed.patiently(function (timeout)    -- a busy machine finds time for one try only, or for less
            local before = #requests
            s, err = vsock.dial(path, 99, { timeout = timeout })
            return #requests - before > 1
          end)
          assert.is_nil(s)
          assert.same({ "vsock", "the VMM hung up", true }, failing(err))
          assert.equal("nobody listens on this port in the guest", err.hint)
          assert.same({ 99, path }, { err.port, err.path })
          assert.is_true(#requests > 1)
        end)
      end
    end)

    it("says that the guest does not answer, when the deadline comes, its own or the caller's", function ()
      local over = false
      with_vmm(function () while not over do fc.sleep(0.01) end end, function (path)
        local s, err = vsock.dial(path, 99, { timeout = 0.05 })
        assert.is_nil(s)
        assert.same({ "timeout", "no answer", true }, failing(err))
        s, err = fc.loop.under(fc.now() + 0.05, vsock.dial, path, 99)
        assert.is_nil(s)
        assert.equal("timeout", err.code)
        over = true
      end)
    end)

    it("refuses at once what is no reply, and shows its beginning", function ()
      for _, text in ipairs { "HTTP/1.1 400 Bad Request\r\n", "OK\n", "OK \n", "OK 12x", "OK 4294967296\n", "OK -1\n", "\n",
                              "OK 1\r\n", "OK 0000000000000000", "\27[2J" .. ("z"):rep(1 << 16) } do
        with_vmm(function (peer) peer:write(text) end, function (path, requests)
          local s, err = vsock.dial(path, 1, { timeout = 10 })
          assert.is_nil(s)
          assert.equal("garbage", err.code == "vsock" and err.hint:find "no vsock" and "garbage")
          assert.equal(("vsock port 1: '%s' came in place of OK"):format(text:sub(1, 40)), err.message)
          assert.is_nil(tostring(err):find "%c")
          assert.equal(1, #requests)
        end)
      end
    end)

    it("says what is wrong with the path", function ()
      sh.tmpdir(function (dir)
        local s, err = vsock.dial(dir .. "/none", 1, { timeout = 0.01 })
        assert.is_nil(s)
        assert.same({ "vsock", "ENOENT" }, { err.code, err.errno })
        core.listener.open(dir .. "/gone"):close()
        s, err = vsock.dial(dir .. "/gone", 1, { timeout = 0.01 })
        assert.is_nil(s)
        assert.same({ "ECONNREFUSED", "the VMM that made this socket is gone" }, { err.errno, err.hint })
        local began = fc.now()
        s, err = vsock.dial("/" .. ("x"):rep(5000), 1, { timeout = 10 })
        assert.is_nil(s)
        assert.equal("ENAMETOOLONG", err.errno)
        assert.is_true(fc.now() - began < 5)
      end)
    end)

    it("closes what it has when it is cancelled", function ()
      with_vmm(function (peer) assert.is_nil(peer:read()) end, function (path, requests)
        local task = fc.spawn(vsock.dial, path, 1)
        driver.wait(function () fc.sleep(0.001) return #requests > 0 end)
        task:cancel()
        local _, err = task:wait()
        assert.equal("cancelled", err.code)
      end)
    end)

    it("raises for what is no port, path or table", function ()
      for _, port in ipairs { -1, 1.5, "52", 0xffffffff } do
        assert.error_matches(function () vsock.dial("/x", port) end, "dial: port from 0 to 4294967294 expected")
      end
      assert.error_matches(function () vsock.dial(nil, 1) end, "dial: path expected, got nil")
      assert.error_matches(function () vsock.dial("/x", 1, 5) end, "dial: table of options expected, got number")
      assert.error_matches(function () vsock.dial("/x", 1, { timeot = 5 }) end, "dial: timeot: unknown key")
      local ok, err = pcall(vsock.dial, "/x", "52")
      assert.is_false(ok)
      assert.matches("vsock_spec.lua:%d+$", err.where)
    end)
  end)

  describe("listen", function ()
    local function dial_back (path, text)
      local s <close> = stream.new(assert(core.stream.dial(path, 1)), "guest")
      assert(s:write(text))
      return s:read()
    end

    it("gives a stream for each connection, under the VMM's path with the port behind it", function ()
      sh.tmpdir(function (dir)
        fc.run(function ()
          local listener <close> = assert(vsock.listen(dir .. "/vsock", 7000))
          assert.equal(dir .. "/vsock_7000", listener.path)
          assert.same({ "socket", 384 }, { core.files.look(listener.path).type, core.files.look(listener.path).mode })
          local answers = fc.spawn(fc.map, { "a", "b", "c" }, function (each) return dial_back(listener.path, each .. "\n") end)
          for _ = 1, 3 do
            local s <close> = assert(listener:accept { timeout = 10 })
            assert.equal("CONNECT 1", s:read())
            s:write(s:read():upper(), "\n")
          end
          assert.same({ "A", "B", "C" }, table.move(answers:wait(), 1, 3, 1, {}))
          local none, err = listener:accept { timeout = 0.01 }
          assert.is_nil(none)
          assert.equal("timeout", err.code)
        end)
        assert.is_nil((core.files.look(dir .. "/vsock_7000")))
      end)
    end)

    it("replaces a socket that a dead process left, and nothing else", function ()
      sh.tmpdir(function (dir)
        local path = dir .. "/vsock"
        core.listener.open(path .. "_1"):close()
        local _ <close> = assert(vsock.listen(path, 1))
        local second, err = vsock.listen(path, 1)
        assert.is_nil(second)
        assert.same({ "vsock", "EADDRINUSE", "somebody listens there" }, { err.code, err.errno, err.hint })
        for port, make in pairs { [2] = "touch ", [3] = "mkdir ", [4] = "ln -s /nowhere ", [5] = "ln -s vsock_1 " } do
          assert(os.execute(make .. path .. "_" .. port))
          second, err = vsock.listen(path, port)
          assert.is_nil(second)
          assert.equal("EADDRINUSE", err.errno)
        end
        assert.equal("link", core.files.look(path .. "_5").type)
        second, err = vsock.listen(dir .. "/no/where", 1)
        assert.is_nil(second)
        assert.equal("ENOENT", err.errno)
      end)
    end)

    it("keeps out of the way of another that is replacing it", function ()
      sh.tmpdir(function (dir)
        core.listener.open(dir .. "/vsock_1"):close()
        local holder = assert(io.popen(("cd %s && exec python3 -SEc 'import fcntl, os, sys; d = os.open(\".\", 0); " ..
          "fcntl.flock(d, 2); os.mkdir(\"held\"); sys.stdin.read()'"):format(dir), "w"))
        driver.poll(function () return core.files.look(dir .. "/held") end)
        local listener, err = vsock.listen(dir .. "/vsock", 1)
        holder:close()
        assert.is_nil(listener)
        assert.equal("EAGAIN", err.errno)
      end)
    end)

    it("removes its own name when it is closed or dropped, not another's", function ()
      sh.tmpdir(function (dir)
        local listener = assert(vsock.listen(dir .. "/vsock", 1))
        os.remove(listener.path)
        local other <close> = assert(core.listener.open(listener.path))
        assert.is_true(listener:close())
        assert.is_true(listener:close())
        assert.equal("socket", core.files.look(listener.path).type)
        assert.same({ nil, "closed" }, { listener:accept(), select(2, listener:accept()).code })
        assert(vsock.listen(dir .. "/vsock", 2))
        collectgarbage()
        assert.is_nil((core.files.look(dir .. "/vsock_2")))
        assert.is_false(other:accept())
      end)
    end)

    it("wakes who accepts when it is closed", function ()
      sh.tmpdir(function (dir)
        fc.run(function ()
          local listener = assert(vsock.listen(dir .. "/vsock", 1))
          local task = fc.spawn(listener.accept, listener)
          fc.sleep(0)
          listener:close()
          assert.equal("closed", select(2, task:wait()).code)
        end)
      end)
    end)

    it("listens at a path that is longer than a socket address", function ()
      sh.tmpdir(function (dir)
        local deep = dir .. "/" .. ("d"):rep(200)
        assert(core.files.mkdir(deep))
        for _ = 1, 2 do
          local listener <close> = assert(vsock.listen(deep .. "/vsock", 1))
          assert(core.files.listens(listener.path))
        end
      end)
    end)

    it("follows no link behind '//', where the directories are somebody else's", function ()
      sh.tmpdir(function (dir)
        local owner = core.files.euid() == 0 and { uid = 1234, gid = 2345 } or {}
        sh(("cd %s && mkdir -p root/real victim && ln -s ../victim root/run && ln -s ../../victim root/real/run && ln -s victim outer")
          :format(dir))
        for path, errno in pairs { ["/root//run/v"] = "ELOOP", ["/root//real/run/v"] = "ELOOP", ["/root//../victim/v"] = "EXDEV" } do
          local listener, err = vsock.listen(dir .. path, 5, owner)
          assert.is_nil(listener)
          assert.same({ "vsock", errno, 5 }, { err.code, err.errno, err.port })
        end
        assert.equal("", (sh(("ls -A %s/victim"):format(dir))))
        do
          local outer <close> = assert(vsock.listen(dir .. "/outer/v", 5))    -- all of this path is ours
          assert.equal("socket", core.files.look(dir .. "/victim/v_5").type)
          assert.equal(dir .. "/outer/v_5", outer.path)
        end
        for _ = 1, 2 do
          local listener <close> = assert(vsock.listen(dir .. "/./root//real/v", 5, owner))
          assert.equal(dir .. "/root//real/v_5", listener.path)
          local look = core.files.look(dir .. "/root/real/v_5")
          assert.same({ "socket", 384, owner.uid or look.uid }, { look.type, look.mode, look.uid })
          assert(core.files.listens(listener.path))
          local second, err = vsock.listen(dir .. "/root//real/v", 5, owner)
          assert.is_nil(second)
          assert.equal("EADDRINUSE", err.errno)
          assert.is_true(listener:close())
          assert.is_nil((core.files.look(dir .. "/root/real/v_5")))
        end
      end)
    end)

    it("removes nothing that its name leads to by now", function ()
      sh.tmpdir(function (dir)
        sh(("mkdir -p %s/root/run"):format(dir))
        local listener = assert(vsock.listen(dir .. "/root//run/v", 5))
        sh(("cd %s/root && mv run ../victim && ln -s ../victim run"):format(dir))    -- the same socket, elsewhere
        assert.is_true(listener:close())
        assert.equal("socket", core.files.look(dir .. "/victim/v_5").type)
      end)
    end)

    it("gives the name an owner and a mode #root", function ()
      if core.files.euid() ~= 0 then pending "needs root to give files away" end
      sh.tmpdir(function (dir)
        local listener <close> = assert(vsock.listen(dir .. "/vsock", 1, { uid = 1234, gid = 2345, mode = 432 }))
        local look = core.files.look(listener.path)
        assert.same({ 1234, 2345, 432 & look.mode }, { look.uid, look.gid, look.mode })
        assert.error_matches(function () listener:accept { timeot = 5 } end, "accept: timeot: unknown key")
      end)
      assert.error_matches(function () vsock.listen("/tmp/x", 1, { uid = "root" }) end, "listen: uid: integer expected, got 'root'")
      assert.error_matches(function () vsock.listen("/tmp/x", 1, { user = 5 }) end, "listen: user: unknown key")
      assert.error_matches(function () vsock.listen("/tmp/x", 1, { timeout = 5 }) end, "listen: timeout: unknown key")
    end)
  end)
end)
