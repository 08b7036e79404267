-- Streams: reading as Lua's files do, writing with back-pressure, and who waits for whom.
local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fc = require "firecracker"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"
local stream = require "firecracker.stream"

describe("a stream", function ()
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  -- body(a, b): two ends of one connection, on the main thread.
  local function with_pair (body, limit)
    sh.tmpdir(function (dir)
      local listener <close> = assert(core.listener.open(dir .. "/s"))
      local dialled = assert(core.stream.dial(dir .. "/s", 1, limit))
      local a <close> = stream.new(dialled, "a")
      local b <close> = stream.new(assert(core.stream.open(assert(listener:accept()), limit)), "b")
      assert.equal("CONNECT 1", b:read())
      body(a, b)
    end)
  end

  local function with_run (body, limit)
    with_pair(function (a, b) fc.run(body, a, b) end, limit)
  end

  it("reads lines, counts, pieces and all, as a file does", function ()
    local text = "one\n\ntwo\r\nthree\n0123456789rest\nof it\nlast"
    for _, reads in ipairs {
      { "l", "L", "l", "l", 4, 6, "l", "a", "a", "l" }, { nil, "*l", "*L", "*a", "a", 1 }, { 1000, 1, "a", "l" },
      { 0, "l", 3, 1000, 0, "l" },
    } do
      with_pair(function (a, b)
        local file <close> = assert(io.tmpfile())
        assert(file:write(text) and file:seek "set")
        assert(b:write(text))
        b:close()
        for i = 1, 10 do
          assert.equal(file:read(reads[i] or "l"), (a:read(reads[i])))
        end
      end)
    end
  end)

  it("reads at most so many as soon as there are any", function ()
    with_pair(function (a, b)
      b:write "abcdef"
      assert.same({ "abcd", "ef" }, { a:read(-4), a:read(-4) })
      b:close()
      assert.same({ n = 1 }, table.pack(a:read(-4)))
    end)
  end)

  it("iterates, and raises what goes wrong", function ()
    with_pair(function (a, b)
      b:write("1\n2\n3")
      b:close()
      local lines = {}
      for line in a:lines() do
        lines[#lines + 1] = line
      end
      assert.same({ "1", "2", "3" }, lines)
      a:close()
      local ok, err = pcall(a:lines())
      assert.is_false(ok)
      assert.equal("closed", err.code)
    end)
  end)

  it("keeps what did not come in time", function ()
    with_pair(function (a, b)
      b:write "part of a li"
      for _, format in ipairs { "l", "a", 100 } do
        local got, err = a:read(format, { timeout = 0.005 })
        assert.is_nil(got)
        assert.same({ "timeout", "a: nothing came in time" }, { err.code, err.message })
      end
      local _, err = fc.loop.under(fc.now() + 0.005, a.read, a)
      assert.equal("timeout", err.code)
      b:write "ne\n"
      assert.equal("part of a line", a:read { timeout = 10 })
    end)
  end)

  for what, give_up in pairs {
    ["a line in time"] = function (a) return a:read("l", { timeout = 0.005 }) end,
    ["all in time"] = function (a) return a:read("a", { timeout = 0.005 }) end,
    ["so many bytes in time"] = function (a) return a:read(100000, { timeout = 0.005 }) end,
    ["all, and was cancelled"] = function (a)
      return fc.run(function ()
        local reader = fc.spawn(a.read, a, "a")
        fc.sleep(0)
        reader:cancel()
        return reader:wait()
      end)
    end,
  } do
    it("holds the other end up again when who waited did not get " .. what, function ()
      with_pair(function (a, b)
        assert.is_nil(give_up(a))
        b:write(("x"):rep(1 << 20), { timeout = 0.01 })
        fc.sleep(0.01)
        assert.equal(4096, #a.raw:peek())
      end, 4096)
    end)
  end

  it("gives the one who waits what he wants, though another gave up", function ()
    with_run(function (a, b)
      local text = ("x"):rep(100000)
      local reader = fc.spawn(a.read, a, #text)
      b:write(text:sub(1, 50000))
      assert.equal("timeout", select(2, a:read("l", { timeout = 0.005 })).code)
      b:write(text:sub(50001))
      assert.equal(text, reader:wait { timeout = 10 })
    end, 4096)
  end)

  it("gives a megabyte line, and refuses one that does not end", function ()
    with_run(function (a, b)
      local long = ("x"):rep(1 << 20)
      local writer = fc.spawn(function ()
        b:write(long, "\n")
        while b:write(long) do end
      end)
      assert.equal(long, a:read())
      local line, err = a:read()
      assert.is_nil(line)
      assert.equal("line", err.code)
      a:close()
      writer:wait()
    end)
  end)

  it("carries megabytes both ways at once, every byte, whatever the sizes", function ()
    local megabytes = {}
    for i = 1, 8 do
      megabytes[i] = ("%07d,"):format(i):rep(1 << 17)
    end
    local whole = table.concat(megabytes)
    with_run(function (a, b)
      local function give (s)
        for _, each in ipairs(megabytes) do
          assert(s:write(each))
        end
      end
      local writers = { fc.spawn(give, a), fc.spawn(give, b) }
      local pieces = fc.spawn(function ()
        local list, n = {}, 0
        while n < #whole do
          list[#list + 1] = a:read(n % 2 == 0 and -70001 or 333)
          n = n + #list[#list]
        end
        return table.concat(list)
      end)
      assert.is_true(b:read(#whole) == whole)
      assert.is_true(pieces:wait() == whole)
      for _, each in ipairs(writers) do each:wait() end
    end, 4096)
  end)

  it("holds a writer up, and says how far it came when the time is over", function ()
    with_pair(function (a, b)
      local text = ("0123456789"):rep(1 << 18)
      local ok, err = a:write(text, { timeout = 0.02 })
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      assert.is_true(err.sent > 0 and err.sent < #text)
      assert.is_true(driver.steps(function () fc.sleep(0.05) end) < 50)
      assert.is_true(text:sub(1, err.sent) == b:read(err.sent))
      local more = select(2, a:write(text, { timeout = 0.02 })).sent   -- the kernel's own room was too little once
      assert.is_true(more > err.sent and more < 1 << 20)
      assert.is_true(text:sub(1, more) == b:read(more))
      assert.is_true(driver.steps(function () fc.sleep(0.05) end) < 50)    -- there is room now, and nobody waits for it
    end)
  end)

  it("sends a long text whole, wherever it begins", function ()
    with_pair(function (a, b)
      local text = ("0123456789"):rep(7000)
      for from = 1, 130 do
        local sent = a.raw:send(text, from)
        assert.equal(#text - from + 1, sent)
        assert.is_true(text:sub(from) == b:read(sent))
      end
    end)
  end)

  it("lets writers take turns", function ()
    with_run(function (a, b)
      for i = 1, 4 do
        fc.spawn(function () a:write(tostring(i):rep(1 << 20), "\n") end)
      end
      for _ = 1, 4 do
        local line = b:read()
        assert.equal(1 << 20, #line)
        assert.is_truthy(line:find("^" .. line:sub(1, 1) .. "+$"))
      end
      fc.spawn(a.write, a, ("x"):rep(1 << 21))
      fc.sleep(0)
      local ok, err = a:write("y", { timeout = 0.01 })
      assert.same({ nil, "timeout" }, { ok, err.code })
      b:close()
    end)
  end)

  it("tells of a peer that is gone: the end to readers, an error to writers, no signal", function ()
    with_pair(function (a, b)
      b:write "bye"
      b:close()
      assert.equal("bye", a:read "a")
      local ok, err = a:write "x"
      assert.same({ nil, "EPIPE" }, { ok, err.errno })
      assert.equal("a: cannot send: Broken pipe", err.message)
    end)
    with_run(function (a, b)    -- while it waits for room
      local task = fc.spawn(a.write, a, ("x"):rep(1 << 22))
      fc.sleep(0.01)
      b:close()
      local _, err = task:wait { timeout = 10 }
      assert.is_truthy(err.errno == "EPIPE" or err.errno == "ECONNRESET")
    end)
  end)

  it("wakes who waits when it is closed", function ()
    with_run(function (a)
      local reader, writer = fc.spawn(a.read, a), fc.spawn(a.write, a, ("x"):rep(1 << 22))
      fc.sleep(0.01)
      assert.is_true(a:close())
      assert.is_true(a:close())
      assert.same({ "closed", "closed" }, { select(2, reader:wait()).code, select(2, writer:wait()).code })
      assert.is_nil(a:fd())
      assert.equal("<stream of a, closed>", tostring(a))
      assert.equal("closed", select(2, a:read "a").code)
    end)
  end)

  it("is read by its descriptor in a loop of another's, and in cqueues", function ()
    local cqueues, uv = require "cqueues", require "spec.support.luv"
    fc.loop:pollfd()
    with_pair(function (a, b)
      uv.update_time()    -- the loop stood since another spec
      local got, poll = {}, uv.new_poll(a:fd())
      poll:start("r", function ()
        got[#got + 1] = a:read(-100, { timeout = 0 })
      end)
      local timer = uv.new_timer()
      timer:start(0, 1, function () if b:fd() then b:write "tick" end end)
      local deadline = core.now() + 10
      while #got < 3 and core.now() < deadline do
        uv.run "once"    -- a stop of another spec's may end it at once
      end
      poll:close()
      timer:close()
      uv.run()
      assert.matches("^tick", got[3])
      local controller, echoed = cqueues.new(), nil
      controller:wrap(function () b:write(("z"):rep(1 << 20), "\n") end)
      controller:wrap(function () a:read(1 << 20); echoed = a:read() end)
      assert(controller:loop(10))
      assert.is_truthy(echoed)
    end)
    fds.remember()    -- the loops' own stay
  end)

  it("refuses half-closing with the reason, and wrong arguments", function ()
    with_pair(function (a)
      for call, message in pairs {
        ["shutdown"] = "a: no half%-close: Firecracker drops the answer",
        ["read x"] = "read: 'l', 'L', 'a' or a number of bytes expected, got 'x'",
        ["read 1.5"] = "read: .* got 1.5",
        ["write nil"] = "write: string expected, got nil",
      } do
        local verb, argument = call:match "^(%S+) ?(.*)$"
        local ok, err = pcall(a[verb], a, tonumber(argument) or argument ~= "nil" and argument or nil)
        assert.is_false(ok)
        assert.matches(message, err.message)
        assert.matches("stream_spec.lua:%d+$", err.where)
      end
      assert.error_matches(function () a:read("l", 5) end, "read: table of options expected, got number")
      assert.error_matches(function () a:read { timeot = 1 } end, "read: timeot: unknown key")
      assert.error_matches(function () a:write("x", { timeot = 1 }) end, "write: timeot: unknown key")
    end)
  end)
end)
