-- What a VMM gets from its host program, against one that a bare shell started; and what the host program keeps.
local bed = require "spec.support.bed"
local direct = require "firecracker.launch.direct"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"
local lfs = require "lfs"
local sh = require "spec.support.sh"

local MACHINES <const> = 20

-- Run in a host of its own: boots the machines, runs `look` (shell, with $pid) for each, and tells its own signals
-- before, meanwhile and after. Requests are made on every machine, so that connections are open.
local SCRIPT <const> = [[
  local fc = require "firecracker"
  local function signals ()
    local status = io.open "/proc/self/status":read "a"
    for field in status:gmatch "Sig[BIC]%%w+:%%s*%%x+" do
      print("host", field)
    end
  end
  signals()
  fc.run(function ()
    local machines <close> = fc.map((function () local t = {} for i = 1, %d do t[i] = i end return t end)(), function ()
      return assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q },
        vmm = { environment = { ONLY = "this" } }, timeouts = { shutdown = 0 } })
    end)
    signals()
    for _, vm in ipairs(machines) do
      assert(vm.api:get_instance_info())
      print("vmm", vm.directory)
      io.stdout:flush()
      os.execute("pid=" .. vm.pid .. "\n" .. %q)
      print "end"
    end
  end)
  signals()
]]

-- Descriptors by what they are, with no number that differs from one process to the next.
local LOOK <const> = [[
  ls -l /proc/$pid/fd | sed -n 's/\[[0-9]*\]$//; s/.* \([0-9]*\) -> \(.*\)/fd \1 \2/p'
  sed -n 's/^\(SigBlk\|SigIgn\):\t/\1 /p' /proc/$pid/status
  sed -n 's/^Max open files *\([0-9]*\) *\([0-9]*\).*/limit \1 \2/p' /proc/$pid/limits
  echo "session $(($(cut -d' ' -f6 /proc/$pid/stat) - pid))"
  echo "cwd $(readlink /proc/$pid/cwd)"
  echo "environment $(tr '\0' ' ' </proc/$pid/environ)"]]

-- What Firecracker opens itself.
local function bare ()
  return sh.tmpdir(function (dir)
    return sh(("cd %s && touch log && python3 -SE %s/spec/support/bare.py %s %s %s"):format(dir, lfs.currentdir(),
      direct.find { vmm = {} }, bed.guest "idle", sh.quote(LOOK)))
  end)
end

local function kinds (text)
  local list = {}
  for number, target in text:gmatch "fd (%d+) ([^\n]*)" do
    if tonumber(number) > 2 then
      list[#list + 1] = target:match "log$" or target
    end
  end
  table.sort(list)
  return list
end

describe("#kvm a VMM inherits nothing", function ()
  leaks.check(before_each, after_each, teardown)

  for what, preparation in pairs {
    ["of a plain host"] = "",
    ["of one that ignores, blocks and holds"] =
      "exec 7</etc/passwd 8>/dev/null 9<>/dev/null; ulimit -n 4000; env --ignore-signal=PIPE,CHLD,TERM --block-signal=USR1,HUP,INT",
  } do
    it(what .. ", twenty at once, nor does the host change", function ()
      local expected = kinds(bare())
      assert.is_true(#expected > 5)
      local out = host(preparation, SCRIPT:format(MACHINES, leaks.run_dir, bed.guest "idle", LOOK))
      local n = 0
      for block in out:gmatch "(vmm\t/.-\n)end\n" do
        n = n + 1
        local directory = block:match "^vmm\t([^\n]+)"
        assert.same(expected, kinds(block))
        assert.equal("/dev/null", block:match "\nfd 0 ([^\n]*)")
        assert.equal("/dev/null", block:match "\nfd 1 ([^\n]*)")
        assert.equal(directory .. "/stderr.log", block:match "\nfd 2 ([^\n]*)")
        assert.equal("SigBlk 0000000000000000", block:match "\n(SigBlk [^\n]*)")
        assert.equal("SigIgn 0000000000000000", block:match "\n(SigIgn [^\n]*)")
        assert.equal("limit 2048 2048", block:match "\n(limit [^\n]*)")
        assert.equal("session 0", block:match "\n(session [^\n]*)")
        assert.equal("cwd " .. directory, block:match "\n(cwd [^\n]*)")
        assert.equal("environment ONLY=this ", block:match "\n(environment [^\n]*)")
      end
      assert.equal(MACHINES, n)
      local seen = {}
      for field in out:gmatch "host\t([^\n]*)" do
        seen[#seen + 1] = field
      end
      assert.equal(9, #seen)
      for i = 4, 9 do
        assert.equal(seen[(i - 1) % 3 + 1], seen[i])
      end
    end)
  end
end)
