local core = require "firecracker.core"
local fds = require "spec.support.fds"
local lfs = require "lfs"
local sh = require "spec.support.sh"

describe("a terminal in raw mode", function ()
  before_each(fds.remember)
  after_each(fds.compare)

  -- body(slave, mode): a terminal in its usual mode, and what stty says of it.
  local function with_terminal (body)
    local master <close>, slave = assert(core.files.open_pty())
    local _ <close> = slave
    local path = lfs.symlinkattributes("/proc/self/fd/" .. slave:number(), "target")
    sh("stty sane -F " .. path)
    body(slave:number(), function () return (sh("stty -a -F " .. path)) end)
    assert.is_truthy(master)
  end

  it("gives keys as they are, still begins lines at the left, and is put back", function ()
    with_terminal(function (number, mode)
      local before = mode()
      do
        local terminal <close> = assert(core.terminal.raw(number))
        for _, word in ipairs { "-icanon", "-echo", "-isig", "-ixon", "-icrnl" } do
          assert.is_truthy(mode():find(word, 1, true), word)
        end
        assert.is_nil(mode():find "%-opost")
        assert.is_truthy(terminal)
      end
      assert.equal(before, mode())
      local terminal = assert(core.terminal.raw(number))
      assert.not_equal(before, mode())
      terminal:close()
      terminal:close()
      assert.equal(before, mode())
      assert(core.terminal.raw(number))
      collectgarbage()
      assert.equal(before, mode())
    end)
  end)

  it("is told from what is none", function ()
    with_terminal(function (number) assert.is_true(core.terminal.is(number)) end)
    local null <close> = assert(core.files.open("/dev/null", "r"))
    assert.is_false(core.terminal.is(null:number()))
    assert.is_false(core.terminal.is(9999))
    assert.error_matches(function () core.terminal.is(-1) end, "no descriptor")
  end)

  it("is refused for what is none", function ()
    local null <close> = assert(core.files.open("/dev/null", "r"))
    assert.equal("ENOTTY", select(2, core.terminal.raw(null:number())).errno)
    assert.equal("EBADF", select(2, core.terminal.raw(9999)).errno)
    assert.error_matches(function () core.terminal.raw(-1) end, "no descriptor")
  end)
end)
