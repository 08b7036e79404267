local errors = require "firecracker.errors"

local LIBRARY = debug.getinfo(errors.new, "S").source:match "^@(.*/)"

local function here ()
  local frame = debug.getinfo(2, "Sl")
  return ("%s:%d"):format(frame.source:sub(2), frame.currentline)
end

-- A function of the library: its chunk carries a path below the library's directory. `e` is the module.
local function library_function (name, body)
  return assert(load(("local e = ... ; return function () %s end"):format(body), "@" .. LIBRARY .. name))(errors)
end

describe("errors.new", function ()
  it("keeps the fields and is told apart", function ()
    local err = errors.new { code = "api", message = "no", status = 400 }
    assert.equal("api", err.code)
    assert.equal("no", err.message)
    assert.equal(400, err.status)
    assert.is_true(errors.is(err))
  end)

  for name, value in pairs { string = "x", table = {}, number = 1, ["other metatable"] = setmetatable({}, {}) } do
    it("is not mistaken for a " .. name, function ()
      assert.is_false(errors.is(value))
    end)
  end

  it("shares its metatable with the core through the registry", function ()
    local err = errors.new { code = "api", message = "no" }
    assert.equal(debug.getregistry()["firecracker.error"], getmetatable(err))
    assert.equal("firecracker.error", getmetatable(err).__name)
  end)

  it("takes over the metatable the core made", function ()
    local made = debug.getregistry()["firecracker.error"]
    local again = dofile(LIBRARY .. "errors.lua")
    assert.is_true(again.is(setmetatable({}, made)))
  end)

  it("demands a code and a message", function ()
    assert.has_error(function () errors.new { message = "x" } end, "an error needs a code")
    assert.has_error(function () errors.new { code = "x" } end, "an error needs a message")
  end)
end)

describe("err.where", function ()
  it("is the line that made the error", function ()
    local err, line = errors.new { code = "x", message = "m" }, here()
    assert.equal(line, err.where)
  end)

  it("stays what was given", function ()
    assert.equal("boot.lua:7", errors.new { code = "x", message = "m", where = "boot.lua:7" }.where)
  end)

  it("passes over frames of the library and of C", function ()
    local fail = library_function("api/client.lua", "return (e.new { code = 'x', message = 'm' })")
    local _, err = pcall(fail) local line = here()
    assert.equal(line, err.where)
  end)

  it("counts an installed flow as the user's", function ()
    local fail = library_function("flows/boot.lua", "\nreturn (e.new { code = 'x', message = 'm' })")
    assert.equal(LIBRARY .. "flows/boot.lua:2", fail().where)
  end)

  it("is the beginning of a called function that has left the stack by a tail call", function ()
    local fail = library_function("api.lua", "return nil, e.new { code = 'x', message = 'm' }")
    local line = debug.getinfo(1, "l").currentline + 1
    local _, _, err = errors.pcall(function ()
      return fail()
    end)
    assert.matches("errors_spec.lua:" .. line .. "$", err.where)
  end)

  it("is absent where the library alone is on the stack", function ()
    local fail = library_function("machine.lua", "return (e.new { code = 'x', message = 'm' })")
    assert.is_nil(coroutine.wrap(fail)().where)
  end)

  it("names a chunk that is no file as Lua does", function ()
    local err = load("return ((...).new { code = 'x', message = 'm' })", "=stdin")(errors)
    assert.equal("stdin:1", err.where)
  end)
end)

describe("an error object as text", function ()
  local cases = {
    { "position and message", { where = "a.lua:3", message = "gone" }, "a.lua:3: gone" },
    { "the hint in brackets", { where = "a.lua:3", message = "gone", hint = "start it" }, "a.lua:3: gone (start it)" },
    { "one line of several", { where = "a.lua:3", message = "one\n  two\r\nthree" }, "a.lua:3: one two three" },
    { "no escape sequence", { where = "a.lua:3", message = "\27[31m\tred\0" }, "a.lua:3: \\x1b[31m red\\x00" },
  }
  for _, case in ipairs(cases) do
    it("shows " .. case[1], function ()
      case[2].code = "x"
      assert.equal(case[3], tostring(errors.new(case[2])))
    end)
  end

  it("shows one made by the core without a position", function ()
    local metatable = debug.getregistry()["firecracker.error"]
    assert.equal("gone", tostring(setmetatable({ code = "exited", message = "gone" }, metatable)))
    assert.equal("exited", tostring(setmetatable({ code = "exited" }, metatable)))
  end)

  it("joins on either side", function ()
    local err = errors.new { code = "x", message = "gone", where = "a.lua:3" }
    assert.equal("boot: a.lua:3: gone", "boot: " .. err)
    assert.equal("a.lua:3: gone!", err .. "!")
  end)
end)

describe("errors.context", function ()
  it("prefixes the message and returns the same object", function ()
    local err = errors.new { code = "x", message = "gone" }
    assert.equal(err, errors.context(err, "PUT /drives/a"))
    assert.equal("PUT /drives/a: gone", err.message)
  end)

  it("fills an absent position and leaves a present one", function ()
    local metatable = debug.getregistry()["firecracker.error"]
    local bare = setmetatable({ code = "x", message = "m" }, metatable)
    errors.context(bare, "p") local line = here()
    assert.equal(line, bare.where)
    assert.equal("a.lua:1", errors.context(errors.new { code = "x", message = "m", where = "a.lua:1" }, "p").where)
  end)
end)

