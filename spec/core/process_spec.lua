local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local lfs = require "lfs"
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

local IGNORING <const> = "env --ignore-signal=CHLD,PIPE"

local function contents (path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- A child has its memory before it has its name.
local function runs (pid, name)
  driver.poll(function () return contents(("/proc/%d/comm"):format(pid)) == name .. "\n" end)
end

local function children ()
  return contents(("/proc/self/task/%d/children"):format(contents "/proc/self/stat":match "^%d+"))
end

describe("a process", function ()
  before_each(fds.remember)
  after_each(function ()
    driver.fired()
    fds.compare()
  end)

  it("tells its exit status", function ()
    local one <close> = assert(spawn "exit 0")
    assert.same({ "exited", 0 }, { spawn.ended(one) })
    local other <close> = assert(spawn "exit 42")
    assert.same({ "exited", 42 }, { spawn.ended(other) })
    assert.same({ "exited", 42 }, { other:poll() })    -- again and again
  end)

  it("tells the signal that ended it", function ()
    local one <close> = assert(spawn "kill -SEGV $$")
    assert.same({ "signaled", 11 }, { spawn.ended(one) })
  end)

  it("fires its key once when it ends, and not before", function ()
    local one <close> = assert(spawn "sleep 0.05")
    assert.same({}, driver.fired())
    assert.is_nil(one:poll())
    local keys = {}
    local reactor, deadline = core.reactor(), core.now() + 10
    while #keys == 0 and core.now() < deadline do
      reactor:step(deadline)
      for key in reactor.fired, reactor do
        keys[#keys + 1] = key
      end
    end
    assert.same({ one:key() }, keys)
    assert.same({}, driver.fired(0.02))
  end)

  it("gets signals by name, by short name and by number", function ()
    for _, signal in ipairs { "SIGTERM", "TERM", 15 } do
      local one <close> = assert(spawn { "/bin/sleep", "60" })
      assert.is_true(one:signal(signal))
      assert.same({ "signaled", 15 }, { spawn.ended(one) })
      assert.is_true(one:signal(signal))    -- an ended one is no error
    end
  end)

  it("refuses signals that do not exist", function ()
    local one <close> = assert(spawn "exit 0")
    for signal, message in pairs {
      TREM = "no such signal: 'TREM'", [0] = "no such signal: 0.0", [65] = "no such signal: 65.0",
      [1.5] = "no such signal: 1.5", [true] = "signal expected, got boolean",
    } do
      assert.has_error(function () one:signal(signal) end, ("bad argument #1 to 'signal' (%s)"):format(message))
    end
    spawn.ended(one)
  end)

  it("shows its pid, and prints with it", function ()
    local one = assert(spawn { "/bin/sleep", "60" })
    assert.equal(("<process %d>"):format(one:pid()), tostring(one))
    runs(one:pid(), "sleep")
    one:signal "KILL"
    spawn.ended(one)
    one:close()
    one:close()
    assert.equal("<process closed>", tostring(one))
    assert.has_error(function () one:pid() end, "calling 'pid' on bad self (closed process)")
    assert.has_error(function () one:poll() end, "calling 'poll' on bad self (closed process)")
  end)

  it("goes on when its handle is closed", function ()
    local one = assert(spawn { "/bin/sleep", "60" })
    local pid = one:pid()
    one:close()
    runs(pid, "sleep")
    sh("kill -KILL " .. pid)
  end)

  it("is adopted by its own number alone", function ()
    for _, number in ipairs { 0, -1, (1 << 32) + 1 } do
      assert.error_matches(function () core.process.adopt(number) end, "no process id")
    end
  end)

  it("of another user's, adopted by who is not shown how it ended, has an unknown end and no good one #root", function ()
    local script = [[
      local core, spawn = require "firecracker.core", require "spec.support.spawn"
      local pipe = io.popen [=[setpriv --reuid 65534 --clear-groups sh -c '
        until grep -qx sleep /proc/$PPID/comm; do :; done; kill -SEGV $$' >/dev/null & echo $! $$; exec sleep 60 >/dev/null]=]
      local pid, parent = pipe:read("n", "n")    -- who does not reap it
      local one = assert(core.process.adopt(pid))
      print(spawn.ended(one))
      os.execute("kill " .. parent)]]
    assert.equal("signaled\t11\n", (host("", script)))
    assert.matches("^unknown", (host("setpriv --bounding-set -sys_ptrace", script)))
  end)

  describe("that cannot be started", function ()
    local function fails (program, options)
      local one, err = spawn(program, options)
      assert.is_nil(one)
      assert.equal("system", err.code)
      return err.errno .. ": " .. err.message
    end

    it("says which step failed, and why", function ()
      assert.equal("ENOENT: cannot exec /no/such/program: No such file or directory", fails { "/no/such/program" })
      assert.equal("EACCES: cannot exec /etc/passwd: Permission denied", fails { "/etc/passwd" })
      assert.equal("EACCES: cannot exec /etc: Permission denied", fails { "/etc" })
      assert.equal("ENOENT: cannot change directory /bin/true: No such file or directory",
        fails({ "/bin/true" }, { cwd = "/no/such" }))
      assert.equal("ENOEXEC: cannot exec ", sh.tmpdir(function (dir)
        local path = dir .. "/program"
        assert(io.open(path, "w")):write("not a program"):close()
        sh("chmod 755 " .. path)
        return fails { path }:match "^(.-exec )"
      end))
    end)

    it("leaves no child and no descriptor", function ()
      local before = children()
      for _ = 1, 50 do
        fails { "/no/such/program" }
      end
      assert.equal(before, children())
    end)

    it("does not search PATH", function ()
      assert.matches("^ENOENT", fails({ "true" }, { cwd = "/" }))
    end)
  end)

  it("refuses wrong options by their names", function ()
    local null <close> = assert(core.files.open("/dev/null", "r+"))
    local closed = assert(core.files.open("/dev/null", "r+"))
    closed:close()
    local function refuses (message, changes)
      local options = { path = "/bin/true", argv = { "true" }, environment = {}, stdio = { null, null, null } }
      for key, value in pairs(changes) do
        options[key] = value ~= "nil" and value or nil
      end
      assert.has_error(function () core.process.spawn(options) end, "spawn: " .. message)
    end
    refuses("path: string expected, got nil", { path = "nil" })
    refuses("path: has a NUL byte", { path = "/bin/true\0x" })
    refuses("argv: list of strings expected, got string", { argv = "true" })
    refuses("argv[2]: string expected, got number", { argv = { "true", 1 } })
    refuses("argv[1]: has a NUL byte", { argv = { "a\0b" } })
    refuses("environment: list of strings expected, got nil", { environment = "nil" })
    refuses("environment[1]: string expected, got boolean", { environment = { true } })
    refuses("cwd: string expected, got table", { cwd = {} })
    refuses("no_file: integer expected, got string", { no_file = "64" })
    refuses("stdio: list of three open fds expected, got number", { stdio = 1 })
    refuses("stdio[3]: open fd expected, got nil", { stdio = { null, null } })
    refuses("stdio[2]: open fd expected, got closed fd", { stdio = { null, closed, null } })
    refuses("stdio[1]: open fd expected, got userdata", { stdio = { io.stdin, null, null } })
    local many = {}
    for i = 1, 5000 do many[i] = "x" end
    refuses("argv: 5000 entries are too many", { argv = many })
    assert.has_error(function () core.process.spawn() end, "bad argument #1 to 'spawn' (table expected, got no value)")
  end)

  describe("inherits", function ()
    local function status_of (field)
      return spawn.output { "/bin/grep", field, "/proc/self/status" }:match ":%s*(.-)\n"
    end

    it("no descriptor but 0, 1 and 2", function ()
      local out = spawn.output { "/bin/ls", "-l", "/proc/self/fd" }
      local numbers = {}
      for number in out:gmatch " (%d+) %->" do
        numbers[#numbers + 1] = number
      end
      assert.same({ "0", "1", "2", "3" }, numbers)    -- 3 is the listing's own
      assert.matches("3 %-> /proc/%d+/fd\n", out)
    end)

    it("no descriptor that the host left open across exec", function ()
      local out = host("exec 7</etc/passwd;", [[
        local spawn = require "spec.support.spawn"
        print((spawn.output { "/bin/ls", "/proc/self/fd" }))]])
      assert.equal("0\n1\n2\n3\n\n", out)
    end)

    it("the standard streams that it was given, whatever the collector does to a table that makes them", function ()
      local argv = setmetatable({}, { __len = function () return 3 end, __index = function ()
        collectgarbage()
        return "/bin/true"
      end })
      local made = 0
      local stdio = setmetatable({}, { __index = function () made = made + 1 return (assert(core.files.open("/dev/null", "r+"))) end })
      local one <close> = assert(core.process.spawn { path = "/bin/true", argv = argv, environment = {}, stdio = stdio })
      assert.equal("exited", (spawn.ended(one)))
      assert.equal(3, made)
      collectgarbage()
    end)

    it("its standard streams in any order, those that lie at 0 and 1 here among them", function ()
      local out = host("exec <&- >&-;", [[
        local low, middle = io.open "/dev/null", io.open "/dev/null"    -- keep 0 and 1 from the reactor
        local core = require "firecracker.core"
        low:close()
        middle:close()
        local spawn = require "spec.support.spawn"
        local a, b = core.files.open("/dev/null", "r"), core.files.open("/dev/zero", "r+")
        assert(a:number() == 0 and b:number() == 1)
        local c = core.files.reopen(2)
        local p = core.process.spawn { path = "/bin/sh", environment = {}, stdio = { b, c, a },
          argv = { "sh", "-c", "readlink /proc/self/fd/0 /proc/$$/fd/2" } }
        assert(spawn.ended(p) == "exited")
        p = core.process.spawn { path = "/bin/sh", environment = {}, stdio = { a, c, b },    -- 0 stays where it is
          argv = { "sh", "-c", "readlink /proc/self/fd/0 /proc/$$/fd/2" } }
        assert(spawn.ended(p) == "exited")]])
      assert.equal("/dev/zero\n/dev/null\n/dev/null\n/dev/zero\n", out)
    end)

    it("no signal mask and no ignored signal", function ()
      assert.equal("0000000000000000", status_of "SigBlk")
      assert.equal("0000000000000000", status_of "SigIgn")
      local signals <close> = assert(core.signals.open { "USR1", "TERM" })
      assert.truthy(signals)
      assert.equal("0000000000000000", status_of "SigBlk")
      local out = host(IGNORING, [[
        local spawn = require "spec.support.spawn"
        io.write((spawn.output { "/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status" }))
        print(tonumber(io.open "/proc/self/status":read "a":match "SigIgn:%s*(%x+)", 16) & 0x11000)]])
      assert.matches("SigBlk:%s*0000000000000000\n", out)
      assert.matches("SigIgn:%s*0000000000000000\n", out)
      assert.matches("\n69632\n$", out)   -- the host's own are left alone
    end)

    it("neither session nor terminal", function ()
      local one <close> = assert(spawn { "/bin/sleep", "60" })
      local group, session = contents(("/proc/%d/stat"):format(one:pid())):match "%) %S %d+ (%d+) (%d+)"
      assert.equal(tostring(one:pid()), group)
      assert.equal(tostring(one:pid()), session)
      one:signal "KILL"
      spawn.ended(one)
    end)

    it("the environment it is given and nothing of the host's", function ()
      assert.equal("A=1\nB=two words\n", (spawn.output({ "/usr/bin/env" }, { environment = { "A=1", "B=two words" } })))
      assert.equal("", (spawn.output({ "/usr/bin/env" }, { environment = {} })))
    end)

    it("the arguments as they are", function ()
      local out = spawn.output { "/usr/bin/printf", "%s|", "", "a b", "$HOME", "*", "\n", "\xff" }
      assert.equal("|a b|$HOME|*|\n|\xff|", out)
    end)

    it("the working directory, or another that is named", function ()
      assert.equal(lfs.currentdir() .. "\n", (spawn.output { "/bin/pwd" }))
      assert.equal("/usr\n", (spawn.output({ "/bin/pwd" }, { cwd = "/usr" })))
    end)

    it("the limit on descriptors that is named, and at most the host's", function ()
      assert.equal("100\n100\n", (spawn.output("ulimit -Sn; ulimit -Hn", { no_file = 100 })))
      local hard = spawn.output "ulimit -Hn"
      assert.equal(sh "ulimit -Hn", hard)
      assert.equal(hard, (spawn.output("ulimit -Hn", { no_file = 1 << 40 })))
    end)
  end)

  it("that the host's own SIGCHLD takes away has an unknown end", function ()
    local out, status = host(IGNORING, [[
      local spawn = require "spec.support.spawn"
      local p = assert(spawn "exit 3")
      print(spawn.ended(p))
      print(p:signal "TERM", select(2, spawn { "/no/such" }).message)
      local q = assert(spawn "exit 3")
      repeat until not io.open("/proc/" .. q:pid())
      print(q:signal "TERM")    -- gone, and nobody has looked yet
      print(spawn.ended(q))]])
    assert.equal("unknown\ntrue\tcannot exec /no/such: No such file or directory\ntrue\nunknown\n", out)
    assert.equal(0, status)
  end)

  it("leaves nothing behind, two hundred times", function ()
    local before, alive = fds.count(), children()
    local list = {}
    for i = 1, 200 do
      list[i] = assert(spawn { "/bin/true" })
    end
    for _, one in ipairs(list) do
      assert.equal("exited", (spawn.ended(one)))
    end
    assert.equal(before, fds.count())    -- an ended one holds no descriptor, closed or not
    assert.equal(alive, children())
  end)

  it("that is garbage gives its descriptor back", function ()
    local pid = assert(spawn { "/bin/sleep", "60" }):pid()
    fds.compare()
    sh("kill -KILL " .. pid)
  end)
end)
