local core = require "firecracker.core"
local fds = require "spec.support.fds"

describe("a descriptor", function ()
  before_each(fds.remember)
  after_each(fds.compare)

  it("shows its number and prints with it", function ()
    local fd <close> = assert(core.files.open("/dev/null", "r"))
    assert.equal("/dev/null", fds.all()[fd:number()])
    assert.equal(("<fd %d>"):format(fd:number()), tostring(fd))
  end)

  it("is closed with its handle: by close, twice, and by <close>", function ()
    local kept = assert(core.files.open("/dev/null", "r"))
    local number = kept:number()
    kept:close()
    assert.is_nil(fds.all()[number])
    do
      local again <close> = assert(core.files.open("/dev/null", "r"))
      kept:close()    -- the number is another's now
      assert.equal(number, again:number())
      assert.equal("/dev/null", fds.all()[number])
    end
    assert.is_nil(fds.all()[number])
    assert.equal("<fd closed>", tostring(kept))
    assert.has_error(function () kept:number() end, "calling 'number' on bad self (closed descriptor)")
  end)

  it("is closed by the collector", function ()
    for _ = 1, 20 do
      assert(core.files.open("/dev/null", "r"))
    end
    fds.compare()
  end)

  it("is no other handle", function ()
    local fd <close> = assert(core.files.open("/dev/null", "r"))
    assert.has_error(function () fd.number(io.stdin) end,
      "bad argument #1 to 'number' (firecracker.fd expected, got FILE*)")
  end)
end)
