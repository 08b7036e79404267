local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

describe("a stream", function ()
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  -- fn(stream, write, close): a FIFO, its reader as a stream, and a writer with no buffer of its own
  local function with_fifo (limit, fn)
    sh.tmpdir(function (dir)
      local path = dir .. "/fifo"
      assert(core.files.mkfifo(path))
      local stream <close> = assert(core.stream.open(assert(core.files.open(path, "r")), limit))
      local writer <close> = assert(io.open(path, "w"))
      writer:setvbuf "no"
      fn(stream, function (text) assert(writer:write(text)) end, function () writer:close() end)
    end)
  end

  local function next_line (stream)
    local line, err
    driver.wait(function ()
      line, err = stream:line()
      return line ~= false
    end)
    return line, err
  end

  it("is not emptied twice by a finalizer that reads it, too", function ()
    with_fifo(nil, function (stream, write)
      local lines = ("line\n"):rep(50)
      for _ = 1, 3000 do
        write(lines)
        stream:fill()
        setmetatable({}, { __gc = function () stream:read() end })
        stream:batch {}
        assert.is_true(#stream:peek() <= #lines)
      end
    end)
  end)

  it("gives the bytes that have come, and false while there are none", function ()
    with_fifo(nil, function (stream, write)
      assert.is_false(stream:read())
      assert.is_false(stream:line())
      write "one"
      assert.same({ stream:key() }, driver.fired())
      write " two"
      assert.same({ stream:key() }, driver.fired())
      assert.equal("one two", stream:read())
      assert.is_false(stream:read())
    end)
  end)

  it("puts lines together that came in pieces, and keeps what follows", function ()
    with_fifo(nil, function (stream, write)
      for piece in ("one\ntw|o\n\nthr|ee|\nrest"):gmatch "[^|]+" do
        write(piece)
        driver.fired()
      end
      assert.equal("one", stream:line())
      assert.equal("two", stream:line())
      assert.equal("", stream:line())
      assert.equal("three", stream:line())
      assert.is_false(stream:line())
      assert.equal("rest", stream:read())
    end)
  end)

  it("splits at any place alike", function ()
    local text = "a\n\0bc\r\n\n\xffd"
    for cut = 1, #text - 1 do
      with_fifo(nil, function (stream, write, close)
        write(text:sub(1, cut))
        driver.fired()
        write(text:sub(cut + 1))
        close()
        assert.same({ "a", "\0bc\r", "", "\xffd" },
          { next_line(stream), next_line(stream), next_line(stream), (next_line(stream)) })
        assert.is_nil((next_line(stream)))
      end)
    end
  end)

  it("gives a last line without newline at the end, and then nil", function ()
    with_fifo(nil, function (stream, write, close)
      write "last"
      driver.fired()
      assert.is_false(stream:line())
      close()
      assert.equal("last", next_line(stream))
      assert.same({ n = 1 }, table.pack(stream:line()))    -- no error
      assert.same({ n = 1 }, table.pack(stream:read()))
    end)
  end)

  it("fires once for the end and lets the reactor sleep then", function ()
    with_fifo(nil, function (stream, _, close)
      close()
      assert.same({ stream:key() }, driver.fired(0.02))
      assert.is_true(driver.steps(function () driver.fired(0.02) end) < 5)
    end)
  end)

  it("holds a line of any length below its limit", function ()
    with_fifo(nil, function (stream, write)
      local long = ("x"):rep(60000)
      write(long .. "\n")
      assert.equal(long, next_line(stream))
    end)
  end)

  it("gives a line beyond its limit in pieces of the limit", function ()
    with_fifo(4, function (stream, write)
      write "abcdefghij\nk\n"
      local lines = {}
      for i = 1, 4 do
        lines[i] = next_line(stream)
      end
      assert.same({ "abcd", "efgh", "ij", "k" }, lines)
    end)
  end)

  it("holds a writer up when it is full, loses nothing, and does not spin", function ()
    local lines = 75000    -- of 7 bytes: several times what a FIFO and this stream hold, and cut where that is full
    sh.tmpdir(function (dir)
      assert(core.files.mkfifo(dir .. "/fifo"))
      local reader = assert(core.files.open(dir .. "/fifo", "r"))
      local stream <close> = assert(core.stream.open(reader, 8192))
      local writer <close> = assert(spawn(("seq -f %%06g 1 %d >%s/fifo"):format(lines, dir)))
      assert.is_true(driver.steps(function () driver.fired(0.1) end) < 10)    -- 64 reads of 8 KiB, would it read on
      assert.is_nil(writer:poll())
      for i = 1, lines do
        local line = stream:line()
        if not line then
          line = next_line(stream)
        end
        if line ~= ("%06d"):format(i) then
          assert.equal(("%06d"):format(i), line)
        end
      end
      assert.is_nil((next_line(stream)))
      assert.same({ "exited", 0 }, { spawn.ended(writer) })
    end)
  end)

  it("keeps what a writer left that is gone before there was room", function ()
    with_fifo(8, function (stream, write, close)
      write "0123456789abcdefXYZ"
      close()
      assert.is_true(driver.steps(function () driver.fired(0.02) end) < 6)
      local parts = {}
      for part in function () return stream:read() end do
        parts[#parts + 1] = part
      end
      assert.same({ "01234567", "89abcdef", "XYZ" }, parts)
    end)
  end)

  it("reads at once when told to, without a step", function ()
    with_fifo(nil, function (stream, write)
      write "now"
      stream:fill()
      assert.equal("now", stream:read())
      stream:fill()
      assert.is_false(stream:read())
    end)
  end)

  it("that is a ring forgets its oldest bytes, and never holds a writer up", function ()
    sh.tmpdir(function (dir)
      assert(core.files.mkfifo(dir .. "/fifo"))
      local stream <close> = assert(core.stream.open(assert(core.files.open(dir .. "/fifo", "r")), 8192, true))
      local writer <close> = assert(spawn(("seq -f %%06g 1 75000 >%s/fifo"):format(dir)))
      assert.same({ "exited", 0 }, { spawn.ended(writer) })
      driver.wait(function () return select(2, stream:peek()) end)
      local bytes, _, dropped = stream:peek()
      assert.same({ 8192, 75000 * 7 - 8192 }, { #bytes, dropped })
      assert.equal("075000\n", bytes:sub(-7))
      assert.equal(bytes, stream:read())
      assert.is_nil(stream:read())
    end)
  end)

  it("that is a ring forgets nothing that somebody waits for, until he gives up", function ()
    sh.tmpdir(function (dir)
      assert(core.files.mkfifo(dir .. "/fifo"))
      local stream <close> = assert(core.stream.open(assert(core.files.open(dir .. "/fifo", "r")), 16, true))
      local writer <close> = assert(io.open(dir .. "/fifo", "w"))
      assert(writer:write(("x"):rep(1000)):flush())
      assert.is_false(stream:read(2000))
      stream:fill()
      local bytes, _, dropped = stream:peek()
      assert.same({ 1000, 0 }, { #bytes, dropped })
      stream:give_up()
      assert(writer:write "end"):flush()
      stream:fill()
      bytes, _, dropped = stream:peek()
      assert.same({ ("x"):rep(13) .. "end", 987 }, { bytes, dropped })
    end)
  end)

  it("waits for more than its limit, and gives the memory back", function ()
    with_fifo(16, function (stream, write, close)
      local text = ("x"):rep(40000)
      assert.is_false(stream:read(40000))
      write(text)
      local got
      driver.wait(function ()
        got = stream:read(40000)
        return got
      end)
      assert.equal(text, got)
      write(("y"):rep(100) .. "\n")
      assert.is_false(stream:read(200))
      driver.wait(function () return #stream:peek() == 101 end)
      assert.equal(("y"):rep(100) .. "\n", stream:line(1000, true))
      write "rest"
      close()
      driver.wait(function ()
        got = stream:read(200)
        return got
      end)
      assert.equal("rest", got)
    end)
  end)

  it("reads beyond its limit what somebody asks for, and no more", function ()
    with_fifo(16, function (stream, write)
      local text = ("x"):rep(40000)
      write(text)
      stream:fill()
      assert.equal(16, #stream:peek())
      assert.equal(text:sub(1, 16), stream:read(-30000))
      assert.is_false(stream:read(-30000))
      stream:fill()
      assert.equal(30000, #stream:peek())
      assert.equal(text:sub(1, 30000), stream:read(-30000))
      stream:fill()
      assert.equal(16, #stream:peek())
    end)
  end)

  it("that is finished gives what is there, and holds no descriptor", function ()
    with_fifo(nil, function (stream, write)
      write "left"
      stream:fill()
      stream:finish()
      stream:finish()
      assert.equal(-1, stream:fd())
      assert.equal("left", stream:read())
      assert.is_nil(stream:read())
      assert.equal("EPIPE", select(2, stream:send "x").errno)
      assert.equal("EPIPE", select(2, stream:room()).errno)
    end)
  end)

  it("sends to sockets and ptys alone: a pipe would raise a signal", function ()
    sh.tmpdir(function (dir)
      assert(core.files.mkfifo(dir .. "/fifo"))
      local stream <close> = assert(core.stream.open(assert(core.files.open(dir .. "/fifo", "r+"))))
      assert.equal("ENOTSOCK", select(2, stream:send "x").errno)
      local master, slave = assert(core.files.open_pty())
      local pty <close> = assert(core.stream.open(master))
      local other <close> = assert(core.stream.open(slave))
      assert.equal(3, pty:send("abcd", 2))
      driver.wait(function () return other:peek() == "bcd" end)
      for _, from in ipairs { 0, 6 } do
        assert.error_matches(function () pty:send("abcd", from) end, "out of range")
      end
    end)
  end)

  it("gives all whole lines at once, and what is left at its end", function ()
    with_fifo(16, function (stream, write, close)
      local into = {}
      assert.is_false(stream:batch(into))
      write "one\n\ntwo\nthr"
      driver.fired()
      assert.equal(3, stream:batch(into))
      assert.same({ "one", "", "two" }, into)
      assert.is_false(stream:batch(into))
      write "ee\nfour"
      driver.fired()
      assert.equal(1, stream:batch(into))
      assert.same({ "three", "", "two" }, into)
      write "of which the end"    -- beyond the limit
      driver.fired()
      assert.equal(1, stream:batch(into))
      assert.equal("fourof which the", into[1])
      close()
      driver.fired()
      assert.equal(1, stream:batch(into))
      assert.equal(" end", into[1])
      assert.same({ n = 1 }, table.pack(stream:batch(into)))
    end)
  end)

  describe("of a FIFO opened r+", function ()
    it("outlives its writers", function ()
      sh.tmpdir(function (dir)
        local path = dir .. "/fifo"
        assert(core.files.mkfifo(path))
        local stream <close> = assert(core.stream.open(assert(core.files.open(path, "r+"))))
        for _, text in ipairs { "first", "second" } do
          assert(io.open(path, "w")):write(text, "\n"):close()
          assert.equal(text, next_line(stream))
          driver.fired(0.01)
          assert.is_false(stream:line())
        end
      end)
    end)
  end)

  describe("of a pseudo-terminal", function ()
    it("gives what is written to it untouched, and ends when its last writer is gone", function ()
      local master, slave = assert(core.files.open_pty())
      local stream <close> = assert(core.stream.open(master))
      local process <close> = assert(spawn([[printf 'a\nb\r\n\003\004end']], { stdio = { nil, slave } }))
      slave:close()
      assert.same({ "a", "b\r", "\3\4end" }, { next_line(stream), next_line(stream), (next_line(stream)) })
      assert.is_nil((next_line(stream)))
      assert.same({ n = 1 }, table.pack(stream:line()))    -- EIO is its end, not an error
      spawn.ended(process)
    end)
  end)

  it("takes its descriptor over, also when it cannot read it", function ()
    sh.tmpdir(function (dir)
      local fd = assert(core.files.open(dir .. "/file", "w"))
      local number = fd:number()
      local stream, err = core.stream.open(fd)
      assert.is_nil(stream)
      assert.equal("EPERM", err.errno)    -- epoll takes no regular file
      assert.equal(("cannot watch descriptor %d: Operation not permitted"):format(number), err.message)
      assert.has_error(function () fd:number() end, "calling 'number' on bad self (closed descriptor)")
    end)
  end)

  it("tells the error that ended it", function ()
    sh.tmpdir(function (dir)
      assert(core.files.mkfifo(dir .. "/fifo"))
      local reader <close> = assert(core.files.open(dir .. "/fifo", "r"))
      local stream <close> = assert(core.stream.open(assert(core.files.open(dir .. "/fifo", "w"))))
      stream:fill()
      local bytes, err = stream:read()
      assert.is_nil(bytes)
      assert.equal("EBADF", err.errno)    -- it was open for writing alone
      assert.equal("cannot read: Bad file descriptor", err.message)
      assert.truthy(reader:number())
    end)
  end)

  it("is closed twice, by <close> and by the collector, and raises then", function ()
    local kept
    with_fifo(nil, function (stream) kept = stream end)
    kept:close()
    for _, method in ipairs { "key", "read", "line", "batch", "fill" } do
      assert.error_matches(function () kept[method](kept) end, "%(closed stream%)$")
    end
    local master, slave = assert(core.files.open_pty())
    slave:close()
    assert(core.stream.open(master))
    master = nil    -- luacheck: ignore
  end)

  it("refuses wrong arguments", function ()
    local fd <close> = assert(core.files.open("/dev/null", "r"))
    assert.has_error(function () core.stream.open(io.stdin) end,
      "bad argument #1 to 'open' (firecracker.fd expected, got FILE*)")
    for _, limit in ipairs { 0, -1, (1 << 30) + 1 } do
      assert.has_error(function () core.stream.open(fd, limit) end, "bad argument #2 to 'open' (limit out of range)")
    end
    assert.truthy(fd:number())    -- not taken
  end)
end)
