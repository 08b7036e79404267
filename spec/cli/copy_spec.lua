-- fclua init: the default flow as a file of the user's.
local sh = require "spec.support.sh"

local function read (path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local here = sh "pwd":match "[^\n]+"
local fclua = sh.quote(here .. "/scripts/fclua")
local default = read "scripts/boot.lua"

describe("fclua init", function ()
  it("copies the default flow, which then can be run", function ()
    sh.tmpdir(function (dir)
      local out, status = sh(("cd %s && %s init"):format(dir, fclua))
      assert.equal("./boot.lua: the default flow; run it by: fclua run ./boot.lua\n", out)
      assert.equal(0, status)
      assert.equal(default, read(dir .. "/boot.lua"))
      assert.equal(0, (select(2, sh(("%s check %s/boot.lua"):format(fclua, dir)))))
    end)
  end)

  it("copies the flow of a restore", function ()
    sh.tmpdir(function (dir)
      local out, status = sh(("cd %s && %s init --flow restore"):format(dir, fclua))
      assert.equal('./restore.lua: the flow of a restore; fc.restore(config, "./restore.lua") runs it\n', out)
      assert.equal(0, status)
      assert.equal(read "scripts/restore.lua", read(dir .. "/restore.lua"))
      assert.matches("fcinit.LoadSnapshot", (sh(("%s check %s/restore.lua"):format(fclua, dir))))
    end)
  end)

  it("writes where it is told, and to standard output", function ()
    sh.tmpdir(function (dir)
      assert.equal(0, (select(2, sh(("%s init %s/mine.lua"):format(fclua, dir)))))
      assert.equal(default, read(dir .. "/mine.lua"))
    end)
    assert.equal(default, (sh "scripts/fclua init -"))
  end)

  it("says how to run it, whatever its name", function ()
    sh.tmpdir(function (dir)
      for name, shown in pairs { mine = "./mine", ["mine.lua"] = "mine.lua" } do
        local out = sh(("cd %s && %s init %s"):format(dir, fclua, name))
        assert.equal(("%s: the default flow; run it by: fclua run %s\n"):format(shown, shown), out)
        assert.equal(0, (select(2, sh(("cd %s && %s check %s"):format(dir, fclua, shown)))))
      end
    end)
  end)

  it("leaves alone what is there, a dangling link included", function ()
    sh.tmpdir(function (dir)
      for _, prepare in ipairs { "echo mine >boot.lua", "ln -s elsewhere boot.lua" } do
        local out, status = sh(("cd %s && rm -f boot.lua && %s && %s init"):format(dir, prepare, fclua))
        assert.matches("^fclua: .*%./boot%.lua.*exists", out)
        assert.equal(1, status)
        assert.is_nil(io.open(dir .. "/elsewhere"))
      end
    end)
  end)

  it("leaves no part of a flow where the rest finds no room", function ()
    sh.tmpdir(function (dir)
      local out, status = sh(("cd %s && trap '' XFSZ && ulimit -f 1 && %s init"):format(dir, fclua))
      assert.equal("", (sh("ls -A " .. dir)))
      assert.equal("fclua: ./boot.lua: File too large\n", out)
      assert.equal(1, status)
    end)
  end)

  it("tells of a write that fails", function ()
    local out, status = sh "scripts/fclua init - >/dev/full"
    assert.equal("fclua: standard output: No space left on device\n", out)
    assert.equal(1, status)
  end)
end)
