-- scripts/test: the last line tells the truth, however the run ends.

local sh = require "spec.support.sh"

-- Runs scripts/test on one spec of the text given; returns its output, its last line and its status.
local function run (text, environment, options)
  return sh.tmpdir(function (dir)
    local path = dir .. "/sample_spec.lua"
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    local out, status = sh("SPEC_STRICT= " .. (environment or "") .. " scripts/test " .. sh.quote(path) .. " " .. (options or ""))
    return out, out:match "([^\n]*)\n$", status
  end)
end

describe("scripts/test #scripts", function ()
  it("counts, and gives each failure and each skip a line", function ()
    local out, last, status = run [[
      it("a", function () end)
      it("b", function () error "why\nnot" end)
      it("c", function () pending "no moon" end)
      describe("d", function () before_each(function () error "early" end) it("e", function () end) end)]]
    assert.equal("1 passed, 2 failed, 1 skipped", last)
    assert.equal(1, status)
    assert.matches("\nFAIL %S+/sample_spec.lua:2: b: %S+/sample_spec.lua:2: why | not %(%-%-seed=%d+%)\n", "\n" .. out)
    assert.matches("\nskip %S+/sample_spec.lua:3: c: no moon\n", "\n" .. out)
    assert.matches("\nFAIL %S+/sample_spec.lua:4: d before_each: [^\n]*early %(%-%-seed=%d+%)\n", "\n" .. out)
  end)

  it("says in which spec a run died", function ()
    local out, last, status = run([[
      it("a", function () end)
      it("b", function () error "why" end)
      it("dies", function () os.execute "kill -9 $PPID" end)]], "", "--no-shuffle-tests")
    assert.equal("1 passed, 2 failed, 0 skipped", last)
    assert.equal(1, status)
    assert.matches("FAIL the run ended with status 137, last in: dies\n", out)
  end)

  it("is content with a skip, unless it is strict and the spec needs the machine", function ()
    local text = [[it("starts a guest #kvm", function () pending "lazy" end) it("other", function () pending "too" end)]]
    local _, last, status = run(text)
    assert.equal("0 passed, 0 failed, 2 skipped", last)
    assert.equal(0, status)
    _, last, status = run(text, "SPEC_STRICT=1")
    assert.equal("0 passed, 1 failed, 1 skipped", last)
    assert.equal(1, status)
  end)
end)
