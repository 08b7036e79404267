-- fclua check: shows a flow's steps and starts nothing.
local bed = require "spec.support.bed"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"
local terminal = require "spec.support.terminal"

local function check (script, words)
  local out, status
  sh.tmpdir(function (dir)
    local path = dir .. "/my.lua"
    local file <close> = assert(io.open(path, "w"))
    file:write(script)
    file:flush()
    out, status = sh(("scripts/fclua check %s %s"):format(path, words or ""))
    out = out:gsub(dir:gsub("%p", "%%%0"), "DIR")
  end)
  return out, status
end

describe("fclua check", function ()
  it("numbers the default flow's steps and says where they are", function ()
    local out, status = sh "scripts/fclua check"
    assert.equal(0, status)
    assert.matches("^flow %S*flows/boot.lua\nvalidation\n", out)
    assert.matches("\n   1  validate.NetworkCfg +%S+handlers/validate.lua:%d+\n", out)
    assert.matches("\n  18  fcinit.StartInstance +%S+handlers/fcinit.lua:%d+\n$", out)
  end)

  it("hands the script its arguments and runs no step", function ()
    local out, status = check([[
local words = ...
local fc = require "firecracker"
return fc.flow { fcinit = { fc.handler(words[1] .. words[2], function () error "ran" end) } }
]], "-- a --b")
    assert.equal("flow DIR/my.lua\nvalidation\nfcinit\n   1  a--b  DIR/my.lua:3\n", out)
    assert.equal(0, status)
  end)

  for name, case in pairs {
    ["a syntax error"] = { "return return", "DIR/my.lua:1: unexpected symbol near 'return'" },
    ["a mistyped step"] = { 'return require "firecracker".flow "boot":remove "fcinit.StartVM"',
      "DIR/my.lua:1: no step 'fcinit.StartVM' (did you mean 'fcinit.StartVMM'?)" },
    ["a new global"] = { "steps = {}", "DIR/my.lua:1: assignment to global 'steps' (make it local)" },
    ["a script that returns nothing"] = { "", "DIR/my.lua: a flow expected, the script returned nil" },
  } do
    it("refuses " .. name .. " at its line", function ()
      local out, status = check(case[1])
      assert.equal(("fclua: %s\n"):format(case[2]), out)
      assert.equal(2, status)
    end)
  end

  it("refuses a name that is none", function ()
    local out, status = sh "scripts/fclua check bot"
    assert.equal("fclua: no flow 'bot'\n" ..
      "  hint    a script of your own is named by a path with a slash, or ending in .lua\n", out)
    assert.equal(2, status)
  end)

  it("shows the traceback with --debug", function ()
    assert.matches("\n  trace   .*my.lua:1", (check("error 'no'", "--debug")))
    assert.not_matches("trace", (check "error 'no'"))
  end)

  for _, command in ipairs { "check", "run" } do
    it(("ends with 130 and without a word at Ctrl-C while the script runs, as of %s"):format(command), function ()
      local path = bed.write(bed.scratch "slow.lua", 'print "up" require "firecracker".sleep(60)')
      finally(function () os.remove(path) end)
      terminal(("exec env --default-signal scripts/fclua %s %s"):format(command, path), function (t)
        t:expect "up\r\n"
        t.process:signal "INT"
        assert.same({ "exited", 130 }, { spawn.ended(t.process) })
        assert.equal("", t:rest())
      end)
    end)
  end
end)