describe("errors.from", function ()
  it("leaves an error object itself", function ()
    local err = errors.new { code = "x", message = "m" }
    assert.equal(err, errors.from(err))
  end)

  it("makes code and position of a raised string", function ()
    local err = errors.from "my boot.lua:12: attempt to index a nil value"
    assert.equal("raised", err.code)
    assert.equal("my boot.lua:12", err.where)
    assert.equal("attempt to index a nil value", err.message)
  end)

  it("knows Ctrl-C, wherever it was", function ()
    for _, raised in ipairs { "interrupted!", LIBRARY .. "loop/keys.lua:3: interrupted!", "my boot.lua:12: interrupted!" } do
      local err = errors.from(raised)
      assert.same({ "interrupted", "interrupted!" }, { err.code, err.message })
      assert.is_true(errors.is_stop(err))
    end
    assert.is_true(errors.is_stop { code = "cancelled" })
    assert.equal("raised", errors.from "boot.lua:12: he was interrupted!".code)
    assert.is_false(errors.is_stop(errors.from "boot.lua:12: he was interrupted!"))
  end)

  it("keeps a position inside the library in the message", function ()
    local err = errors.from(LIBRARY .. "machine.lua:3: oops") local line = here()
    assert.equal(LIBRARY .. "machine.lua:3: oops", err.message)
    assert.equal(line, err.where)
  end)

  it("knows the library's path when Lua has shortened it", function ()
    local message = "..." .. LIBRARY:match "[^/]*/$" .. "machine.lua:3: oops"
    local err = errors.from(message) local line = here()
    assert.equal(message, err.message)
    assert.equal(line, err.where)
    assert.equal("...a/other/machine.lua:3", errors.from("...a/other/machine.lua:3: oops").where)
  end)

  it("keeps any other value", function ()
    local value = setmetatable({}, { __tostring = function () return "odd" end })
    local err = errors.from(value)
    assert.equal("odd", err.message)
    assert.equal(value, err.value)
    assert.equal("nil", errors.from(nil).message)
  end)

  it("takes a traceback once", function ()
    local err = errors.from("x", "first")
    assert.equal("first", errors.from(err, "second").traceback)
  end)
end)

describe("errors.raise", function ()
  local function raised (fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    return err
  end

  it("raises an object that reads script:line: message", function ()
    local line
    local err = raised(function ()
      line = here() errors.raise(1, { code = "config", message = "bad", field = "config.id" })
    end)
    assert.is_true(errors.is(err))
    assert.equal(line .. ": bad", tostring(err))
    assert.equal("config.id", err.field)
  end)

  it("counts levels as error does", function ()
    local line
    local function check () errors.raise(2, { code = "x", message = "bad" }) end
    local err = raised(function ()
      line = here() check()
      return nil
    end)
    assert.equal(line, err.where)
  end)

  it("passes over frames of the library", function ()
    local line
    local check = library_function("config/init.lua", "e.raise(1, { code = 'x', message = 'm' })")
    local err = raised(function ()
      line = here() check()
      return nil
    end)
    assert.equal(line, err.where)
  end)
end)

describe("errors.pcall", function ()
  it("hands through what the function takes and returns", function ()
    assert.same({ true, 2, nil, 4, n = 4 }, table.pack(errors.pcall(function (...) return ... end, 2, nil, 4)))
  end)

  it("makes an object with its traceback of what was raised", function ()
    local line
    local function culprit () line = here() error "bad" end
    local ok, err = errors.pcall(culprit)
    assert.is_false(ok)
    assert.equal("bad", err.message)
    assert.equal(line, err.where)
    assert.matches("^stack traceback:\n", err.traceback)
    assert.is_truthy(err.traceback:find(line, 1, true))
  end)

  it("takes what is no function for a failure", function ()
    local ok, err = errors.pcall(nil)
    assert.is_false(ok)
    assert.equal("attempt to call a nil value", err.message)
  end)

  it("lets the function yield", function ()
    local resume = coroutine.wrap(function () return errors.pcall(function () return coroutine.yield() end) end)
    resume()
    assert.same({ true, 5 }, { resume(5) })
  end)
end)

describe("errors.try", function ()
  local refused = errors.new { code = "api", message = "refused" }

  for name, fn in pairs {
    ["nothing returned"] = function () end,
    ["true"] = function () return true end,
    ["any true value"] = function () return {} end,
    ["a true value before a second one"] = function () return 1, "x" end,
  } do
    it("takes for success: " .. name, function ()
      assert.same({ true, n = 1 }, table.pack(errors.try(fn)))
    end)
  end

  for name, first in pairs { ["nil"] = "nil", ["false"] = false } do
    it("takes for failure: " .. name .. ", err", function ()
      if first == "nil" then first = nil end
      local ok, err, raised = errors.try(function () return first, refused end)
      assert.is_nil(ok)
      assert.equal(refused, err)
      assert.is_nil(raised)
    end)
  end

  it("makes an object of a returned text", function ()
    local _, err = errors.try(function () return nil, "no such file" end)
    assert.equal("failed", err.code)
    assert.equal("no such file", err.message)
  end)

  it("takes false alone for failure", function ()
    local ok, err = errors.try(function () return false end)
    assert.is_nil(ok)
    assert.equal("failed", err.code)
    assert.equal("returned false", err.message)
  end)

  it("says when it was raised", function ()
    local ok, err, raised = errors.try(error, "bad")
    assert.is_nil(ok)
    assert.equal("raised", err.code)
    assert.is_true(raised)
  end)
end)
