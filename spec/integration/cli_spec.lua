-- fclua run on the real VMM: what it prints where, how it ends, what signals do.
local bed = require "spec.support.bed"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

-- A copy of the default flow, as a user edits it: in the specs' own run directory, and in a hurry.
local FLOW <const> = [[
local fc = require "firecracker"
local words = ...
return fc.flow "boot":prepend("fcinit", fc.handler("spec.Setup", function (vm)
  vm.config.run_dir = %q
  vm.config.timeouts.shutdown = tonumber(words[1] or 0)
end))%s
]]

local function read (path)
  local file <close> = io.open(path)
  return file and file:read "a" or ""
end

-- Shell round a run. `$fclua` starts it; `start` does so in the background, as `$p`,
-- and returns when the guest runs, or a word is in $err; `$out` and `$err` are files.
local DRIVER <const> = [[
dir=%s; out=$dir/out; err=$dir/err
fclua="scripts/fclua run $dir/flow.lua --kernel %s %s -- %s"
await() { i=0; until grep -q -- "$1" $2; do i=$((i+1)); [ $i -lt 1000 ] || exit 99; sleep 0.01; done; }
trap 'kill $p 2>/dev/null' EXIT
start() { $fclua >$out 2>$err & p=$!; await "${1:-StartInstance}" $err; }
%s
]]

-- Run fclua with a flow and a guest; what it wrote, what the driver wrote, and the driver's status.
local function run (options)
  local out, err, said, status
  sh.tmpdir(function (dir)
    bed.write(dir .. "/flow.lua", FLOW:format(leaks.run_dir, options.edit or ""))
    bed.write(dir .. "/driver", DRIVER:format(dir, bed.guest(options.guest or "hello"), options.flags or "",
      options.words or "", options.driver or "$fclua >$out 2>$err"))
    said, status = sh("env --default-signal bash " .. dir .. "/driver")   -- the specs may run under nohup themselves
    out, err = read(dir .. "/out"), read(dir .. "/err"):gsub(dir:gsub("%p", "%%%0"), "DIR")
  end)
  return { out = out, err = err, said = said, status = status }
end

