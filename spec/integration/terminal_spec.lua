-- Programs on a terminal that is theirs for a while: `fclua run`, and a console attached by hand.
local bed = require "spec.support.bed"
local leaks = require "spec.support.leaks"
local lfs = require "lfs"
local sh = require "spec.support.sh"
local terminal = require "spec.support.terminal"

local ROOT <const> = lfs.currentdir()

describe("#kvm on a terminal", function ()
  leaks.check(before_each, after_each, teardown)

  local function environment ()
    local list = {}
    for _, name in ipairs { "PATH", "FIRECRACKER", "LUA_PATH", "LUA_CPATH", "TMPDIR" } do
      local value = os.getenv(name)
      list[#list + 1] = value and name .. "=" .. value
    end
    return list
  end

  local function await_raw (t)
    bed.eventually(function () return t:mode() ~= t.sane end, "the terminal in raw mode", 30)
  end

  -- A script with the prelude of all of them, on a terminal.
  local function script (body, fn)
    local path = bed.write(bed.scratch "script.lua", ([[
      local fc = require "firecracker"
      local function boot ()
        local vm = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q }, console = "pty", timeouts = { shutdown = 0 } })
        return vm, vm:console()
      end
      local function say (...)
        print(...)
        io.stdout:flush()
      end
      %s]]):format(leaks.run_dir, bed.guest "echo", body))
    finally(function () os.remove(path) end)
    terminal({ "/usr/bin/env", "--default-signal", "lua5.4", path }, fn, environment())
  end

  -- `fclua run` of a guest that runs, and hears what is typed.
  local function fclua (guest, fn)
    local flow = bed.write(bed.scratch "flow.lua", ([[
      local fc = require "firecracker"
      return fc.flow "boot":prepend("fcinit", function (vm)
        vm.config.run_dir, vm.config.timeouts.shutdown = %q, 0.2
      end)]]):format(leaks.run_dir))
    finally(function () os.remove(flow) end)
    terminal(("exec env --default-signal %s/scripts/fclua run %s --kernel %s"):format(ROOT, flow, bed.guest(guest)),
      function (t)
        t:expect "StartInstance\r?\n"
        await_raw(t)
        fn(t)
      end, environment())
  end

  it("fclua run hands what is typed to the guest, and puts the terminal back", function ()
    fclua("echo", function (t)
      t:type "typed\4\26\28\r\n"
      t:expect "typed\4\26\28\r\r\n"
      t:type "\29\29\29\3\n"
      t:expect "^\29\3\r\n"
      t:type "q"
      t:expect "the guest ended"
      assert.same({ "exited", 0 }, { t:ended() })
      assert.equal(t.sane, t:mode())
    end)
  end)

  it("fclua run stops the machine at Ctrl-C, and kills it at the second", function ()
    fclua("idle", function (t)
      t:type "\3"
      t:expect "Ctrl%-C: stopping; the next signal kills\r\n"
      t:expect "ended by signal 15"
      assert.same({ "exited", 130 }, { t:ended() })
      assert.equal(t.sane, t:mode())
    end)
    fclua("idle", function (t)
      t:type "\3\3"
      t:expect "Ctrl%-C: killing\r\n"
      t:expect "ended by signal 9"
      assert.same({ "exited", 130 }, { t:ended() })
    end)
  end)

  it("fclua run hears Ctrl-C, though the guest takes nothing of what is typed", function ()
    fclua("idle", function (t)
      for _ = 1, 40 do
        t:type(("x"):rep(1000))
      end
      t:type "\3"
      t:expect "Ctrl%-C: stopping"
      assert.same({ "exited", 130 }, { t:ended() }, t:rest())
    end)
  end)

  for _, name in ipairs { "INT", "TERM", "HUP" } do
    it("fclua run puts the terminal back after SIG" .. name, function ()
      fclua("idle", function (t)
        t.process:signal(name)
        t:expect("SIG" .. name .. ": stopping")
        t:ended()
        assert.equal(t.sane, t:mode())
      end)
    end)
  end

  it("fclua run in the background leaves the terminal alone, and is not stopped by it", function ()
    local flow = bed.write(bed.scratch "flow.lua", ([[
      return require "firecracker".flow "boot":prepend("fcinit", function (vm) vm.config.run_dir = %q end)]]):format(leaks.run_dir))
    finally(function () os.remove(flow) end)
    local out, status = sh(([[python3 -SE - <<'PY'
import os, pty, sys, termios
pid, master = pty.fork()
if pid == 0:                            # leads the session; its terminal's job in the foreground is itself
    before = termios.tcgetattr(0)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.execvp("scripts/fclua", ["fclua", "run", "%s", "--kernel", "%s"])
    _, status = os.waitpid(child, os.WUNTRACED)
    same = termios.tcgetattr(0) == before
    os._exit(99 if os.WIFSTOPPED(status) else 98 if not same else os.waitstatus_to_exitcode(status))
text = b""
try:
    while True: text += os.read(master, 65536)
except OSError: pass
print(text.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY]]):format(flow, bed.guest "hello"))
    assert.equal(0, status, out)
    assert.matches("hello from the guest", out)
  end)

  it("fclua run takes a pipe and a file for input, whole", function ()
    for _, how in ipairs { "printf 'a\\003\\035b\\nq' | %s", "%s <<'END'\na\3\29b\nq\nEND" } do
      local out, status = sh(how:format(("scripts/fclua run --kernel %s 2>/dev/null"):format(bed.guest "echo")))
      assert.equal("a\3\29b\n", out)
      assert.equal(0, status)
    end
  end)

  it("a console is attached and detached by its escape key, and by one of the user's", function ()
    script([[
      local vm <close>, console = boot()
      say("back", (console:attach()))
      console:write "kept for later\n"
      say("read", console:expect "kept (.-)\n")
      say("back", (console:attach { escape = "Z" }))
      say("back", (console:attach()), vm:wait())]], function (t)
      await_raw(t)
      t:type "one\3\n"
      t:expect "one\3\r\n"
      t:type "\29"
      t:expect "back\tdetached\r\n"
      t:expect "read\tfor later\r\n"
      await_raw(t)
      t:type "\29\n"
      t:expect "\29\r\n"
      t:type "Z"
      t:expect "back\tdetached\r\n"
      await_raw(t)
      t:type "q"
      t:expect "back\tended\t<exited 0>\r\n"
      assert.same({ "exited", 0 }, { t:ended() })
      assert.equal(t.sane, t:mode())
    end)
  end)

  it("the terminal is put back when the script fails or is interrupted while it is attached", function ()
    for _, how in ipairs {
      "error 'on the way'", "os.execute('(sleep 0.1; kill -INT ' .. io.open('/proc/self/stat'):read 'n' .. ') >/dev/null 2>&1 &')",
    } do
      script(([[
        local vm <close>, console = boot()
        fc.run(console.attach, console, { output = function () %s end })]]):format(how), function (t)
        await_raw(t)
        t:type "\n"
        local _, status = t:ended()
        assert.is_true(status > 0)
        assert.equal(t.sane, t:mode())
      end)
    end
  end)
end)
