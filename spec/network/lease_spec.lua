-- Leases, from many processes at once and after their deaths.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local host = require "spec.support.host"
local lease = require "firecracker.network.lease"
local sh = require "spec.support.sh"

local function range (first, last)
  local n = first - 1
  return function ()
    n = n + 1
    return n <= last and "10.0.0." .. n or nil
  end
end

-- A process that takes `count` names out of `last`, prints them, says so by a file, and ends at the end of its input.
local TAKER <const> = [[
  local lease = require "firecracker.network.lease"
  for i = 1, %d do
    local n = 0
    local name, err = lease.take(%q, "vm" .. i, function () n = n + 1; return n <= %d and "10.0.0." .. n or nil end, "range")
    io.write(name or tostring(err.code), "\n")
  end
  io.stdout:flush()
  io.close(assert(io.open(%q .. "/../done" .. %d, "w")))
  io.read()
]]

describe("a lease", function ()
  local run_dir

  before_each(function ()
    run_dir = bed.scratch "leases" .. "/run"
  end)
  after_each(function ()
    sh("rm -rf " .. sh.quote((run_dir:gsub("/run$", ""))))
  end)

  it("is the first free name, comes back, and leaves no file", function ()
    assert.equal("10.0.0.2", lease.take(run_dir, "a", range(2, 3), "10.0.0.0/30"))
    assert.equal("10.0.0.3", lease.take(run_dir, "b", range(2, 3), "10.0.0.0/30"))
    local none, err = lease.take(run_dir, "c", range(2, 3), "10.0.0.0/30")
    assert.is_nil(none)
    assert.equal("lease", err.code)
    assert.equal("10.0.0.0/30: none is free; 10.0.0.3 is machine b's", err.message)
    assert(lease.give_back(run_dir, "c", "10.0.0.2"))    -- another's stays
    assert.is_nil((lease.take(run_dir, "c", range(2, 3), "10.0.0.0/30")))
    assert(lease.give_back(run_dir, "a", "10.0.0.2"))
    assert.equal("10.0.0.2", lease.take(run_dir, "c", range(2, 3), "10.0.0.0/30"))
    assert(lease.give_back(run_dir, "b", "10.0.0.3"))
    assert(lease.give_back(run_dir, "c", "10.0.0.2"))
    assert(lease.give_back(run_dir, "c", "10.0.0.2"))
    assert.equal("", sh("ls -A " .. run_dir))
  end)

  it("that the full disk keeps from being given back is free with the next one #root", function ()
    assert(core.files.mkdir_private(run_dir))
    local _, status = sh(("mount -t tmpfs -o size=16k,mode=700 none %s"):format(run_dir))
    assert.equal(0, status)
    finally(function () sh("umount -l " .. run_dir) end)
    local fill = run_dir .. "/fill"
    local function no_room ()
      sh(("dd if=/dev/zero of=%s bs=4k count=9"):format(fill))
    end
    no_room()
    local none, err = lease.take(run_dir, "a", range(2, 3), "10.0.0.0/30")
    assert.is_nil(none)
    assert.matches("No space left on device", err.message)
    assert.is_nil(core.files.look(run_dir .. "/leases.new"))
    os.remove(fill)
    assert.equal("10.0.0.2", lease.take(run_dir, "a", range(2, 3), "10.0.0.0/30"))
    assert.equal("10.0.0.3", lease.take(run_dir, "b", range(2, 3), "10.0.0.0/30"))
    no_room()
    assert.matches("No space left on device", select(2, lease.give_back(run_dir, "a", "10.0.0.2")).message)
    os.remove(fill)
    assert.equal("10.0.0.2", lease.take(run_dir, "a", range(2, 3), "10.0.0.0/30"))
    assert.is_nil((lease.take(run_dir, "a", range(2, 3), "10.0.0.0/30")))
    assert(lease.give_back(run_dir, "a", "10.0.0.2"))
    assert(lease.give_back(run_dir, "b", "10.0.0.3"))
    assert.equal("", sh("ls -A " .. run_dir))
  end)

  it("waits for a lock that is held, and lets the other tasks go on", function ()
    assert(core.files.mkdir_private(run_dir))
    local lock = assert(core.files.lock(run_dir .. "/leases"))
    local order = {}
    fc.run(function ()
      fc.spawn(function ()
        local name = assert(lease.take(run_dir, "a", range(2, 9), ""))
        order[#order + 1] = name
      end)
      fc.sleep(0.03)
      order[#order + 1] = "released"
      lock:close()
    end)
    assert.same({ "released", "10.0.0.2" }, order)
    fc.run(function ()
      local held <close> = assert(core.files.lock(run_dir .. "/leases"))
      local _, err = fc.loop.under(core.now() + 0.05, lease.take, run_dir, "b", range(2, 9), "")
      assert.equal("timeout", err.code)
      assert.is_truthy(held)
    end)
  end)

  it("is one process's, of eight that ask at once; a killed one's are free again", function ()
    local count, each = 8, 20
    local script = {}
    for i = 1, count do
      script[i] = ("lua5.4 -e %s <$in >%s/../out%d & pids=\"$pids $!\""):format(
        sh.quote(TAKER:format(each, run_dir, count * each - 5, run_dir, i)), run_dir, i)
    end
    local out = sh(([[
      mkdir -p %s; in=%s/../in; mkfifo $in; exec 9<>$in
      export LUA_PATH=%s LUA_CPATH=%s
      %s
      i=0; until [ $(ls %s/.. | grep -c done) = %d ]; do i=$((i+1)); [ $i -lt 600 ] || break; sleep 0.05; done
      cat %s/../out* | sort | uniq -c | sort -rn | awk '{print $1, ($2 == "lease") ? $2 : ""}' | sort | uniq -c
      kill -9 $pids; wait 2>/dev/null]]):format(run_dir, run_dir, sh.quote(package.path), sh.quote(package.cpath),
      table.concat(script, "\n"), run_dir, count, run_dir))
    -- each name once, and five times none
    assert.equal("155 1 \n1 5 lease\n", (out:gsub("^ +", ""):gsub("\n +", "\n"):gsub("([^\n]*)Killed[^\n]*\n", "")))
    assert.equal("10.0.0.1", lease.take(run_dir, "after", range(1, 1), "x"))
    assert.equal("10.0.0.1 after", bed.read(run_dir .. "/leases"):match "^(%S+ %S+) %d+:%d+ %-\n$")
  end)

  it("outlives its owner with the VMM it was handed over to", function ()
    local sleeper = sh "sleep 60 >/dev/null 2>&1 & echo $!":match "%d+"
    finally(function () sh("kill " .. sleeper) end)
    local out = host("", ([[
      local lease = require "firecracker.network.lease"
      local function once () local given; return function () if not given then given = true return "10.0.0.9" end end end
      assert(lease.take(%q, "vm", once(), "x"))
      assert(lease.hand_over(%q, "vm", %s))
      print "taken"]]):format(run_dir, run_dir, sleeper))
    assert.equal("taken\n", out)
    assert.is_nil((lease.take(run_dir, "other", range(9, 9), "x")))
    sh("kill " .. sleeper)
    bed.eventually(function () return lease.take(run_dir, "other", range(9, 9), "x") end, "the address of a VMM that ended")
  end)

  it("costs one look at its owner, however many that has", function ()
    local process = require("firecracker.host")
    local looks, look = 0, process.process
    finally(function () process.process = look end)
    function process.process (...)
      looks = looks + 1
      return look(...)
    end
    for i = 1, 30 do
      assert(lease.take(run_dir, "vm" .. i, range(1, 30), "x"))
    end
    looks = 0
    assert(lease.give_back(run_dir, "vm30", "10.0.0.30"))
    assert.is_true(looks <= 2, looks .. " looks")
  end)

  it("is not taken from a file that somebody wrote into", function ()
    assert(core.files.mkdir_private(run_dir))
    bed.write(run_dir .. "/leases", "nonsense\n10.0.0.2 a 1\n10.0.0.2 a 0:1 -\n10.0.0.2 a 999999999:5 -\n\0\255\n")
    assert.equal("10.0.0.2", lease.take(run_dir, "b", range(2, 2), "x"))
  end)
end)
