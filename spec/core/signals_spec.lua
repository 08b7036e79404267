local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local sh = require "spec.support.sh"

describe("signals", function ()
  local pid = io.open "/proc/self/stat":read "n"

  local function kill (signal)
    sh(("kill -%s %d"):format(signal, pid))
  end

  local function status (field)
    return io.open "/proc/self/status":read "a":match(field .. ":%s*(%x+)")
  end

  local blocked, ignored, caught
  before_each(function ()
    fds.remember()
    blocked, ignored, caught = status "SigBlk", status "SigIgn", status "SigCgt"
  end)
  after_each(function ()
    driver.fired()
    fds.compare()
    assert.same({ blocked, ignored, caught }, { status "SigBlk", status "SigIgn", status "SigCgt" })
  end)

  it("come by name and number, the lowest first, each once", function ()
    local signals <close> = assert(core.signals.open { "USR1", "SIGUSR2", 1 })
    assert.is_nil(signals:next())
    kill "USR2"
    kill "HUP"
    kill "USR1"
    kill "USR1"
    assert.same({ "HUP", 1 }, { signals:next() })
    assert.same({ "USR1", 10 }, { signals:next() })
    assert.same({ "USR2", 12 }, { signals:next() })
    assert.is_nil(signals:next())
  end)

  it("are found by name and number", function ()
    for _, signal in ipairs { "TERM", "SIGTERM", 15 } do
      assert.same({ "TERM", 15 }, { core.signals.find(signal) })
    end
    assert.same({ "40", 40 }, { core.signals.find(40) })
    for _, signal in ipairs { "TURM", 0, 65, 1.5, true } do
      assert.is_false((pcall(core.signals.find, signal)))
    end
  end)

  it("fire the key", function ()
    local signals <close> = assert(core.signals.open { "USR1" })
    assert.same({}, driver.fired())
    kill "USR1"
    assert.same({ signals:key() }, driver.fired())
    assert.equal("USR1", (signals:next()))
  end)

  it("that nobody takes let the reactor sleep", function ()
    local signals <close> = assert(core.signals.open { "USR1" })
    kill "USR1"
    driver.fired()
    assert.is_true(driver.steps(function () driver.fired(0.02) end) < 5)
    assert.equal("USR1", (signals:next()))
  end)

  it("are blocked while they are open, those alone, and no handler is set", function ()
    local before = tonumber(status "SigBlk", 16)
    local signals <close> = assert(core.signals.open { "USR1", "TERM" })
    assert.truthy(signals)
    assert.equal(before | 1 << 9 | 1 << 14, tonumber(status "SigBlk", 16))
    assert.equal(caught, status "SigCgt")
  end)

  it("that were blocked before stay so", function ()
    local outer <close> = assert(core.signals.open { "USR1" })
    local inner = assert(core.signals.open { "USR1", "USR2" })
    inner:close()
    inner:close()
    assert.equal(1 << 9, tonumber(status "SigBlk", 16) & (1 << 9 | 1 << 11))
    assert.is_nil(outer:next())
  end)

  it("are refused by what is wrong with them", function ()
    local function refuses (message, list)
      assert.has_error(function () core.signals.open(list) end, ("bad argument #1 to 'open' (%s)"):format(message))
    end
    refuses("no such signal: 'INTERRUPT'", { "INT", "INTERRUPT" })
    refuses("signal expected, got table", { {} })
    refuses("no such signal: 99.0", { 99 })
    refuses("table expected, got string", "INT")
    local closed = assert(core.signals.open { "USR1" })
    closed:close()
    assert.has_error(function () closed:next() end, "calling 'next' on bad self (closed signals)")
    assert.has_error(function () closed:key() end, "calling 'key' on bad self (closed signals)")
  end)
end)