describe("#kvm fclua run", function ()
  leaks.check(before_each, after_each, teardown)

  after_each(function ()                -- the VMMs are children of children
    assert.equal("", (sh(("grep -al '[/]%s' /proc/[0-9]*/cmdline 2>/dev/null || true"):format(leaks.run_dir:sub(2)))))
  end)

  it("gives the guest's bytes to standard output, a line a step to standard error", function ()
    local ran = run {}
    assert.equal(0, ran.status, ran.err)
    assert.equal("hello from the guest\n", ran.out)
    local names = {}
    for line in ran.err:gmatch "[^\n]+" do
      names[#names + 1] = line:match "^ +%d+%.%d ms  (%S.*)$" or "? " .. line
    end
    assert.equal("validate.NetworkCfg validate.Cfg spec.Setup fcinit.SetupNetwork fcinit.SetupKernelArgs " ..
      "fcinit.StartVMM fcinit.CreateLogFilesHandler fcinit.BootstrapLogging fcinit.CreateMachine " ..
      "fcinit.ConfigureCPU fcinit.CreateBootSource fcinit.ConfigureSerial fcinit.AttachDrives fcinit.AttachPmem " ..
      "fcinit.CreateNetworkInterfaces fcinit.AddVsocks fcinit.AddBalloon fcinit.AddEntropy fcinit.AddMemoryHotplug " ..
      "fcinit.ConfigMmds fcinit.StartInstance the guest ended total", table.concat(names, " "))
  end)

  it("runs the default flow in the default run directory", function ()
    local out, status = sh(("scripts/fclua run --kernel %s 2>/dev/null"):format(bed.guest "hello"))
    assert.equal("hello from the guest\n", out)
    assert.equal(0, status)
  end)

  it("keeps lines whole where both go the same way", function ()
    local many = [[:append("fcinit", (function ()
      local list = {}
      for i = 1, 200 do
        list[i] = fc.handler("spec.Yield" .. i, function () fc.sleep(0) end)
      end
      return table.unpack(list)
    end)())]]
    assert.matches("\nhello from the guest\n", run { edit = many, driver = "$fclua 2>&1" }.said)
  end)

  it("shows requests with --debug", function ()
    assert.matches("ms  request operation=PUT /boot%-source status=204\n", run { flags = "--debug" }.err)
  end)

  it("makes a machine of its flags", function ()
    local ran = run { flags = "-c 2 -m 64 --id by-flags", edit = [[
:append("fcinit", function (vm)
  local all = assert(vm.api:request("GET", "/vm/config"))
  io.stderr:write(vm.id, all["machine-config"].vcpu_count, " ", all["machine-config"].mem_size_mib, "\n")
end)]], guest = "idle", driver = "start by-flags2; kill $p; wait $p" }
    assert.matches("by%-flags2 64\n", ran.err)
    assert.equal(143, ran.status, ran.err)
  end)

  it("names step and line of a step that fails, and leaves nothing", function ()
    local ran = run { edit = [[
:append_after("fcinit.CreateMachine", function ()
  local nothing
  return nothing.at.all
end)]] }
    assert.equal(1, ran.status, ran.err)
    assert.equal("", ran.out)
    assert.matches("ms  DIR/flow.lua:6  failed\n", ran.err)
    assert.matches("\nfclua: DIR/flow.lua:8: DIR/flow.lua:6: attempt to index a nil value [^\n]*\n", ran.err)
    assert.matches("\n  done    validate.NetworkCfg, .*fcinit.CreateMachine\n" ..
      "  undone  api client, process, console, run directory\n", ran.err)
    assert.not_matches("\n  trace", ran.err)
  end)

  it("shows the last words of a VMM that ends early", function ()
    local ran = run { flags = "--id early", edit =
      [[:insert_before("fcinit.StartVMM", function (vm) vm.config.vmm.arguments = { "--bogus" } end)]] }
    assert.equal(1, ran.status, ran.err)
    assert.matches('\nfclua: fcinit.StartVMM: the VMM exited with status 153: [^\n]*UnexpectedArgument', ran.err)
    assert.matches('\n  stderr  ', ran.err)
  end)

  it("fails with a VMM that is killed", function ()
    local ran = run { guest = "idle", driver = "start; kill -9 $(cat /proc/$p/task/*/children); wait $p" }
    assert.equal(1, ran.status, ran.err)
    assert.matches("ms  the VMM was ended by signal 9\n", ran.err)
    assert.matches("\nfclua: the VMM was ended by signal 9", ran.err)
  end)

  it("ends well with a guest that crashes into a reset", function ()
    local ran = run { guest = "fault" }
    assert.equal(0, ran.status, ran.err)
  end)

  for name, number in pairs { INT = 2, TERM = 15, HUP = 1, QUIT = 3 } do
    it(("shuts the guest down at SIG%s and exits with %d"):format(name, 128 + number), function ()
      local ran = run { guest = "cad", words = "10", driver = ("start; kill -%s $p; wait $p"):format(name) }
      assert.matches(("SIG%s: stopping; the next signal kills\n +%%d+%%.%%d ms  the guest ended\n"):format(name),
        ran.err)
      assert.equal(128 + number, ran.status, ran.err)
    end)
  end

  it("kills at the second signal", function ()
    local ran = run { guest = "idle", words = "60", driver =
      "start; kill -INT $p; await stopping $err; kill -TERM $p; wait $p" }
    assert.matches("SIGTERM: killing\n +%d+%.%d ms  the VMM was ended by signal 9\n", ran.err)
    assert.equal(130, ran.status, ran.err)
  end)

  it("gives a boot up at a signal", function ()
    local ran = run { guest = "idle", driver = "start CreateMachine; kill -INT $p; wait $p", edit =
      [[:append_after("fcinit.CreateMachine", fc.handler("spec.Wait", function () fc.sleep(60) end))]] }
    assert.matches("SIGINT: stopping; the next signal kills\n +%d+%.%d ms  spec.Wait  cancelled\n" ..
      " +%d+%.%d ms  total\n$", ran.err)
    assert.equal(130, ran.status, ran.err)
  end)

  it("leaves SIGHUP ignored under nohup", function ()
    local ran = run { guest = "idle", driver =
      "(trap '' HUP; exec $fclua >$out 2>$err) & p=$!; await StartInstance $err; " ..
      "kill -HUP $p; sleep 0.2; kill $p; wait $p" }
    assert.not_matches("SIGHUP", ran.err)
    assert.equal(143, ran.status, ran.err)
  end)

  it("stops when nobody reads its output any more", function ()
    local ran = run { guest = "tick", driver = "$fclua 2>$err | head -n 2; exit ${PIPESTATUS[0]}" }
    assert.equal("0\n1\n", ran.said)
    assert.matches("standard output is gone: stopping", ran.err)
    assert.equal(141, ran.status, ran.err)
  end)

  it("fails when its output cannot be written", function ()
    local ran = run { guest = "tick", driver = "$fclua >/dev/full 2>$err" }
    assert.matches("\nfclua: standard output: No space left on device\n", ran.err)
    assert.equal(1, ran.status, ran.err)
  end)

  for name, case in pairs {
    ["no kernel"] = { "", "fclua: validate.Cfg: --kernel is required" },
    ["a kernel that is not there"] = { "--kernel /nowhere",
      "fclua: validate.Cfg: --kernel: cannot use /nowhere: No such file or directory" },
    ["a drive that is not there"] = { "--kernel Makefile --root-drive /nowhere:ro",
      "fclua: validate.Cfg: --root-drive: cannot use /nowhere: No such file or directory" },
    ["a tap that is not there"] = { "--kernel Makefile --tap-device nowhere0",
      "fclua: fcinit.SetupNetwork: --tap-device: no interface 'nowhere0' on this host\n" ..
      "  hint    ip tuntap add mode tap nowhere0" },
    ["too many processors"] = { "--ncpus 99", "fclua: --ncpus: 1 to 32 expected, got 99" },
    ["a jailer"] = { "--jailer j", "fclua: --uid is required" },
    ["a flow that is not there"] = { "./nowhere.lua", "fclua: ./nowhere.lua: No such file or directory" },
  } do
    it("refuses " .. name .. " with 2", function ()
      local out, status = sh("scripts/fclua run " .. case[1])
      assert.equal(case[2], out:match "fclua: .*":sub(1, #case[2]))
      assert.equal(2, status, out)
    end)
  end

  it("fails with 1 for a kernel that is none, and for a missing VMM", function ()
    local out, status = sh "scripts/fclua run --kernel Makefile"
    assert.matches("\nfclua: fcinit.StartInstance: PUT /actions: .*Invalid Elf magic number", out)
    assert.equal(1, status)
    out, status = sh("scripts/fclua run --exec-file /nowhere --kernel " .. bed.guest "hello")
    assert.matches("\nfclua: fcinit.StartVMM: cannot run the VMM: cannot use /nowhere: No such file or directory\n" ..
      "  hint    set %-%-exec%-file or %$FIRECRACKER", out)
    assert.equal(1, status)
  end)
end)
