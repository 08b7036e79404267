-- The figures: what the library takes against the smallest supervisor (floor.c) and against one bare libcurl handle (the
-- same, with libcurl), one after the other in turn, pair by pair. Prints one table and keeps all samples as JSON.
-- `make bench` runs it. Nothing here passes or fails.
-- Environment: BENCH (directory of the built programs), FIRECRACKER, GUESTS, INSTALLED (a tree made by `make install`),
-- COMPILED (the same with COMPILED=1),
-- PAIRS (default 100).

local core = require "firecracker.core"
local fc = require "firecracker"
local sample = require "spec.bench.sample"

local BENCH <const> = assert(os.getenv "BENCH", "run by `make bench`")
local GUESTS <const>, INSTALLED <const> = os.getenv "GUESTS", os.getenv "INSTALLED"
local COMPILED <const> = os.getenv "COMPILED"
local REAL <const>, JAILER <const> = os.getenv "FIRECRACKER", os.getenv "JAILER" or ""
local STUB <const> = BENCH .. "/stubvmm"
local PAIRS <const> = math.max(60, math.tointeger(os.getenv "PAIRS") or 100)
local SETTLE <const> = 0.003     -- seconds between two measurements
local WORK <const> = "/dev/shm/firecracker-lua-bench"   -- memory, as /run is

local function shell (command, ...)
  local pipe <close> = assert(io.popen(command:format(...)))
  return pipe:read "a"
end

---------------------------------------------------------------------------------------------------
-- Workers: programs that measure one thing when told to.
---------------------------------------------------------------------------------------------------

-- Of streams: on the server's core, where the scheduler may put either, both are slower.
local OTHER_CORE <const> = tonumber(shell "nproc") > 1 and 1 or 0

local COMMANDS <const> = {
  ours = "lua5.4 spec/bench/ours.lua",
  floor = BENCH .. "/floor -s",
  no_seccomp = BENCH .. "/floor",
  session = BENCH .. "/floor -s -n",
  curl = BENCH .. "/easy -s",
  streams = ("taskset -c %d env VSOCK='%s/vsock' lua5.4 spec/bench/vsock.lua"):format(OTHER_CORE, WORK),
  raw = ("taskset -c %d env VSOCK='%s/vsock' %s/vsock"):format(OTHER_CORE, WORK, BENCH),
  net = "unshare -n lua5.4 spec/bench/network.lua",
  net_by_hand = "unshare -n " .. BENCH .. "/network",
  net_commands = "unshare -n " .. BENCH .. "/network -c",
  nat = "unshare -n lua5.4 spec/bench/nat.lua",
  nat_by_hand = "unshare -n " .. BENCH .. "/nat",
}

local worker = {}
worker.__index = worker

local function numbers (line)
  local result = {}
  for name, value in line:gmatch "(%S+) (%S+)" do
    result[name] = tonumber(value) or value
  end
  return result
end

function worker.open (kind, vmm, kernel)
  local fifo = WORK .. "/commands." .. kind
  os.remove(fifo)
  assert(core.files.mkfifo(fifo))
  local replies = assert(io.popen(("FIRECRACKER='%s' KERNEL='%s/%s' DRIVE='%s/drive.img' WORK='%s' JAILS='%s/jails' exec %s <'%s'")
    :format(vmm, GUESTS, kernel, BENCH, WORK, BENCH, COMMANDS[kind], fifo)))
  return setmetatable({ kind = kind, replies = replies, commands = assert(io.open(fifo, "w")) }, worker)
end

function worker:ask (command)
  fc.sleep(SETTLE)
  self.commands:write(command, "\n")
  self.commands:flush()
  return numbers(assert(self.replies:read(), self.kind .. " failed"))
end

---------------------------------------------------------------------------------------------------
-- Runs: in turn, the order turned by one each round. Samples are kept by the run's name, who, command and field.
---------------------------------------------------------------------------------------------------

local samples = {}

