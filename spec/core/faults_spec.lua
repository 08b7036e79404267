-- Every entry point of the C core while one allocation (of ours, of cJSON, of Lua), or one request to the
-- kernel, fails: each in turn. Whatever comes of it, nothing is lost and the same call works again. A signal interrupts
-- every wait for a child meanwhile (one did, and a zombie stayed).

local fds = require "spec.support.fds"
local host = require "spec.support.host"
local server = require "spec.support.server"
local sh = require "spec.support.sh"

require "firecracker.core.http"
require "firecracker.core.net"
require "spec.support.faults".install()
local faults = require "spec.support.faults"

local function children ()
  local stat <close> = assert(io.open "/proc/self/stat")
  local file <close> = assert(io.open(("/proc/self/task/%d/children"):format(stat:read "n")))
  return file:read "a"
end

-- What may be raised, or returned as err, for a call that failed.
local EXPECTED <const> = {
  -- cJSON does not tell a text it has no memory for from a wrong one
  c = { "out of memory$", "Cannot allocate memory$", "^http: ", "^json: not valid JSON" },
  lua = { "^not enough memory$" },
  request = { "Cannot allocate memory$" },
  kernel = { "Too many open files %(RLIMIT_NOFILE is %d+%)$", "No space left on device$", "Cannot allocate memory$",
    "Resource temporarily unavailable$", "^system: cannot write: Input/output error$" },
}

local function expected (kind, message)
  for _, pattern in ipairs(EXPECTED[kind]) do
    if message == true or message:find(pattern) then
      return true
    end
  end
end

-- Functions in which things are asked of the core, made to run in a state of their own: no upvalues. The outer one runs
-- undisturbed, with the argument (a directory to write in); the inner one is what is failed, until no call is left to
-- fail.
local function exhaust (kind, least, fn, argument)
  local chunk, n = string.dump(fn), 0
  for _ = 1, 2 do    -- what the libraries make once
    assert.same({ true, true, false, 0, 0 }, { faults.run("nothing", 0, chunk, argument) }, "undisturbed")
  end
  while true do
    n = n + 1
    local before, open = children(), fds.all()    -- in a state of its own: nothing of it is garbage of ours
    local first, second, fired, blocks, bytes = faults.run(kind, n, chunk, argument)
    local at = ("%s call %d: "):format(kind, n)
    assert(first == true or fired, at .. tostring(first))
    assert(expected(kind, first), at .. "raised " .. tostring(first))
    assert(second == true, at .. "the next time: " .. tostring(second))
    assert(blocks == 0 and bytes == 0, ("%s%d blocks of C and %d bytes of Lua lost"):format(at, blocks, bytes))
    assert(children() == before, at .. "a child is left")
    fds.same(open)
    if not fired then
      break
    end
  end
  assert(n > least, ("only %d calls to fail"):format(n - 1))
end

