local closing = require "spec.support.closing"
local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local http = require "firecracker.core.http"
local lfs = require "lfs"
local server = require "spec.support.server"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

local reply = server.reply

describe("http", function ()
  -- libcurl's own descriptors stay: they are made with the first client
  local opened = closing(setup, before_each, after_each, function ()
    local client <close> = assert(http.client(core.reactor(), "/no/such/socket"))
    local request <close> = assert(client:request())
    request:start("GET", "/")
    driver.fired()
  end, driver.fired)

  local function new (path)
    local client = opened(assert(http.client(core.reactor(), path)))
    return client, assert(client:request())
  end

  local function finish (request)
    local status, body
    driver.wait(function ()
      status, body = request:result()
      return status ~= false
    end)
    return status, body
  end

  local function ask (request, ...)
    assert(request:start(...))
    return finish(request)
  end

  local function sockets ()
    return fds.count "^socket:"
  end

  it("sends what it is given, and gives what comes", function ()
    server({ { text = reply(200, '{"a":1}') }, { text = reply(400, "no") } }, function (s)
      local _, request = new(s.path)
      assert.same({ 200, '{"a":1}' }, { ask(request, "GET", "/machine-config") })
      assert.same({ 400, "no" }, { ask(request, "PUT", "/a?b=c", '{"x":"ä"}') })
      assert.same({ 400, "no" }, { ask(request, "PATCH", "/vm", "") })
      s:wait("^request", 3)
      local log = s:log()
      assert.equal("request 1 GET /machine-config HTTP/1.1 localhost ", log[3])
      assert.matches('^request 1 PUT /a%?b=c HTTP/1%.1 localhost {"x":"', log[4])
      -- who refuses a body may not have read it: what comes next has a connection of its own
      assert.equal(1, s:count "^request 2 PATCH /vm HTTP/1%.1 localhost $")
    end)
  end)

  it("takes the text of a buffer out of it, and shows what it sent", function ()
    server({ { text = reply(200, "x") } }, function (s)
      local _, request = new(s.path)
      local buffer <close> = core.json.buffer()
      for _, value in ipairs { { a = ("x"):rep(3000) }, { b = 1 }, { c = {} } } do
        ask(request, "PUT", "/", core.json.encode(value, buffer))
        assert.equal(core.json.encode(value), request:body())
      end
      ask(request, "PUT", "/", buffer)
      assert.equal("", request:body())
      ask(request, "GET", "/")
      assert.same({ 'request 1 PUT / HTTP/1.1 localhost {"b":1}', 'request 1 PUT / HTTP/1.1 localhost {"c":{}}',
        "request 1 PUT / HTTP/1.1 localhost ", "request 1 GET / HTTP/1.1 localhost " }, { table.unpack(s:log(), 4, 7) })
      assert.has_error(function () request:start("PUT", "/", {}) end, "bad argument #3 to 'start' (string expected, got table)")
    end)
  end)

  it("keeps one connection for many requests, of one handle and of several in turn", function ()
    server({ { text = reply(200, "x") } }, function (s)
      local client, first = new(s.path)
      local second = assert(client:request())
      for _ = 1, 20 do
        assert.equal(200, (ask(first, "GET", "/")))
        assert.equal(200, (ask(second, "PUT", "/", "{}")))
      end
      assert.equal(1, s:count "^accept")
      assert.equal(40, s:count "^request 1 ")
    end)
  end)

  it("sends nothing twice that changes something: what may have been heard fails, and the next has a connection of its own", function ()
    server({ { text = reply(200, "x") }, { close = true }, { text = reply(200, "y") } }, function (s)
      local _, request = new(s.path)
      assert.same({ 200, "x" }, { ask(request, "GET", "/") })
      local status, err = ask(request, "PUT", "/actions", "{}")
      assert.is_nil(status)
      assert.same({ "http", "ECONNRESET", "the connection ended without a reply" }, { err.code, err.errno, err.message })
      assert.equal(1, s:count "^request %d+ PUT ")
      assert.same({ 200, "y" }, { ask(request, "GET", "/") })
      assert.equal(2, s:count "^accept")
    end)
  end)

  it("that was done and is cancelled tells of nothing when it is used again", function ()
    server({ { text = reply(200, "x") }, { hang = true } }, function (s)
      local _, request = new(s.path)
      assert(request:start("GET", "/"))
      assert.is_false(core.reactor():await(core.now() + 30, 0))    -- it is done, and nobody asks how
      request:cancel()
      assert(request:start("GET", "/"))
      assert.same({}, driver.fired(0.05))
      request:cancel()
    end)
  end)

  it("opens more connections for requests side by side", function ()
    server({ { text = reply(200, "x"), after = 0.1 } }, function (s)
      local client, first = new(s.path)
      local second = assert(client:request())
      assert(first:start("GET", "/1"))
      assert(second:start("GET", "/2"))
      assert.is_false(first:result())
      assert.equal(200, (finish(first)))
      assert.equal(200, (finish(second)))
      assert.equal(2, s:count "^accept")
    end)
  end)

  it("fires a request's key once when it is done, and not before", function ()
    server({ { text = reply(200, "x"), after = 0.05 } }, function (s)
      local _, request = new(s.path)
      assert(request:start("GET", "/"))
      assert.same({}, driver.fired())
      driver.wait(function () return driver.seen[request:key()] end)
      assert.same({ 200, "x" }, { request:result() })
      assert.same({}, driver.fired(0.02))
      assert.same({ 200, "x" }, { request:result() })    -- again and again
    end)
  end)

  it("shares no connection between two clients, of the same path neither", function ()
    server({ { text = reply(200, "x") } }, function (s)
      local _, first = new(s.path)
      local _, second = new(s.path)
      for _ = 1, 3 do
        ask(first, "GET", "/first")
        ask(second, "GET", "/second")
      end
      assert.equal(2, s:count "^accept")
      assert.equal(3, s:count "^request 1 GET /first")
      assert.equal(3, s:count "^request 2 GET /second")
    end)
  end)

  it("goes to the socket that is at its path now, after another took it over", function ()
    server({ { text = reply(200, "old") } }, function (old)
      local client, request = new(old.path)
      assert.same({ 200, "old" }, { ask(request, "GET", "/") })
      client:close()
      server({ { text = reply(200, "new") } }, function (s)
        assert(os.rename(s.path, old.path))
        local _, again = new(old.path)
        assert.same({ 200, "new" }, { ask(again, "GET", "/") })
      end)
    end)
  end)

  it("reads replies whose status alone says that there is no body", function ()
    server({
      { text = "HTTP/1.1 204 No Content\r\n\r\n" },
      { text = "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n" },
      { text = reply(200, "x") },
    }, function (s)
      local _, request = new(s.path)
      assert.same({ 204, "" }, { ask(request, "PUT", "/", "{}") })
      assert.same({ 204, "" }, { ask(request, "PUT", "/", "{}") })
      assert.same({ 200, "x" }, { ask(request, "GET", "/") })
      assert.equal(1, s:count "^accept")
    end)
  end)

  it("reads a reply without a length to the end of the connection, and chunks", function ()
    server({
      { text = "HTTP/1.1 200 OK\r\n\r\nall of it", close = true },
      { text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" },
      { text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n" },
      { text = "HTTP/1.1 100 Continue\r\n\r\n" .. reply(200, "late") },
    }, function (s)
      local _, request = new(s.path)
      assert.same({ 200, "all of it" }, { ask(request, "GET", "/") })
      assert.same({ 200, "abcde" }, { ask(request, "GET", "/") })
      assert.same({ 200, "x" }, { ask(request, "GET", "/") })
      assert.same({ 200, "late" }, { ask(request, "GET", "/") })
    end)
  end)

  it("carries bodies of a megabyte both ways, any byte in them", function ()
    local body = {}
    for i = 0, 255 do body[i + 1] = string.char(i) end
    body = table.concat(body):rep(4096)
    server({ { text = reply(200, body) } }, function (s)
      local _, request = new(s.path)
      local status, got = ask(request, "PUT", "/", ("x"):rep((1 << 20) + 1))
      assert.equal(200, status)
      assert.equal(0, s:count "^expect")    -- libcurl would ask first whether a body of this size is welcome
      assert.is_true(body == got)
      assert.equal(1, s:count(("x"):rep(100) .. "$"))
    end)
  end)

  it("sends a body beyond the client's limit when the server says so, and none of it to one that refuses it", function ()
    server({ { text = reply(400, "too long"), early = true }, { text = reply(200, "x") } }, function (s)
      local client <close> = assert(http.client(core.reactor(), s.path, 100))
      local request = assert(client:request())
      assert.same({ 400, "too long" }, { ask(request, "PUT", "/", ("y"):rep(101)) })
      assert.same({ 200, "x" }, { ask(request, "PUT", "/", ("z"):rep(100)) })
      assert.equal(1, s:count "^expect")
      assert.same({ 200, "x" }, { ask(request, "PUT", "/", ("z"):rep(100001)) })
      assert.equal(2, s:count "^expect")
      assert.equal(2, s:count " z+$")
      s:wait("^end", 1)
      assert.equal(0, s:count "^left")
    end)
    assert.error_matches(function () http.client(core.reactor(), "/s", -1) end, "number of bytes expected")
  end)

  it("says of a reply cut at any byte that it was cut", function ()
    local whole = reply(200, "body")
    local script = {}
    local interim = "HTTP/1.1 100 Continue\r\n\r\n"
    for cut = 0, #whole - 1 do
      script[cut + 1] = { text = whole:sub(1, cut), close = true }
    end
    script[#whole + 1] = { text = interim .. whole:sub(1, 20), close = true }
    script[#whole + 2] = { text = whole }
    server(script, function (s)
      local _, request = new(s.path)
      for cut = 0, #whole do
        local status, err = ask(request, "GET", "/" .. cut)
        assert.is_nil(status, cut)
        assert.equal("http", err.code)
        assert.is_true(#err.message > 10)
      end
      assert.same({ 200, "body" }, { ask(request, "GET", "/") })
      assert.equal(#whole + 2, s:count "^request")    -- nothing was sent twice
    end)
  end)

  for what, text in pairs {
    ["noise"] = "\0\xff garbage\r\n\r\n", ["another protocol"] = "SSH-2.0-x\r\n", ["a reply of HTTP/0.9"] = "hello",
    ["a status that is no number"] = "HTTP/1.1 abc X\r\n\r\n", ["a negative length"] = "HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\n",
    ["a status of one digit"] = "HTTP/21.1 201 200 OK\r\nContent-Length: 0\r\n\r\n",
    ["two lengths"] = "HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: zwei\r\n\r\nx",
    ["a bad chunk"] = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ["headers without an end"] = "HTTP/1.1 200 X\r\n" .. ("A: b\r\n"):rep(100000),
  } do
    it("fails for " .. what, function ()
      server({ { text = text, close = true }, { text = reply(200, "well again") } }, function (s)
        local _, request = new(s.path)
        local status, err = ask(request, "GET", "/")
        assert.is_nil(status)
        assert.equal("http", err.code)
        assert.same({ 200, "well again" }, { ask(request, "GET", "/") })
      end)
    end)
  end

  describe("with a socket that does not answer", function ()
    local function fails (path)
      local _, request = new(path)
      local status, err = ask(request, "GET", "/")
      assert.is_nil(status)
      return ("%s %s: %s"):format(err.code, err.errno, err.message)
    end

    it("says that it is missing, refused, no socket or not ours to use", function ()
      sh.tmpdir(function (dir)
        assert.equal(("connect ENOENT: cannot connect to %s/x: No such file or directory"):format(dir), fails(dir .. "/x"))
        sh(("cd %s; touch file; python3 -SEc 'import socket; socket.socket(socket.AF_UNIX).bind(\"bound\")'"):format(dir))
        assert.equal(("connect ECONNREFUSED: cannot connect to %s/file: Connection refused"):format(dir), fails(dir .. "/file"))
        assert.equal(("connect ECONNREFUSED: cannot connect to %s/bound: Connection refused"):format(dir),
          fails(dir .. "/bound"))
      end)
    end)

    it("says that it has no room", function ()
      sh.tmpdir(function (dir)
        local listening <close> = assert(spawn(("cd %s && exec python3 -SEc '%s'"):format(dir, [[
import os, socket, time
s, c = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
s.bind("full"); s.listen(0); c.connect("full"); os.mkdir("ready"); time.sleep(3600)]])))
        driver.poll(function () return core.files.look(dir .. "/ready") end)
        assert.equal(("connect EAGAIN: cannot connect to %s/full: Resource temporarily unavailable"):format(dir), fails(dir .. "/full"))
        listening:signal "KILL"
        spawn.ended(listening)
      end)
    end)

    it("says so of a path too long for an address, too", function ()
      local directory = "/tmp/" .. ("x"):rep(150)
      assert.equal(("connect ENOENT: cannot connect to %s/s: No such file or directory"):format(directory),
        fails(directory .. "/s"))
      assert.equal("connect ENAMETOOLONG: cannot connect to " .. ("x"):rep(150) .. ": File name too long",
        fails(("x"):rep(150)))
      local _, request = new("/tmp/" .. ("x"):rep(150))
      local _, err = ask(request, "GET", "/")
      assert.equal("ENAMETOOLONG", err.errno)    -- of the name itself
      sh.tmpdir(function (root)
        directory = root .. directory
        sh("mkdir -p " .. directory)
        _, request = new(directory .. "/s")
        assert.equal("ENOENT", select(2, ask(request, "GET", "/")).errno)
        assert.equal(0, fds.count(("x"):rep(150)))    -- the directory's goes with the failure
      end)
    end)
  end)

  it("reaches sockets at paths of 107, 108 and 150 bytes and more, again and again", function ()
    for _, length in ipairs { 106, 107, 108, 109, 150, 1000 } do
      local room = length - #(os.getenv "TMPDIR" or "/tmp") - #"/tmp.XXXXXXXXXX" - #"/socket"
      local parts = ""
      while room > 0 do    -- a name has at most 255 bytes
        local n = math.min(room, 200)
        n = room - n == 1 and n - 1 or n
        parts = parts .. "/" .. ("d"):rep(n - 1)
        room = room - n
      end
      server({ { text = reply(200, "x"), close = true } }, function (s)
        assert.equal(length, #s.path)
        local _, request = new(s.path)
        for _ = 1, 3 do    -- each on a new connection
          assert.same({ 200, "x" }, { ask(request, "GET", "/") })
          s:wait("^end", s:count "^accept")
        end
        local directory = s.path:match "^(.*)/"
        for _, target in pairs(fds.all()) do
          assert.not_equal(directory, target)
        end
      end, parts)
    end
  end)

  it("reaches a socket at a relative path", function ()
    server({ { text = reply(200, "x") } }, function (s)
      local here = lfs.currentdir()
      finally(function () lfs.chdir(here) end)
      lfs.chdir(s.path:match "^(.*)/")
      local _, request = new "socket"
      assert.same({ 200, "x" }, { ask(request, "GET", "/") })
    end)
  end)

  describe("cancelling", function ()
    it("closes the connection at once, and the handle can be used again", function ()
      server({ { text = reply(200, "x") }, { hang = true }, { text = reply(200, "y") } }, function (s)
        local _, request = new(s.path)
        local before = sockets()
        ask(request, "GET", "/")
        assert(request:start("GET", "/hangs"))
        s:wait("^request", 2)
        request:cancel()
        request:cancel()
        assert.equal(before, sockets())
        s:wait "^end 1"
        assert.is_false(request:result())
        assert.same({ 200, "y" }, { ask(request, "GET", "/") })
        for _, key in ipairs(driver.fired()) do
          assert.not_equal(request:key(), key)
        end
      end)
    end)

    it("leaves the other requests of the client alone", function ()
      server({ { hang = true }, { text = reply(200, "x"), after = 0.05 } }, function (s)
        local client, first = new(s.path)
        local second = assert(client:request())
        assert(first:start("GET", "/"))
        s:wait "^request"
        assert(second:start("GET", "/"))
        first:cancel()
        assert.same({ 200, "x" }, { finish(second) })
      end)
    end)
  end)

  describe("closing a client", function ()
    it("closes its idle connections now, which the server sees, and no one else's", function ()
      server({ { text = reply(200, "x"), after = 0.05 } }, function (s)
        local before = sockets()
        local _, other = new(s.path)
        ask(other, "GET", "/")
        for round = 1, 3 do    -- more often than libcurl looks for dead connections by itself
          local client = new(s.path)
          local requests = {}
          for i = 1, 3 do
            requests[i] = assert(client:request())
            assert(requests[i]:start("GET", "/"))
          end
          for i = 1, 3 do
            assert.equal(200, (finish(requests[i])))
          end
          assert.equal(before + 4, sockets())
          client:close()
          client:close()
          assert.equal(before + 1, sockets())
          s:wait("^end", round * 3)
        end
        assert.equal(200, (ask(other, "GET", "/")))
        assert.equal(10, s:count "^accept")
      end)
    end)

    it("leaves nothing of its own to the reactor when its requests are gone", function ()
      server({ { text = reply(200, "x") } }, function (s)
        local client, request = new(s.path)
        assert.equal(200, (ask(request, "GET", "/")))
        request:close()
        client:close()
        assert.same({}, driver.fired())
      end)
    end)

    it("ends its requests, those that run too", function ()
      server({ { hang = true } }, function (s)
        local before = sockets()
        local client, request = new(s.path)
        local idle = assert(client:request())
        assert(request:start("GET", "/"))
        s:wait "^request"
        client:close()
        assert.equal(before, sockets())
        s:wait "^end 1"
        for _, one in ipairs { request, idle } do
          for _, method in ipairs { "start", "key", "result", "cancel" } do
            assert.error_matches(function () one[method](one, "GET", "/") end, "%(closed request%)$")
          end
          one:close()
        end
        assert.error_matches(function () client:request() end, "%(closed client%)$")
        assert.same({}, driver.fired(0.02))
      end)
    end)

    it("is done by the collector, in whatever order", function ()
      server({ { text = reply(200, "x") }, { hang = true } }, function (s)
        local before = sockets()
        do
          local client = assert(http.client(core.reactor(), s.path))
          local idle, running = assert(client:request()), assert(client:request())
          ask(idle, "GET", "/")
          running:start("GET", "/")
          s:wait("^request", 2)
        end
        collectgarbage()
        collectgarbage()
        assert.equal(before, sockets())
        s:wait "^end 1"
      end)
    end)

    it("is put off while a request is in use", function ()
      server({ { text = reply(200, "x") } }, function (s)
        local request = (function ()
          return assert(assert(http.client(core.reactor(), s.path)):request())
        end)()
        collectgarbage()
        assert.equal(200, (ask(request, "GET", "/")))
      end)
    end)
  end)

  describe("with a server that dies", function ()
    it("between two requests: lets the reactor sleep, and fails the next", function ()
      server({ { text = reply(200, "x") } }, function (s)
        local _, request = new(s.path)
        assert.equal(200, (ask(request, "GET", "/")))
        s:kill()
        assert.is_true(driver.steps(function () driver.fired(0.05) end) < 6)
        local status, err = ask(request, "GET", "/")
        assert.is_nil(status)
        assert.same({ "connect", "ECONNREFUSED" }, { err.code, err.errno })
      end)
    end)

    it("during a request: fails it at once", function ()
      server({ { hang = true } }, function (s)
        local _, request = new(s.path)
        assert(request:start("GET", "/"))
        s:wait "^request"
        s:kill()
        local status, err = finish(request)
        assert.is_nil(status)
        assert.same({ "http", "Empty reply from server" }, { err.code, err.message })
      end)
    end)

    it("while it is sent to: raises no SIGPIPE, and fails it at once", function ()
      server({ { hang = true } }, function (s)
        local _, request = new(s.path)
        s.process:signal "STOP"    -- takes the connection in, and as much as a socket holds
        assert(request:start("PUT", "/", ("x"):rep(1 << 22)))
        assert.same({}, driver.fired(0.05))
        s:kill()
        local status, err = finish(request)
        assert.is_nil(status)
        assert.equal("http", err.code)
        assert.matches("^%a+ failure: ", err.message)    -- of whichever it tries first
      end)
    end)
  end)

  it("gives its descriptors to no child, and opens them close-on-exec", function ()
    local O_CLOEXEC <const> = tonumber("2000000", 8)
    server({ { text = reply(200, "x") } }, function (s)
      local before = fds.all()
      local _, request = new(s.path)
      ask(request, "GET", "/")
      local came = 0
      for fd in pairs(fds.all()) do
        if not before[fd] then
          local info <close> = assert(io.open("/proc/self/fdinfo/" .. fd))
          assert.equal(O_CLOEXEC, tonumber(info:read "a":match "flags:%s*(%d+)", 8) & O_CLOEXEC)
          came = came + 1
        end
      end
      assert.equal(1, came)
      assert.equal("0\n1\n2\n3\n", (spawn.output { "/bin/ls", "/proc/self/fd" }))
    end)
  end)

  it("is refused, and crashes nothing, in what is finalised after it", function ()
    local out, status = host("", [[
      local core, http
      late = setmetatable({}, { __gc = function ()    -- older than the reactor
        print(pcall(http.client, core.reactor(), "/x"))
        timer:disarm()
        timer:close()
      end })
      core, http = require "firecracker.core", require "firecracker.core.http"
      http.client(core.reactor(), "/y"):request():start("GET", "/")
      made = setmetatable({}, { __gc = function () timer = core.reactor():timer() timer:arm(core.now() + 1) end })
      os.exit(true, true)]])
    assert.same({ "false\tfirecracker: the state is closing\n", 0 }, { out, status })
  end)

  it("leaves nothing and crashes not when a state ends in the middle of everything", function ()
    server({ { text = reply(200, "x") }, { hang = true } }, function (s)
      local out, status = host("", ([[
        local core, http = require "firecracker.core", require "firecracker.core.http"
        client = http.client(core.reactor(), %q)
        idle, running = client:request(), client:request()
        timer, watch = core.reactor():timer(), core.watch.open("/", "x")
        timer:arm(core.now() + 60)
        idle:start("GET", "/")
        repeat core.reactor():step(core.now() + 10) until idle:result() ~= false
        running:start("GET", "/")
        core.reactor():step(core.now())
        late = setmetatable({}, { __gc = function () timer:close() client:close() watch:close() end })
        os.exit(true, true)]]):format(s.path))
      assert.same({ "", 0 }, { out, status })
      s:wait "^end 1"
    end)
  end)

  it("is used no more when the collector, at work in the middle of a call, closed it", function ()
    -- `during(finalizer, fn, ...)` calls the function; the first memory it wants has the finalizer run before it gets it
    local out, status = host("", [[
      local core, http = require "firecracker.core", require "firecracker.core.http"
      collectgarbage("incremental", 100, 1000, 40)   -- a step is a whole round
      local function during (finalizer, fn, ...)
        local ran = false
        collectgarbage()
        collectgarbage "stop"
        setmetatable({}, { __gc = function () ran = true; finalizer() end })
        collectgarbage "restart"
        if not ran then
          print(pcall(fn, ...))
        end
      end
      local made
      during(function () made = http.client(core.reactor(), "/no/such") end, http.client, core.reactor(), "/no/such")
      collectgarbage()
      assert(made:request()):close()
      local client, other = made, http.client(core.reactor(), "/no/such")
      during(function () client:close() end, client.request, client)
      local request = other:request()
      during(function () other:close() end, request.start, request, "PUT", "/", 5)]])
    assert.equal(0, status, out)
    assert.matches("^true\tfirecracker%.http%.client: 0x%x+\nfalse\t[^\n]*%(closed client%)\nfalse\t[^\n]*%(closed request%)\n$", out)
  end)

  describe("wrong use", function ()
    it("raises with what was expected", function ()
      local _, request = new "/no/such"
      assert.has_error(function () http.client({}, "/x") end,
        "bad argument #1 to 'client' (firecracker.reactor expected, got table)")
      assert.has_error(function () http.client(core.reactor()) end,
        "bad argument #2 to 'client' (string expected, got no value)")
      assert.has_error(function () request:start("GET", "x") end, "bad argument #2 to 'start' (must begin with a slash)")
      assert.has_error(function () request:start("GET") end, "bad argument #2 to 'start' (string expected, got no value)")
      for _, method in ipairs { "", "GET /x HTTP/1.1\r\nA: b\r\n\r\n", "G T", "GET\n" } do
        assert.has_error(function () request:start(method, "/") end, "bad argument #1 to 'start' (capital letters expected)")
      end
    end)

    it("starts no request twice", function ()
      server({ { hang = true } }, function (s)
        local _, request = new(s.path)
        assert(request:start("GET", "/"))
        assert.has_error(function () request:start("GET", "/") end, "calling 'start' on bad self (this request is running)")
      end)
    end)

    it("harms no request behind it", function ()
      server({ { text = reply(200, "x") } }, function (s)
        local _, request = new(s.path)
        for _, path in ipairs { "/1", "/1", "/2", "/1" } do
          assert.is_nil((ask(request, "GET", "/a b")))
          assert.is_nil((request:start("GET", "/" .. ("x"):rep(3000))))
          assert.equal(200, (ask(request, "GET", path)))
          assert.equal(200, (ask(request, "GET", path)))
        end
        assert.equal(6, s:count "^request 1 GET /1 ")
        assert.equal(2, s:count "^request 1 GET /2 ")
      end)
    end)

    it("fails for a path that is too long or no path", function ()
      local _, request = new "/no/such"
      local ok, err = request:start("GET", "/" .. ("x"):rep(3000))
      assert.is_nil(ok)
      assert.same({ "http", "ENAMETOOLONG" }, { err.code, err.errno })
      for _, path in ipairs { "/a b", "/a\r\nB: c" } do
        local status, why = ask(request, "GET", path)
        assert.is_nil(status)
        assert.equal("http", why.code)
      end
    end)
  end)
end)
