local rate_limiter = require "firecracker.rate_limiter"

local function raises (field, expected, buckets)
  local ok, err = pcall(rate_limiter.new, buckets)
  assert.is_false(ok)
  assert.equal(("%s: %s"):format(field, expected), err.message)
  assert.equal(field, err.field)
  assert.matches("rate_limiter_spec%.lua:%d+$", err.where)
end

describe("a rate limiter", function ()
  it("takes milliseconds as Firecracker does, and seconds", function ()
    assert.same({
      bandwidth = { size = 1000, refill_time = 100, one_time_burst = 5 },
      ops = { size = 10, refill_time = 250 },
    }, rate_limiter.new {
      bandwidth = { size = 1000.0, refill_time = 100, one_time_burst = 5 },
      ops = { size = 10, refill_seconds = 0.25 },
    })
    assert.same({ ops = { size = 0, refill_time = 0 } }, rate_limiter.new { ops = { size = 0, refill_seconds = 0 } })
    assert.same({}, rate_limiter.new {})
    assert.equal("integer", math.type(rate_limiter.new { ops = { size = 1, refill_seconds = 1 } }.ops.refill_time))
  end)

  it("names what is wrong", function ()
    raises("rate_limiter", "table expected, got nil")
    raises("rate_limiter.bandwith", "unknown key (did you mean 'bandwidth'?)", { bandwith = {} })
    raises("rate_limiter.ops", "table expected, got number", { ops = 1 })
    raises("rate_limiter.ops.refil_time", "unknown key (did you mean 'refill_time'?)", { ops = { size = 1, refil_time = 1 } })
    raises("rate_limiter.ops.size", "integer expected, got nil", { ops = {} })
    raises("rate_limiter.ops.size", "at least 0 expected, got -1", { ops = { size = -1 } })
    raises("rate_limiter.ops.size", "integer expected, got 1.5", { ops = { size = 1.5 } })
    raises("rate_limiter.ops.refill_time", "integer expected, got nil", { ops = { size = 1 } })
    raises("rate_limiter.ops.refill_seconds", "not allowed beside refill_time",
      { ops = { size = 1, refill_time = 1, refill_seconds = 1 } })
    raises("rate_limiter.ops.refill_seconds", "at least 0.001 expected, or 0 for no limit, got 0.0001",
      { ops = { size = 1, refill_seconds = 0.0001 } })
    raises("rate_limiter.bandwidth", "table expected, got boolean", { bandwidth = false })
    for _, seconds in ipairs { 10000000000000000, 1e300, 18446744074 } do
      raises("rate_limiter.ops.refill_seconds", ("0 to 18446744073 expected, got %s"):format(seconds),
        { ops = { size = 1, refill_seconds = seconds } })
    end
    assert.equal(18446744073000, rate_limiter.new { ops = { size = 1, refill_seconds = 18446744073 } }.ops.refill_time)
    raises("rate_limiter.ops.refill_time", "0 to 18446744073709 expected, got 18446744073710",
      { ops = { size = 1, refill_time = 18446744073710 } })
    raises("rate_limiter.ops.refill_seconds", "finite number expected, got inf", { ops = { size = 1, refill_seconds = 1 / 0 } })
  end)
end)