-- name -> the least numbers of failures of each kind, so that an entry that is not reached does not pass; the function
local ENTRIES <const> = {
  { "opening the module", { lua = 100, kernel = 1 }, function ()
    return function () require "firecracker.core" end
  end },
  { "opening it again", { lua = 50 }, function ()
    require "firecracker.core"
    return function ()
      package.loaded["firecracker.core"] = nil
      require "firecracker.core"
    end
  end },
  { "files", { c = 3, lua = 10, kernel = 5 }, function (dir)
    local files = require "firecracker.core".files
    local name = dir .. "/" .. files.random_hex(4)
    return function ()
      files.remove_directory(name)
      assert(files.mkdir_private(name))
      assert(files.mkfifo(name .. "/fifo"))
      assert(files.create(name .. "/file"))
      local file <close> = assert(files.open(name .. "/file", "r+"))
      local again <close> = assert(files.reopen(0))
      local lock <close> = assert(files.lock(name .. "/file"))
      assert(not files.lock(name .. "/file"))
      local directory <close> = assert(files.open(name, "r"))
      assert(files.tail("/proc/self/../../etc/passwd", 100))
      assert(files.absolute "a/b/../c")
      assert(files.euid())
      assert(files.symlink("file", name .. "/link"))
      assert(assert(files.canonical(name .. "/link")):find "/file$")
      assert(files.access(name .. "/link", "rw"))
      assert(#assert(files.list(name)) == 3)
      assert(files.look(name) and lock:number() + file:number() + again:number() + directory:number() > 0)
      assert(files.random_hex(32))
      assert(files.unlink(name .. "/file"))
      assert(files.remove_directory(name))
    end
  end },
  { "copies", { lua = 4, kernel = 4 }, function (dir)
    local files = require "firecracker.core".files
    local name, long = dir .. "/" .. files.random_hex(4), ("x"):rep(5000)
    local function finish (copy, err)
      local _ <close> = assert(copy, err)
      local done, problem
      repeat
        done, problem = copy:step(1000)
      until done ~= false
      assert(done, problem)
    end
    return function ()
      local out = assert(io.open(name, "w"))
      out:write(long)
      out:close()
      files.unlink(name .. "-copy")
      finish(files.copy(name, name .. "-copy"))
      finish(files.merge(name, name .. "-copy", true))
      files.sync(name)
      files.unlink(name .. "-copy")
      os.remove(name)
    end
  end },
  { "a tree", { c = 2, lua = 10, kernel = 5 }, function (dir)
    local core = require "firecracker.core"
    local tree = core.tree
    local name = dir .. "/" .. core.files.random_hex(4)
    assert(core.files.mkdir(name))
    return function ()
      local root <close> = assert(tree.name(name))
      local source <close> = assert(tree.name "/etc/passwd")
      for _, each in ipairs { "a", "b" } do
        while tree.remove(root, each) == false do end
      end
      assert(tree.mkdir(root, "a/b"))
      local a <close> = assert(tree.at(root, "a"))
      assert(tree.link(root, "a/link", a) == nil)
      assert(tree.give(a, 0, 0, 448))
      assert(tree.look(a))
      local null <close> = assert(tree.name "/dev/null")
      assert(tree.mknod(root, "a/null", null, 0, 0, 384))
      local copy <close> = assert(tree.copy(source, assert(tree.create(root, "a/b/file"))))
      assert(copy:step())
      assert(tree.list(root))
      assert(tree.read(root, "a/b/file"))
      local done, err
      repeat
        done, err = tree.remove(root, "a")
      until done ~= false
      assert(done, err)
    end
  end },
  { "a process of somebody else's", { lua = 0, kernel = 0 }, function ()
    local core = require "firecracker.core"
    return function ()
      local process <close> = assert(core.process.adopt(1))
      assert(process:poll() == nil)
    end
  end },
  { "a pseudo-terminal", { lua = 2, kernel = 1 }, function ()
    local files = require "firecracker.core".files
    return function ()
      local master, slave = assert(files.open_pty())
      master:close()
      slave:close()
    end
  end },
  { "a terminal in raw mode", { lua = 1, kernel = 1 }, function ()
    local core = require "firecracker.core"
    local master, slave = core.files.open_pty()
    return function ()
      local _ <close> = assert(core.terminal.raw(slave:number()))
      assert(core.terminal.is(master:number()))
    end
  end },
  { "encoding JSON", { c = 3, lua = 3 }, function ()
    local json = require "firecracker.core".json
    local value = { name = ("x"):rep(600), short = "y", escaped = ("\n"):rep(600), list = { 1, 2.5, true, json.null, json.array() },
                    nested = { { a = {} } } }
    for i = 1, 20 do
      value["key" .. i] = i
    end
    return function ()
      assert(json.encode(value))
      local buffer <close> = json.buffer()
      assert(json.encode(value, buffer) == buffer)
    end
  end },
  { "decoding JSON", { c = 15, lua = 10 }, function ()
    local json = require "firecracker.core".json
    local text = '{"name":"' .. ("x"):rep(300) .. '","list":[1,2.5,true,null,[]],"nested":[{"a":{}}]}'
    return function ()
      assert(json.decode(text, { null = false }))
      assert(not json.decode(text .. "x"))
    end
  end },
  { "a process", { lua = 10, kernel = 3 }, function ()
    local core = require "firecracker.core"
    local null = core.files.open("/dev/null", "r+")
    local reactor = core.reactor()
    return function ()
      local process <close> = assert(core.process.spawn { path = "/bin/true", argv = { "true" }, environment = { "A=b" },
        cwd = "/", stdio = { null, null, null }, no_file = 64 })
      while not process:poll() do
        assert(reactor:step())
      end
      assert(process:signal "TERM")
      assert(process:pid())
      for _ in reactor.fired, reactor do end
    end
  end },
  { "a program that is not there", { lua = 4, kernel = 2 }, function ()
    local core = require "firecracker.core"
    local null = core.files.open("/dev/null", "r+")
    return function ()
      local _, err = core.process.spawn { path = "/no/such", argv = { "such" }, environment = {}, stdio = { null, null, null } }
      assert(err.errno == "ENOENT", err.message)
    end
  end },
  { "a mount for another process", { lua = 2, kernel = 4 }, function (dir)
    local tree = require "firecracker.core".tree
    local stat <close> = io.open "/proc/self/stat"
    local pid, name = stat:read "n", dir:sub(2) .. "/" .. require "firecracker.core".files.random_hex(4)
    return function ()
      local root <close> = assert(tree.name "/")
      local source <close> = assert(tree.name "/etc/passwd")
      while tree.remove(root, name) == false do end
      assert(tree.create(root, name)):close()
      assert(tree.bind(root, name, source, true, pid))
      assert(tree.remove(root, name) == false)    -- it was mounted
      assert(tree.remove(root, name))
    end
  end },
  { "timers", { c = 2, lua = 40 }, function ()
    local reactor = require "firecracker.core".reactor()
    return function ()
      local list = {}
      for i = 1, 40 do
        list[i] = assert(reactor:timer())
        list[i]:arm(i % 2)
      end
      assert(reactor:timeout() and reactor:state() and reactor:ours())
      assert(reactor:step())
      while reactor:fired() do end
      for _, timer in ipairs(list) do
        timer:disarm()
        timer:close()
      end
    end
  end },
  { "the descriptor for other loops", { kernel = 2 }, function ()
    local reactor = require "firecracker.core".reactor()
    return function () assert(reactor:pollfd()) end
  end },
  { "signals", { lua = 3, kernel = 2 }, function ()
    local core = require "firecracker.core"
    return function ()
      local signals <close> = assert(core.signals.open { "USR1" })
      assert(signals:key() and not signals:next())
    end
  end },
  { "a stream", { c = 1, lua = 4, kernel = 2 }, function (dir)
    local core = require "firecracker.core"
    local name, long = dir .. "/" .. core.files.random_hex(4), ("c"):rep(2000)
    os.remove(name)
    return function ()
      core.files.unlink(name)
      assert(core.files.mkfifo(name))
      local writer <close> = assert(io.open(name, "r+"))
      local stream <close> = assert(core.stream.open(assert(core.files.open(name, "r+"))))
      os.remove(name)
      writer:write("a\nb\n", long)
      writer:flush()
      assert(core.reactor():step())
      local line, err = stream:line()
      assert(line == "a", err)
      local lines = {}
      assert(stream:batch(lines) == 1 and lines[1] == "b")
      line = stream:line(3000)
      assert(line == false, select(2, stream:line()))   -- else it has ended
      stream:give_up()
      assert(stream:peek() == long and stream:fd())
      assert(stream:read())
    end
  end },
  { "a connection, both its ends", { c = 1, lua = 8, kernel = 8 }, function (dir)
    local core = require "firecracker.core"
    local name = dir .. "/" .. core.files.random_hex(4)
    assert(core.files.mkdir_private(name))
    local path = ("%s/%s/s"):format(name, ("d"):rep(100))    -- longer than a socket address
    assert(core.files.mkdir_private(path:sub(1, -3)))
    return function ()
      core.files.unlink(path)
      local first = assert(core.listener.open(path))
      local _ <close> = first
      assert(core.files.listens(path))
      assert(first:fd())
      first:close()
      local listener <close> = assert(core.listener.open(path, { mode = 384, replace_stale = true }))
      local one <close> = assert(core.stream.dial(path, 1))
      local other <close> = assert(core.stream.open(assert(listener:accept())))
      assert(core.files.unlink(path))
      assert(assert(other:send "OK 1\nhello") == 10)
      assert(other:room())
      one:fill()
      assert(one:acknowledged())
      local bytes, err = one:read(5)
      assert(bytes == "hello", err)
      bytes, err = one:read(9000)
      assert(bytes == false, err)
      other:finish()
    end
  end },
  { "network namespaces", { c = 1, lua = 4, kernel = 4, request = 2 }, function ()
    local netns = require "firecracker.core.net".netns
    local name = "fcs" .. require "firecracker.core".files.random_hex(4)
    return function ()
      netns.delete(name)
      local named <close> = assert(netns.create(name))
      local opened <close> = assert(netns.open(name))
      assert(netns.list())
      assert(netns.delete(name))
      local other <close> = assert(netns.create())
      assert(named:number() + opened:number() + other:number() > 0)
    end
  end },
  { "changes of a network", { kernel = 4, request = 22 }, function ()
    local core = require "firecracker.core.net"
    local netns, netlink = core.netns, core.netlink
    return function ()
      local ns <close> = assert(netns.create())
      local net <close> = assert(netlink.open(ns))
      local own <close> = assert(netlink.open())
      assert(own:links "lo")
      assert(net:sysctl("ipv6/conf/all/disable_ipv6", "1"))
      assert(net:add_tap { name = "tap0", owner = 1, group = 2, up = true, mtu = 1400, mac = "02:00:00:00:00:01" })
      assert(net:add_link { kind = "bridge", name = "br0" })
      assert(net:set_link("tap0", { master = "br0" }))
      assert(net:add_link { kind = "veth", name = "a", peer = "b", up = true })
      assert(net:set_link("b", { up = true }))
      assert(net:add_address("a", "10.0.0.1/24", { nodad = true }))
      assert(net:add_route { to = "default", via = "10.0.0.2", link = "a" })
      assert(net:add_neighbour { link = "a", address = "10.0.0.3", mac = "02:00:00:00:00:03" })
      for _, link in ipairs { "a", "b" } do assert(net:add_ingress(link)) end
      assert(net:add_redirect("a", "b"))
      assert(net:delete_ingress "b")
      assert(net:delete_route { to = "default" })
      assert(net:delete_neighbour { link = "a", address = "10.0.0.3" })
      assert(net:delete_address("a", "10.0.0.1/24"))
      assert(net:delete_link "a")
      local _, err = net:delete_link "a"
      assert(err.errno == "ENODEV", err)
    end
  end },
  { "a look at a network", { c = 5, lua = 60, kernel = 2, request = 6 }, function ()
    local core = require "firecracker.core.net"
    local netlink = core.netlink
    local ns = assert(core.netns.create())
    local setup <close> = assert(netlink.open(ns))
    assert(setup:add_link { kind = "veth", name = "a", peer = "b", up = true })
    assert(setup:add_address("a", "10.0.0.1/24"))
    assert(setup:add_neighbour { link = "a", address = "10.0.0.3", mac = "02:00:00:00:00:03" })
    assert(setup:add_ingress "a" and setup:add_redirect("a", "b"))
    return function ()
      local net <close> = assert(netlink.open(ns))
      assert(#assert(net:links()) == 3 and #assert(net:links "a") == 1 and #assert(net:addresses "a") >= 1)
      assert(assert(net:neighbours "a")[1] and assert(net:routes { table = 0 })[1] and assert(net:redirects "a")[1])
      assert(net:sysctl "ipv4/ip_forward")
      assert(netlink.parse "10.0.0.1/8" and netlink.format("\1\2\3\4", 5))
      local _, err = net:delete_link "c"
      assert(err.errno == "ENODEV", err.message)
    end
  end },
  { "a watch", { lua = 1, kernel = 3 }, function ()
    local core = require "firecracker.core"
    return function ()
      local watch <close> = assert(core.watch.open("/", "proc"))
      assert(watch:appeared())
    end
  end },
}

describe("with one call failing,", function ()
  for _, entry in ipairs(ENTRIES) do
    local name, kinds, fn = table.unpack(entry)
    for kind, least in pairs(kinds) do
      it(("%s (%s)"):format(name, kind), function ()
        sh.tmpdir(function (dir) exhaust(kind, least, fn, dir) end)
      end)
    end
  end

  describe("requests", function ()
    local function requests (argument)
      local kind, path = argument:match "^(%a+):(.*)$"
      local core, http = require "firecracker.core", require "firecracker.core.http"
      local reactor, bodies = core.reactor(), { false, "{}", ("x"):rep(5000) }
      local function finish (request)
        local deadline = core.now() + 1
        while request:result() == false do
          assert(reactor:step(deadline))
          assert(core.now() < deadline, "no outcome")
        end
        assert(assert(request:result()) == 200)
      end
      local other = assert(assert(http.client(reactor, path)):request())
      assert(other:start("GET", "/other"))
      if kind ~= "kernel" then    -- memory may run out for its reply; a refused connection is nothing to it
        finish(other)
      end
      return function ()
        local client <close> = assert(http.client(reactor, path))
        local request <close> = assert(client:request())
        for _, body in ipairs(bodies) do
          assert(request:start(body and "PUT" or "GET", "/", body or nil))
          assert(request:body() == (body or ""))
          finish(request)
          while reactor:told(reactor:fired() or 0) do end
        end
        assert(request:start("GET", "/"))
        while request:result() == false and not reactor:await(core.now() + 1, request:key()) do
          assert(reactor:fired(), "no outcome")
        end
        assert(assert(request:result()) == 200)
        assert(request:start("GET", "/"))
        request:cancel()
        finish(other)
      end
    end

    for kind, least in pairs { c = 5, lua = 5, kernel = 3 } do
      it(kind, function ()
        server({ { text = server.reply(200, ("y"):rep(1000)), after = 0.01 } }, function (s)
          exhaust(kind, least, requests, kind .. ":" .. s.path)
        end, "/" .. ("d"):rep(150))
      end)
    end
  end)

  it("a copy that is to be on the disk fails where it does not come there", function ()
    local chunk = string.dump(function (dir)
      local core = require "firecracker.core"
      return function ()
        local name = dir .. "/whole"
        local file <close> = assert(io.open(name, "w"))
        file:write(("x"):rep(100000))
        file:flush()
        core.files.unlink(name .. "-copy")
        local copy <close> = assert(core.files.copy(name, name .. "-copy", 384, true))
        local done, err
        repeat
          done, err = copy:step(1000)
        until done ~= false
        assert(done, err)
      end
    end)
    sh.tmpdir(function (dir)
      local lost, n, fired = 0, 0, true
      while fired do
        local outcome, _
        n = n + 1
        outcome, _, fired = faults.run("kernel", n, chunk, dir)
        assert.is_true(outcome ~= true or not fired, "nothing came of failure " .. n)
        lost = lost + (tostring(outcome):find "cannot write: Input/output error" and 1 or 0)
      end
      assert.is_true(lost >= 100)
    end)
  end)

  it("each function and method of the core is among them", function ()
    local file <close> = assert(io.open "spec/core/faults_spec.lua")
    local text, missing = file:read "a", {}
    local function look (functions, where)
      for name, fn in pairs(functions) do
        if type(fn) == "function" and not text:find("[.:]" .. name .. "%f[^%w_]") then
          missing[#missing + 1] = where .. "." .. name
        end
      end
    end
    for _, module in ipairs { "firecracker.core", "firecracker.core.http", "firecracker.core.net" } do
      look(require(module), module)
      for name, part in pairs(require(module)) do
        if type(part) == "table" then look(part, name) end
      end
    end
    for name, metatable in pairs(debug.getregistry()) do
      if type(name) == "string" and name:find "^firecracker%." and type(metatable.__index) == "table" then
        look(metatable.__index, name)
      end
    end
    assert.same({}, missing)
  end)

  it("a program inherits nothing from a kernel that marks no range, above a lowered limit too", function ()
    assert.equal("0\n1\n2\n3\n", (host("", [[    -- 3 is the directory
      local core = require "firecracker.core"
      require "firecracker.core.http"
      require "firecracker.core.net"
      local faults = require "spec.support.faults"
      faults.install()
      local null, out = assert(core.files.open("/dev/null", "r+")), assert(core.files.open("/proc/self/fd/1", "w"))
      local open = {}
      for i = 1, 100 do
        open[i] = assert(io.open "/dev/null")      -- not close-on-exec
      end
      os.execute "prlimit --pid $PPID --nofile=60:"
      open[1]:close()      -- room for the process's
      faults.arm "old"
      local process = assert(core.process.spawn { path = "/bin/ls", argv = { "ls", "/proc/self/fd" }, environment = {},
        stdio = { null, out, null } })
      while not process:poll() do assert(core.reactor():step()) end
    ]])))
  end)
end)
