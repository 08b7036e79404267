local core = require "firecracker.core"
local host = require "spec.support.host"
local fds = require "spec.support.fds"

local json = core.json

describe("json", function ()
  before_each(fds.remember)
  after_each(fds.compare)

  describe("encode", function ()
    local cases = {
      { "true", true }, { "false", false }, { "null", json.null },
      { "0", 0 }, { "-1", -1 }, { "2147483648", 1 << 31 }, { "1000000000000000", 10 ^ 15 },
      { "9007199254740991", (1 << 53) - 1 }, { "9223372036854775807", math.maxinteger },
      { "-9223372036854775808", math.mininteger }, { "256", 256.0 }, { "256", 2 ^ 8 }, { "0", -0.0 },
      { "0.5", 0.5 }, { "0.1", 0.1 }, { "-1.5e-07", -1.5e-7 }, { "1e+300", 1e300 }, { "0.30000000000000004", 0.1 + 0.2 },
      { '""', "" }, { '"a\\"b\\\\c\\n\\u0001"', "a\"b\\c\n\1" }, { '"zwölf"', "zwölf" }, { '"/"', "/" },
      { "{}", {} }, { "[]", json.array() }, { "[]", json.array {} },
      { "[1,2,3]", { 1, 2, 3 } }, { "[[],{}]", { json.array(), {} } }, { "[1]", json.array { 1 } },
      { '{"a":1,"b":{"c":[true,null]}}', { b = { c = { true, json.null } }, a = 1 } },
      { '{"1":"x"}', { ["1"] = "x" } }, { '{"":0}', { [""] = 0 } }, { '{"A":1,"a":2}', { a = 2, A = 1 } },
    }
    for i, case in ipairs(cases) do
      it(("writes %s (%d)"):format(case[1], i), function ()
        assert.equal(case[1], json.encode(case[2]))
      end)
    end

    it("sorts keys, whatever the order they came in", function ()
      local keys, object = {}, {}
      for i = 1, 100 do
        keys[i] = ("key%03d"):format(i * 37 % 101)
        object[keys[i]] = i
      end
      table.sort(keys)
      local at = {}
      for key in json.encode(object):gmatch '"(key%d+)"' do
        at[#at + 1] = key
      end
      assert.same(keys, at)
    end)

    it("escapes what must be, wherever it stands in a long text", function ()
      local ESCAPES <const> = { ['"'] = '\\"', ["\\"] = "\\\\", ["\1"] = "\\u0001", ["\n"] = "\\n", ["\31"] = "\\u001f" }
      for _, length in ipairs { 60, 200, 256, 300, 307, 4100, 8192 } do
        for _, c in ipairs { '"', "\\", "\1", "\n", "\31", " ", "!", "#", "[", "]", "\127", "\u{80}", "\u{ff}", "\u{10ffff}" } do
          for at = length - 17, length do
            local before, after = ("x"):rep(at - 1), ("y"):rep(length - at)
            local text = before .. c .. after
            assert.equal(('["%s%s%s"]'):format(before, ESCAPES[c] or c, after), json.encode { text })
            assert.equal(text, json.decode(json.encode(text)))
          end
        end
      end
    end)

    it("refuses what JSON cannot hold, naming its place", function ()
      local function refused (expected, value)
        local ok, message = pcall(json.encode, value)
        assert.is_false(ok)
        assert.equal("json: " .. expected, message)
      end
      refused("value: a function cannot be sent", print)
      refused("value: a userdata cannot be sent", io.stdout)
      refused("value.a.b[2].c: a thread cannot be sent", { a = { b = { 1, { c = coroutine.create(print) } } } })
      refused("value.x: a number that is not finite cannot be sent", { x = 1 / 0 })
      refused("value[1]: a number that is not finite cannot be sent", { 0 / 0 })
      refused("value.x: a string with a NUL byte cannot be sent", { x = "a\0b" })
      refused("value: a string with a NUL byte cannot be sent", { ["a\0b"] = 1 })
      refused("value.m: a table that is both a list and an object cannot be sent", { m = { 1, a = 2 } })
      refused("value: a table that is both a list and an object cannot be sent", json.array { a = 1 })
      local holes = "a table with holes, or with a key that is neither a string nor a position, cannot be sent"
      refused("value.l: " .. holes, { l = { [1] = 1, [3] = 3, [7] = 7 } })
      refused("value: " .. holes, { [0] = 1 })
      refused("value: " .. holes, { [1.5] = 1 })
      refused("value: " .. holes, { [true] = 1 })
    end)

    it("ends at two hundred levels, as a table inside itself does", function ()
      local function nested (depth)
        local value = 1
        for _ = 1, depth do
          value = { value }
        end
        return value
      end
      assert.equal(("["):rep(200) .. 1 .. ("]"):rep(200), json.encode(nested(200)))
      assert.error_matches(function () json.encode(nested(202)) end,
        "^.*: tables nested too deeply, or a table inside itself$")
      local loop = { list = {} }
      loop.list[1] = loop
      assert.error_matches(function () json.encode(loop) end,
        "json: value%.list%[1%]%.list%[1%].*: tables nested too deeply, or a table inside itself$")
    end)

    it("takes any number of tables with a metatable of another name", function ()
      local one, list = setmetatable({}, { __name = "another" }), {}
      for i = 1, 1000000 do    -- as many as Lua's stack has places
        list[i] = one
      end
      assert.equal(3000001, #json.encode(list))
    end)

    it("calls no metamethod", function ()
      local touchy = setmetatable({ a = 1 }, { __index = error, __pairs = error, __len = error, __tostring = error })
      assert.equal('{"a":1}', json.encode(touchy))
    end)

    it("writes into a buffer, in the place of what it holds", function ()
      local buffer <close> = json.buffer()
      assert.equal(buffer, json.encode({ a = ("x"):rep(5000) }, buffer))
      assert.error_matches(function () json.encode({ "a", print }, buffer) end, "a function cannot be sent")
      assert.equal(buffer, json.encode({ b = 1 }, buffer))
      assert.has_error(function () json.encode(1, {}) end,
        "bad argument #2 to 'encode' (firecracker.buffer expected, got table)")
    end)

    it("wants a value", function ()
      assert.error_matches(function () json.encode() end, "bad argument #1 to 'encode' %(value expected%)")
    end)
  end)

  describe("decode", function ()
    local cases = {
      { " true\n", true }, { "false", false }, { "null", json.null }, { '"a"', "a" }, { '"\\u00e4\\n\\/"', "ä\n/" },
      { '"\\ud83d\\ude00"', "😀" }, { '"\\\\u0000"', "\\u0000" },
      { "[]", {} }, { "{}", {} }, { "[1,[2]]", { 1, { 2 } } }, { '{"a":{"b":null}}', { a = { b = json.null } } },
      { '{"a":1,"a":2}', { a = 2 } },
    }
    for _, case in ipairs(cases) do
      it("reads " .. case[1], function ()
        assert.same(case[2], json.decode(case[1]))
      end)
    end

    it("makes integers of numbers where that is exact, and floats of the others", function ()
      for text, number in pairs {
        ["0"] = 0, ["-7"] = -7, ["256.0"] = 256, ["1e3"] = 1000, ["2147483648"] = 1 << 31, ["4294967296"] = 1 << 32,
        ["9007199254740991"] = (1 << 53) - 1, ["-9007199254740991"] = 1 - (1 << 53),
        ["9007199254740992"] = 2.0 ^ 53, ["9007199254740993"] = 2.0 ^ 53, ["18446744073709551615"] = 2.0 ^ 64,
        ["0.1"] = 0.1, ["1e300"] = 1e300, ["1e400"] = math.huge, ["-1e400"] = -math.huge,
      } do
        local value = json.decode(text)
        assert.equal(number, value, text)
        assert.equal(math.type(number), math.type(value), text)
      end
    end)

    it("refuses what is no JSON, with the place", function ()
      for text, at in pairs {
        [""] = 1, [" "] = 2, ["{"] = 2, ["[1,]"] = 4, ["tru"] = 1, ['"a'] = 2, ['{"a" 1}'] = 6, ["1 2"] = 3, ["{}x"] = 3,
        ["[1]]"] = 4, ["[1\0]"] = 3, ["\0"] = 1, ["nan"] = 1, ["'a'"] = 1, ["1\0"] = 2, ['"\\x"'] = 2, ['"\\ud800"'] = 2,
      } do
        local value, err = json.decode(text)
        assert.is_nil(value, text)
        assert.equal("json", err.code)
        assert.equal(("not valid JSON at byte %d of %d"):format(at, #text), err.message, text)
      end
    end)

    it("refuses a string that would be cut at a NUL", function ()
      local value, err = json.decode '{"a":"\\\\u0000\\u0000b"}'
      assert.is_nil(value)
      assert.equal("a string with a NUL byte (\\u0000) at byte 14 of 22", err.message)
    end)

    it("refuses what is nested too deeply, and takes what is not", function ()
      assert.truthy(json.decode(("["):rep(900) .. ("]"):rep(900)))
      assert.is_nil((json.decode(("["):rep(100000) .. ("]"):rep(100000))))
      assert.is_nil((json.decode(('{"a":'):rep(100000) .. "1" .. ("}"):rep(100000))))
    end)

    it("leaves null members out when told to, but no list's", function ()
      assert.same({ a = 1, l = { json.null, 2, { json.null }, { d = 1 } } },
        json.decode('{"a":1,"b":null,"l":[null,2,[null],{"c":null,"d":1}]}', { null = false }))
      assert.same({ b = json.null }, json.decode('{"b":null}', {}))
      assert.same({ b = json.null }, json.decode('{"b":null}', { null = true }))
    end)

    it("refuses other arguments", function ()
      assert.has_error(function () json.decode {} end, "bad argument #1 to 'decode' (string expected, got table)")
      assert.has_error(function () json.decode("1", 1) end, "bad argument #2 to 'decode' (table expected, got number)")
    end)
  end)

  it("comes back as it went: lists and objects, empty ones too, and every integer a double holds", function ()
    for _, text in ipairs { "[]", "{}", '{"a":[],"b":{},"c":[[],{}]}', "[null]", "9007199254740991", '"\\u001f"' } do
      assert.equal(text, json.encode(json.decode(text)))
    end
  end)

  describe("array", function ()
    it("marks the table it is given, which stays itself", function ()
      local list = { 1 }
      assert.equal(list, json.array(list))
      list[1] = nil
      assert.equal("[]", json.encode(list))
      assert.has_error(function () json.array "x" end, "bad argument #1 to 'array' (table expected, got string)")
    end)
  end)

  it("survives a table that the collector, at work in the middle, has changed", function ()
    local out, status = host("", [[
      local json = require "firecracker.core".json
      collectgarbage("incremental", 100, 1000, 40)   -- a step is a whole round
      for _, change in ipairs {
        function (t) for key in pairs(t) do t[key] = nil end end,
        function (t) for key in pairs(t) do t[key] = nil end t[true] = 1 end,
        function (t) for key in pairs(t) do t[key] = nil end t[1] = 1 end,
        function (t) t.key1 = nil end,
      } do
        local t = {}
        for i = 1, 40 do t["key" .. i] = i end
        collectgarbage()
        collectgarbage "stop"
        setmetatable({}, { __gc = function () change(t) end })
        collectgarbage "restart"
        print(pcall(json.encode, t))
      end
      -- a key that is out of the table while its value is written
      local t = { inner = {}, last = 1 }
      for i = 1, 40 do t.inner["key" .. i] = i end
      collectgarbage "stop"
      setmetatable({}, { __gc = function () t.last = nil end })
      collectgarbage "restart"
      print(pcall(json.encode, t))]])
    assert.equal(0, status, out)
    local changed = "false\t[^\n]+a table that has changed meanwhile cannot be sent\n"
    assert.matches("^true\t{}\n" .. changed .. changed .. "true\t{\"key10\":10,[^\n]+}\n" ..
      "false\t[^\n]+value%.last: a nil cannot be sent\n$", out)
  end)
end)
