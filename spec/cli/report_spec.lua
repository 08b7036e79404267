-- What fclua says on standard error.
-- luacheck: ignore 122 (io.stderr is replaced)
local errors = require "firecracker.errors"
local report = require "firecracker.cli.report"

-- What a function writes there.
local function said (fn, ...)
  local parts, stderr = {}, io.stderr
  io.stderr = { write = function (_, ...) parts[#parts + 1] = table.concat { ... } end }
  local ok, err = pcall(fn, ...)
  io.stderr = stderr
  assert(ok, err)
  return table.concat(parts)
end

describe("a report", function ()
  it("of a failure is a line, then what is known of it", function ()
    local err = errors.new {
      code = "exited", message = "the VMM\nis gone", where = "my.lua:3", hint = "try",
      done = { "a", "b" }, undone = { "c" }, stderr = "one\ntwo\27[2J",
      undo_errors = { { name = "d", err = "no" } }, traceback = "stack traceback:\n\tx\n\ty",
    }
    local text = [[
fclua: my.lua:3: the VMM is gone
  hint    try
  done    a, b
  undone  c
  stderr  one
          two\x1b[2J
fclua: not taken back: d: no
]]
    assert.equal(text, said(report.failure, err))
    err.hint = "try"
    assert.equal(text .. "  trace   x\n          \ty\n", said(report.failure, err, true))
  end)

  it("of little is short", function ()
    local err = errors.new { code = "x", message = "no", where = "my.lua:3", done = {} }
    assert.equal("fclua: my.lua:3: no\n", said(report.failure, err))
    assert.equal("fclua: no\\x1b\n", said(report.failure, "no\27"))
  end)

  it("names no line of the launcher", function ()
    local err = errors.new { code = "x", message = "no", where = arg[0] .. ":30" }
    assert.equal("fclua: no\n", said(report.failure, err))
  end)

  it("aligns times", function ()
    assert.equal("      1.2 ms  a\n 123456.8 ms  b\n              c\n", said(function ()
      report.timed(0.00123, "a")
      report.timed(123.4568, "b")
      report.note "c"
    end))
  end)

  it("shows an event whole", function ()
    assert.equal("     10.0 ms  request a=1,2 b=x\\x1b\n", said(report.event, {
      event = "request", elapsed = 0.01, id = "x", time = 1, level = "debug", b = "x\27", a = { 1, 2 }, c = {},
    }))
  end)
end)
