local logs = require "firecracker.logs"

local SEED <const> = math.tointeger(os.getenv "SEED") or os.time()

describe("a log line", function ()
  local TIME <const> = "2026-11-23T17:33:06.856322055"

  -- text behind the time; the record, whose message is "m" unless it says otherwise
  for _, case in ipairs {
    -- from release 1.5 on
    { " [vm1:main] m", { id = "vm1", thread = "main" } },
    { " [vm1:fc_vcpu 0:WARN] m", { id = "vm1", thread = "fc_vcpu 0", level = "warn" } },
    { " [vm1:fc_api:INFO:src/firecracker/src/api_server/parsed_request.rs:163] m",
      { id = "vm1", thread = "fc_api", level = "info", file = "src/firecracker/src/api_server/parsed_request.rs", line = 163,
        module = "firecracker::api_server::parsed_request" } },
    { " [vm1:main:src/vmm/src/arch/x86_64/mod.rs:467] m",
      { id = "vm1", thread = "main", file = "src/vmm/src/arch/x86_64/mod.rs", line = 467, module = "vmm::arch::x86_64" } },
    { " [anonymous-instance:main:ERROR:?:?] m", { id = "anonymous-instance", thread = "main", level = "error", file = "?" } },
    { " [vm1:main:TRACE:/root/.cargo/log/lib.rs:1] m",
      { id = "vm1", thread = "main", level = "trace", file = "/root/.cargo/log/lib.rs", line = 1 } },
    -- releases 1.0 to 1.4: no id where there is none
    { " [main:ERROR:src/vmm/src/lib.rs:12] m",
      { thread = "main", level = "error", file = "src/vmm/src/lib.rs", line = 12, module = "vmm" } },
    { " [main] m", { thread = "main" } },
    { " [a:b:DEBUG:src/mmds/src/lib.rs] m", { id = "a", thread = "b", level = "debug", file = "src/mmds/src/lib.rs", module = "mmds" } },
    -- messages
    { " [vm1:main] ", { id = "vm1", thread = "main", message = "" } },
    { " [vm1:main]", { id = "vm1", thread = "main", message = "" } },
    { " [vm1:main] [a] b] \xff\0\x1b", { id = "vm1", thread = "main", message = "[a] b] \xff\0\x1b" } },
  } do
    it("is taken apart:" .. case[1]:gsub("%c", "?"):gsub("\xff", "?"), function ()
      case[2].time, case[2].message = TIME, case[2].message or "m"
      assert.same(case[2], logs.parse(TIME .. case[1]))
      assert.same(case[2], logs.parse(TIME .. case[1]))    -- as one whose minute and origin are known
    end)
  end

  it("of another shape is a message", function ()
    for _, line in ipairs { "", "Running Firecracker v1.0.0", "2026-11-23T17:33:06.856322055", TIME .. " [vm1:main m",
                            "2026-11-23T17:33:06 [vm1:main] m", "x" .. TIME .. " [vm1:main] m", "2026-11-23T17:33:0x.856322055 [a:b] m" } do
      assert.same({ message = line }, logs.parse(line))
    end
  end)

  it("without a time continues the line before", function ()
    local read = logs.reader()
    assert.same({ message = "first" }, read "first")
    read(TIME .. " [vm1:fc_api:ERROR] Firecracker panicked at src/x.rs:1:2:")
    for _, text in ipairs { "called `Result::unwrap()`", "   0: std::backtrace" } do
      assert.same({ time = TIME, id = "vm1", thread = "fc_api", level = "error", message = text, continued = true }, read(text))
    end
    assert.is_nil(read(TIME .. " [vm1:main] on").continued)
  end)

  it("that a full FIFO cut, and the one behind it, are two", function ()
    local read = logs.reader()
    local cut = TIME .. " [vm1:fc_api:INFO] " .. ("x"):rep(5000)
    local first, second = read(cut .. TIME .. " [vm1:main:WARN] on")
    assert.equal(("x"):rep(5000), first.message)
    assert.same({ time = TIME, id = "vm1", thread = "main", level = "warn", message = "on" }, second)
    first, second = read(TIME .. " [vm1:main] says " .. TIME .. " [a] b")    -- short: written at once, so all of it is one
    assert.equal("says " .. TIME .. " [a] b", first.message)
    assert.is_nil(second)
  end)

  it(("never makes the parser raise: mutations, seed %d"):format(SEED), function ()
    math.randomseed(SEED)
    local whole = TIME .. " [vm1:fc_api:INFO:src/firecracker/src/api_server/mod.rs:115] Total previous API call duration: 109 us."
    local read = logs.reader()
    for _ = 1, 5000 do
      local at, n = math.random(#whole), math.random(0, 6)
      local line = whole:sub(1, at - 1) .. string.char(math.random(0, 255)):rep(n) .. whole:sub(at + math.random(0, 40))
      local record = read(line)
      assert.is_string(record.message)
      if record.time and not record.continued then
        assert.equal(line:sub(1, #record.time), record.time)
        assert.equal(record.message, line:sub(#line - #record.message + 1))
      elseif line ~= record.message then
        assert.equal(line, record.message)
      end
    end
  end)
end)

describe("a stream of the console's and the log's bytes", function ()
  local LINE <const> = "2026-11-23T17:33:06.856322055 [vm1:main:INFO] on"

  -- What comes out of pieces that go in.
  local function split (pieces)
    local console, lines = {}, {}
    local feed = logs.split {
      console = function (bytes) console[#console + 1] = bytes end,
      log = function (line, record) lines[#lines + 1] = line .. "|" .. record.message end,
    }
    for _, piece in ipairs(pieces) do
      feed(piece)
    end
    feed()
    return table.concat(console), lines
  end

  local MIXED <const> = "boot\r\nlog" .. LINE .. "\nin: 2026-11\r\n" .. LINE .. "\r\n" .. LINE .. "\n12"
  local CONSOLE <const>, LINES <const> = "boot\r\nlogin: 2026-11\r\n12", { LINE .. "|on", LINE .. "|on", LINE .. "|on" }

  it("is told apart, even in the middle of a guest's line", function ()
    assert.same({ CONSOLE, LINES }, { split { MIXED } })
  end)

  it("is told apart wherever it is cut; at most a year's digits of a log line go to the console", function ()
    local pieces = {}
    for i = 1, #MIXED do
      pieces[i] = MIXED:sub(i, i)
      local console, lines = split { MIXED:sub(1, i), MIXED:sub(i + 1) }
      assert.same(LINES, lines, i)
      assert.equal(CONSOLE, (console:gsub("^(boot\r\nlog)2%d?%d?%d?", "%1"):gsub("\n2%d?%d?%d?12$", "\n12")
        :gsub("(11\r\n)2%d?%d?%d?12$", "%112")), i)
    end
    local console, lines = split(pieces)
    assert.same(LINES, lines)
    assert.equal("boot\r\nlog2026in: 2026-11\r\n2026202612", console)
  end)

  it("holds no prompt back", function ()
    local console = ""
    local feed = logs.split { console = function (bytes) console = console .. bytes end }
    for _, text in ipairs { "login: ", "answer 42", "2026", "a" } do
      feed(text)
    end
    assert.equal("login: answer 422026a", console)
    feed "2026-11-23"
    assert.equal("login: answer 422026a", console)
    feed "!"
    assert.equal("login: answer 422026a2026-11-23!", console)
  end)

  it("keeps at most what a line may have", function ()
    local n, lines = 0, 0
    local feed = logs.split { console = function (bytes) n = n + #bytes end, log = function () lines = lines + 1 end }
    feed(LINE)
    for _ = 1, 100 do
      feed(("x"):rep(4096))
    end
    assert.equal(1, lines)
    assert.is_true(n > 100 * 4096 - 70000)
  end)

  it(("loses no byte: random text, seed %d"):format(SEED), function ()
    math.randomseed(SEED)
    local alphabet = { "2", "0", "2026-", "-", "T", ":", "2026-11-23T17:33:06.856322055", " [", "\n", "a", "\r\n", LINE, "\xff" }
    for _ = 1, 2000 do
      local pieces = {}
      for i = 1, math.random(12) do
        pieces[i] = alphabet[math.random(#alphabet)]
      end
      local text, bytes = table.concat(pieces), 0
      local feed = logs.split { console = function (part) bytes = bytes + #part end, log = function (line) bytes = bytes + #line end }
      for _, piece in ipairs(pieces) do
        feed(piece)
      end
      feed()
      assert.is_true(bytes >= #text - 3 * select(2, text:gsub("[\r\n]", "")), text)
    end
  end)
end)