local function keep (run, who, command, values)
  for field, value in pairs(values) do
    local name = ("%s.%s.%s"):format(who, command, field)
    samples[run] = samples[run] or {}
    local list = samples[run][name] or {}
    samples[run][name] = list
    list[#list + 1] = value
  end
end

local function of (run, who, command, field)
  local list = assert(samples[run][("%s.%s.%s"):format(who, command, field)], run .. " has no such samples")
  return list
end

-- measure(who) returns { command = values, … } of one round.
local function interleave (run, rounds, people, measure)
  io.stderr:write(("%s, %d rounds …\n"):format(run, rounds))
  for round = -1, rounds do    -- two to warm up
    for turn = 1, #people do
      local who = people[(turn + round) % #people + 1]
      for command, values in pairs(measure(who)) do
        if round > 0 then
          keep(run, who, command, values)
        end
      end
    end
  end
end

local function with_workers (kinds, vmm, kernel, fn)
  local workers <close> = setmetatable({}, { __close = function (all)
    for _, each in pairs(all) do
      each.commands:close()   -- all first: a worker started later holds the earlier ones' pipes as well
    end
    for _, each in pairs(all) do
      each.replies:close()
    end
  end })
  for _, kind in ipairs(kinds) do
    workers[kind] = worker.open(kind, vmm, kernel)
  end
  fn(workers)
end

local function measure_stub ()
  with_workers({ "ours", "floor", "curl", "session" }, STUB, "test/idle.elf", function (workers)
    interleave("stub", PAIRS, { "ours", "floor", "curl", "session" }, function (who)
      local start, stop = workers[who]:ask "start", workers[who]:ask "stop"
      local again, wait = workers[who]:ask "start", workers[who]:ask "wait"
      return { start = start, stop = stop, start_again = again, wait = wait }
    end)
    interleave("stub, 50 at once", 10, { "ours", "floor" }, function (who)
      return { many = workers[who]:ask "many 50" }
    end)
    samples.parts = workers.ours:ask "parts 500"
    interleave("log lines", 5, { "ours" }, function () return { intake = workers.ours:ask "intake 300000" } end)
    interleave("deaths", PAIRS, { "ours" }, function (who)
      return { socket = workers[who]:ask "death socket", request = workers[who]:ask "death request" }
    end)
  end)
end

local function measure_real ()
  with_workers({ "ours", "floor", "curl", "no_seccomp" }, REAL, "test/idle.elf", function (workers)
    interleave("real", PAIRS, { "ours", "floor", "no_seccomp" }, function (who)
      local start = workers[who]:ask "start timed"
      start.without = start.total - start.instance_start
      return { start = start, stop = workers[who]:ask "stop" }
    end)
    workers.ours:ask("snapshot " .. WORK)
    interleave("restore", PAIRS, { "ours", "floor", "curl" }, function (who)
      return { restore = workers[who]:ask("restore " .. WORK), stop = workers[who]:ask "stop" }
    end)
    workers.ours:ask "start"
    local path = workers.ours:ask("socket").path
    workers.floor:ask("attach " .. path)
    workers.curl:ask("attach " .. path)
    interleave("requests", PAIRS, { "ours", "floor", "curl" }, function (who)
      return { get = workers[who]:ask "get 200", vm = workers[who]:ask "vm 20", mmds1 = workers[who]:ask "mmds1 100",
               mmds50 = workers[who]:ask "mmds50 50" }
    end)
    workers.ours:ask "stop"
  end)
end

local function measure_vsock ()
  local server <close> = assert(io.popen(("exec taskset -c 0 %s/vsock serve %s/vsock"):format(BENCH, WORK), "w"))
  while not core.files.look(WORK .. "/vsock") do
    fc.sleep(0.01)
  end
  with_workers({ "streams", "raw" }, STUB, "test/idle.elf", function (workers)
    interleave("vsock", PAIRS, { "streams", "raw" }, function (who)
      return { dial = workers[who]:ask "dial 100", receive = workers[who]:ask "receive", send = workers[who]:ask "send",
               keep = who == "raw" and workers.raw:ask "keep" or nil }
    end)
  end)
  assert(server)
end

local function measure_jail ()
  if JAILER == "" or core.files.euid() ~= 0 then
    return
  end
  with_workers({ "ours", "floor" }, REAL, "test/idle.elf", function (workers)
    interleave("jailed", PAIRS, { "ours", "floor" }, function (who)
      return { jail = workers[who]:ask "jail", unjail = workers[who]:ask "unjail" }
    end)
  end)
end

local NET <const> = { "links", "address", "route", "redirect" }

local function measure_network ()
  local people = { "net", "net_by_hand", "net_commands" }
  with_workers(people, REAL, "test/idle.elf", function (workers)
    interleave("network", PAIRS, people, function (who)
      local took = workers[who]:ask "run"
      took.total = 0
      for _, part in ipairs(NET) do took.total = took.total + took[part] end
      return { run = took }
    end)
  end)
end

local function measure_nat ()
  local people = { "nat", "nat_by_hand" }
  with_workers(people, REAL, "test/idle.elf", function (workers)
    interleave("nat", PAIRS, people, function (who)
      local took = workers[who]:ask "run"
      took.both = took.set_up + took.removal
      return { run = took }
    end)
  end)
end

local function measure_processes ()
  local function installed (root, program)   -- `usage` measures what it starts: no shell between
    return ("LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;' LUA_CPATH='%s/lib/lua/5.4/?.so;;' %s/usage %s")
      :format(root, root, root, BENCH, program)
  end
  local what = {
    nothing = installed(INSTALLED, "lua5.4 spec/bench/process.lua nothing"),
    libcurl = installed(INSTALLED, "lua5.4 spec/bench/process.lua libcurl"),
    library = installed(INSTALLED, "lua5.4 spec/bench/process.lua library"),
    boot = installed(INSTALLED, "lua5.4 spec/bench/process.lua boot"),
    compiled = installed(COMPILED, "lua5.4 spec/bench/process.lua boot"),
    fclua = installed(INSTALLED, INSTALLED .. "/bin/fclua --version"),
  }
  local given = ("KERNEL='%s/hello.elf' DRIVE='%s/drive.img' WORK='%s'"):format(GUESTS, BENCH, WORK)
  interleave("processes", PAIRS, { "nothing", "libcurl", "library", "boot", "compiled", "fclua" }, function (who)
    return { run = numbers((shell("%s %s", given, what[who]):gsub("^fclua %S+\n", ""))) }
  end)
end

---------------------------------------------------------------------------------------------------
-- The table
---------------------------------------------------------------------------------------------------

local function line (what, figure, goal, met)
  print(("%-58s %30s  %10s  %s"):format(what, figure, goal or "", met == nil and "" or met and "met" or "missed"))
end

local function at (share, list)
  return sample.quantile(list, share)
end

local function percentiles (list)
  return ("%.0f %.0f %.0f µs"):format(at(0.5, list), at(0.9, list), at(0.99, list))
end

-- The median of the ratios pair by pair, against its goal.
local function ratio_line (what, ours, theirs, goal)
  local got = at(0.5, sample.ratios(ours, theirs))
  if goal then
    line(what, ("%.2fx"):format(got), ("<= %.2fx"):format(goal), got <= goal)
  else
    line(what, ("%.2fx"):format(got))
  end
end

local function both (command, field)
  return of("stub", "ours", command, field), of("stub", "floor", command, field), of("stub", "curl", command, field)
end

local function share_above (list, limit)
  local n = 0
  for _, value in ipairs(list) do
    n = n + (value > limit and 1 or 0)
  end
  return n * 100 / #list
end

-- Where the time of the slow starts goes: to both processes' waits for a core, or to work.
local function report_tail ()
  local fields, order = {}, {}
  for _, field in ipairs { "total", "cpu", "waited", "vmm_cpu", "vmm_waited" } do
    fields[field] = of("stub", "ours", "start", field)
  end
  for i in ipairs(fields.total) do
    order[i] = i
  end
  table.sort(order, function (a, b) return fields.total[a] < fields.total[b] end)
  for _, part in ipairs { { "middle tenth", 0.45, 0.55 }, { "slowest tenth", 0.9, 1 } } do
    local means, first, last = {}, math.floor(#order * part[2]) + 1, math.floor(#order * part[3])
    for i, field in ipairs { "total", "cpu", "waited", "vmm_cpu", "vmm_waited" } do
      local sum = 0
      for place = first, last do
        sum = sum + fields[field][order[place]]
      end
      means[i] = sum / (last - first + 1)
    end
    line(("  start, %s: wall; CPU, wait for a core; the VMM's"):format(part[1]),
      ("%.0f; %.0f, %.0f; %.0f, %.0f µs"):format(table.unpack(means)))
  end
end

local function report_stub ()
  print "On the stub, which answers at once: the supervisor alone (p50 p90 p99)"
  local ours, floor, curl = both("start", "total")
  line("  start: ours", percentiles(ours))
  line("  start: floor", percentiles(floor))
  line("  start: floor with libcurl", percentiles(curl))
  local session = of("stub", "session", "start", "total")
  line("  start: floor, its VMM in a session of its own, as ours", percentiles(session))
  ratio_line("  start, ours / floor", ours, floor, 1.10)
  line("  start, floor with a session / floor", ("%.2fx"):format(at(0.5, sample.ratios(session, floor))))
  line("  start, floor with libcurl / floor", ("%.2fx"):format(at(0.5, sample.ratios(curl, floor))))
  local p90 = at(0.9, ours) / at(0.9, floor)
  line("  start, p90 of ours / p90 of floor", ("%.2fx"):format(p90), "<= 1.50x", p90 <= 1.5)
  line("  starts above 2 ms: ours, floor", ("%.1f %%, %.1f %%"):format(share_above(ours, 2000), share_above(floor, 2000)))
  report_tail()
  for _, command in ipairs { "wait", "stop" } do
    local mine, theirs = both(command, "total")
    line(("  %s, cleaned up: ours"):format(command), percentiles(mine))
    line(("  %s, cleaned up: floor"):format(command), percentiles(theirs))
    ratio_line(("  %s, ours / floor"):format(command), mine, theirs, 1.2)
  end
  local run = "stub, 50 at once"
  line("  50 at once, all run: ours, floor", ("%.1f, %.1f ms"):format(at(0.5, of(run, "ours", "many", "total")) / 1e3,
    at(0.5, of(run, "floor", "many", "total")) / 1e3))
  line("  50 at once, CPU each: ours, floor", ("%.0f, %.0f µs"):format(at(0.5, of(run, "ours", "many", "cpu")),
    at(0.5, of(run, "floor", "many", "cpu"))))
end

local PARTS <const> = {
  { "check_config", "check and copy the configuration" }, { "load_flow", "read and run the flow's script" },
  { "validate", "look for kernel and drive" }, { "run_directory", "make the run directory" },
  { "log_files", "make the VMM's log and stderr files" },
  { "encode_body", "encode a request's body" }, { "remove_directory", "(stop) remove the run directory" },
}

local function report_parts ()
  print "What a start does and the floor does not (p50)"
  for _, part in ipairs(PARTS) do
    line("  " .. part[2], ("%.1f µs"):format(samples.parts[part[1]]))
  end
  local seccomp = at(0.5, of("real", "floor", "start", "without")) - at(0.5, of("real", "no_seccomp", "start", "without"))
  line("  seccomp filters, in the VMM (floor with and without)", ("%.0f µs"):format(seccomp))
end

-- The goal holds for each of them.
local function report_deaths ()
  print "From a VMM's death to the error of the start (p50 p90 p99)"
  for _, each in ipairs { { "socket", "before its socket" }, { "request", "at its first request" } } do
    local took = of("deaths", "ours", each[1], "total")
    line("  " .. each[2], percentiles(took))
    line("  the longest", ("%.1f ms"):format(at(1, took) / 1e3), "<= 100 ms", at(1, took) <= 100000)
  end
end

local function report_real ()
  print "On the real VMM (p50 p90 p99)"
  local ours, floor = of("real", "ours", "start", "without"), of("real", "floor", "start", "without")
  line("  start without InstanceStart: ours", percentiles(ours))
  line("  start without InstanceStart: floor", percentiles(floor))
  ratio_line("  start without InstanceStart, ours / floor", ours, floor, 1.12)
  line("  start: ours", percentiles(of("real", "ours", "start", "total")))
  ours, floor = of("restore", "ours", "restore", "total"), of("restore", "floor", "restore", "total")
  line("  snapshot of 128 MiB loaded and resumed: ours", percentiles(ours))
  line("  snapshot of 128 MiB loaded and resumed: floor", percentiles(floor))
  line("  the same: floor with libcurl", percentiles(of("restore", "curl", "restore", "total")))
  ratio_line("  snapshot loaded and resumed, ours / floor", ours, floor, 1.05)
  for _, each in ipairs { { "get", "GET /" }, { "vm", "PATCH /vm" }, { "mmds1", "PUT /mmds 1 KiB" }, { "mmds50", "PUT /mmds 50 KiB" } } do
    local command, what = table.unpack(each)
    for _, who in ipairs { "ours", "curl", "floor" } do
      local name = ({ ours = "ours", curl = "bare libcurl handle", floor = "floor" })[who]
      local function of_all (field)
        return at(0.5, of("requests", who, command, field))
      end
      line(("  %s: %s (CPU)"):format(what, name), ("%.1f %.1f %.1f (%.1f) µs"):format(of_all "p50", of_all "p90", of_all "p99",
        of_all "cpu"))
    end
    for field, goal in pairs { p50 = 1.05, cpu = 1.25 } do
      ratio_line(("  %s, %s, ours / libcurl"):format(what, field), of("requests", "ours", command, field),
        of("requests", "curl", command, field), goal)
    end
  end
end

local function report_vsock ()
  print "A VMM's vsock that answers at once, and streams through it"
  local function both_sides (command, field)
    return of("vsock", "streams", command, field), of("vsock", "raw", command, field)
  end
  local ours, raw = both_sides("dial", "p50")
  line("  dial: ours, raw C", ("%.1f, %.1f µs"):format(at(0.5, ours), at(0.5, raw)))
  ratio_line("  dial, ours / raw C", ours, raw, 1.25)
  for _, command in ipairs { "receive", "send" } do
    ours, raw = both_sides(command, "mb")
    line(("  %s: ours, raw C"):format(command), ("%.0f, %.0f MB/s"):format(at(0.5, ours), at(0.5, raw)))
    local got = at(0.5, sample.ratios(ours, raw))
    line(("  %s, ours / raw C"):format(command), ("%.2fx"):format(got), ">= 0.90x", got >= 0.9)
  end
  local kept = of("vsock", "raw", "keep", "mb")
  ours, raw = both_sides("receive", "mb")
  line("  receive, raw C that copies once more", ("%.0f MB/s"):format(at(0.5, kept)))
  line("  the same / raw C", ("%.2fx"):format(at(0.5, sample.ratios(kept, raw))))
  line("  receive, ours / the same", ("%.2fx"):format(at(0.5, sample.ratios(ours, kept))))
end

local function report_jail ()
  if not samples.jailed then
    return print "In a jail: not measured, without root or a jailer"
  end
  print "In a jail, without a cgroup (p50 p90 p99)"
  for _, each in ipairs { { "jail", "start", 1.05 }, { "unjail", "killed and cleaned up" } } do
    local command, what, goal = table.unpack(each)
    local ours, floor = of("jailed", "ours", command, "total"), of("jailed", "floor", command, "total")
    line(("  %s: ours"):format(what), percentiles(ours))
    line(("  %s: floor"):format(what), percentiles(floor))
    ratio_line(("  %s, ours / floor"):format(what), ours, floor, goal)
  end
end

-- One address or route takes the kernel some 10 µs: the goals are for all together.
local function report_network ()
  print "Links, an address, a route, redirects (p50 p90 p99)"
  for _, who in ipairs { "net", "net_by_hand", "net_commands" } do
    local name = ({ net = "ours", net_by_hand = "by hand, in C", net_commands = "ip and tc" })[who]
    local parts = {}
    for i, part in ipairs(NET) do parts[i] = ("%.0f"):format(at(0.5, of("network", who, "run", part))) end
    line("  " .. name, percentiles(of("network", who, "run", "total")))
    line(("  %s, of each (p50)"):format(name), table.concat(parts, " ") .. " µs")
  end
  local ours = of("network", "net", "run", "total")
  ratio_line("  ours / by hand", ours, of("network", "net_by_hand", "run", "total"), 1.2)
  local faster = at(0.5, sample.ratios(of("network", "net_commands", "run", "total"), ours))
  line("  ip and tc / ours", ("%.1fx"):format(faster), ">= 10.0x", faster >= 10)
end

local function report_intake ()
  print "Log lines through a FIFO to a function (p50)"
  for _, each in ipairs { { "lines", "lines" }, { "parsed", "parsed lines" } } do
    local wall, cpu = at(0.5, of("log lines", "ours", "intake", each[1])), at(0.5, of("log lines", "ours", "intake", each[1] .. "_cpu"))
    line(("  %s a second, of elapsed time"):format(each[2]), ("%.0f"):format(wall), ">= 200000", wall >= 200000)
    line(("  %s a second, of CPU time"):format(each[2]), ("%.0f"):format(cpu))
  end
end

local function report_nat ()
  print "NAT: nft for set-up, nft for removal (p50 p90 p99)"
  for _, who in ipairs { "nat", "nat_by_hand" } do
    line("  " .. (who == "nat" and "ours" or "by hand, in C"), percentiles(of("nat", who, "run", "both")))
  end
  ratio_line("  ours / by hand", of("nat", "nat", "run", "both"), of("nat", "nat_by_hand", "run", "both"), 1.2)
end

local function report_processes ()
  print "A whole Lua process (p50)"
  local cpu, rss = {}, {}
  for _, who in ipairs { "nothing", "libcurl", "library", "boot" } do
    cpu[who], rss[who] = of("processes", who, "run", "cpu"), of("processes", who, "run", "rss")
    line("  " .. ({ nothing = "the interpreter", libcurl = "libcurl loaded and initialised", library = "firecracker loaded",
      boot = "boots the small guest to its exit" })[who],
      ("%.1f ms, %.1f MiB"):format(at(0.5, cpu[who]) / 1e3, at(0.5, rss[who]) / 1024))
  end
  local function above (a, b, factor)
    local list = {}
    for i = 1, #a do
      list[i] = (a[i] - b[i]) / factor
    end
    return at(0.5, list)
  end
  line("  libcurl itself", ("%.1f ms, %.1f MiB"):format(above(cpu.libcurl, cpu.nothing, 1e3), above(rss.libcurl, rss.nothing, 1024)))
  local compiled_cpu = above(of("processes", "compiled", "run", "cpu"), cpu.libcurl, 1e3)
  local more_cpu, more_rss = above(cpu.boot, cpu.libcurl, 1e3), above(rss.boot, rss.libcurl, 1024)
  line("  the boot above libcurl: CPU", ("%.2f ms"):format(more_cpu), "<= 2.5 ms", more_cpu <= 2.5)
  line("  the same, installed with COMPILED=1", ("%.2f ms"):format(compiled_cpu), "<= 2.5 ms", compiled_cpu <= 2.5)
  line("  the boot above libcurl: memory", ("%.2f MiB"):format(more_rss), "<= 1.5 MiB", more_rss <= 1.5)
  local version = at(0.5, of("processes", "fclua", "run", "cpu")) / 1e3
  line("  fclua --version: CPU", ("%.2f ms"):format(version), "<= 6 ms", version <= 6)
  for _, each in ipairs { { "installed size", INSTALLED }, { "the same with COMPILED=1", COMPILED } } do
    local bytes = tonumber(shell("find '%s' -type f -printf '%%s\\n' | awk '{ n += $1 } END { print n }'", each[2]))
    samples[each[1]] = bytes
    line("  " .. each[1], ("%.0f KB"):format(bytes / 1000), "<= 400 KB", bytes <= 400000)
  end
end

local function main ()
  os.execute(("mkdir -p -m 700 '%s' '%s/jails' && truncate -s 4M '%s/drive.img'"):format(WORK, BENCH, BENCH))
  samples.host = {
    date = os.date "!%Y-%m-%dT%H:%MZ", pairs = PAIRS, cores = tonumber(shell "nproc"), kernel = shell "uname -r":match "%S+",
    processor = shell "sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1":match "[^\n]*",
    firecracker = shell("'%s' --version", REAL):match "v(%S+)", load = shell "cat /proc/loadavg":match "%S+",
  }
  measure_stub()
  measure_real()
  measure_vsock()
  measure_jail()
  measure_network()
  measure_nat()
  measure_processes()
  local host = samples.host
  print(("%s, %d cores (%s), Linux %s, Firecracker %s, load %s, %d pairs"):format(host.date, host.cores, host.processor,
    host.kernel, host.firecracker, host.load, PAIRS))
  report_stub()
  report_parts()
  report_deaths()
  report_real()
  report_vsock()
  report_jail()
  report_network()
  report_intake()
  report_nat()
  report_processes()
  local path = ("%s/%s.json"):format(BENCH, host.date)
  local file <close> = assert(io.open(path, "w"))
  file:write(core.json.encode(samples), "\n")
  print("all samples: " .. path)
  os.execute(("rm -rf '%s'"):format(WORK))
end

main()
