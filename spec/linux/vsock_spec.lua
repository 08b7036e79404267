-- Streams between the host and a real guest, both ways, before and after a snapshot's restore.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local linux = require "spec.support.linux"

local ECHO <const>, COMMAND <const> = 53, 52
local PATIENCE <const> = { timeout = linux.patience }
local CONNECTIONS <const>, AT_ONCE <const> = 500, 20

describe("#linux a guest's vsock", function ()
  local cqueues, uv = require "cqueues", require "spec.support.luv"    -- before the first spec: what they open once stays

  setup(function () fc.loop:pollfd() end)    -- makes the timer for other loops, which stays
  linux.check(before_each, after_each, teardown, pending)

  -- A text in which each place is told from the others.
  local function numbered (bytes)
    local list = {}
    for i = 1, bytes // 16 do
      list[i] = ("%015d\n"):format(i)
    end
    return table.concat(list)
  end

  local function echo (vm, text)
    local s <close> = assert(vm:dial(ECHO, PATIENCE))
    assert(s:write(text))
    assert.equal(text, s:read(#text, PATIENCE))
  end

  -- The guest dials port 7000 and runs a command on the connection.
  local function dialled_by (vm, listener, command)
    local task = fc.spawn(linux.run, vm, "/init dial 7000 " .. command)
    return assert(listener:accept(PATIENCE)), task
  end

  local function both_ways (vm)
    echo(vm, "to the guest and back\n")
    fc.run(function ()
      local listener <close> = assert(vm:listen(7000))
      local s <close>, task = dialled_by(vm, listener, "sh -c 'read a; echo got $a; read a; echo $a >&2'")
      assert(s:write "ping\n")
      assert.equal("got ping", s:read("l", PATIENCE))
      assert(s:write "pong\n")
      assert.same({ "pong\n", 0 }, { task:wait() })
    end)
  end

  it("is dialled and listened at, by a booted and a restored guest", function ()
    local booted <close> = linux.boot()
    both_ways(booted)
    local restored <close> = linux.restore()
    both_ways(restored)
    both_ways(booted)
  end)

  it("keeps its connections over a pause", function ()
    local vm <close> = linux.restore()
    local s <close> = assert(vm:dial(ECHO, PATIENCE))
    s:write "before\n"
    assert.equal("before", s:read("l", PATIENCE))
    assert(vm:pause())
    s:write "while paused\n"
    assert.is_nil((s:read("l", { timeout = 0.2 })))
    assert(vm:resume())
    assert.equal("while paused", s:read("l", PATIENCE))
    echo(vm, "another\n")
  end)

  it("has its connections reset by a snapshot, here and in a restored guest, and takes new ones", function ()
    local vm <close> = linux.restore()
    local dir = bed.scratch "snapshot"
    assert(core.files.mkdir(dir))
    finally(function () core.files.remove_directory(dir) end)
    local listener <close> = assert(vm:listen(7000))
    local command = "/init dial 7000 sh -c 'read a; echo got $a; cat; echo $a >/tmp/over' </dev/null >/dev/null 2>&1 &"
    assert.same({ "", 0 }, { linux.run(vm, command) })
    local dialled <close> = assert(listener:accept(PATIENCE))
    assert(dialled:write "was connected\n")
    assert.equal("got was connected", dialled:read("l", PATIENCE))
    local s <close> = assert(vm:dial(ECHO, PATIENCE))
    s:write "before\n"
    assert.equal("before", s:read("l", PATIENCE))
    assert(vm:snapshot { snapshot_path = dir .. "/state", mem_file_path = dir .. "/memory", pause = true })
    bed.write(dir .. "/data", bed.read(vm.directory .. "/data"))
    for _, each in ipairs { s, dialled } do    -- the host is told when it says something
      each:write "more\n"
      local line, err = each:read("l", PATIENCE)
      assert.is_nil(line)
      assert.not_equal("timeout", err and err.code)
    end
    echo(vm, "another\n")
    vm:close()
    local restored <close> = linux.load(dir .. "/state", dir .. "/data")
    assert.equal("was connected\n", (linux.run(restored, "until [ -e /tmp/over ]; do sleep 0.2; done; cat /tmp/over")))
    echo(restored, "another\n")
  end)

  it("says who does not listen there, and who does not answer", function ()
    local vm <close> = linux.restore()
    local s, err = vm:dial(9999, { timeout = 15 })
    assert.is_nil(s)
    assert.same({ "vsock", "nobody listens on this port in the guest" }, { err.code, err.hint })
    fc.run(function ()    -- one that comes up later is found
      local late = fc.spawn(vm.dial, vm, COMMAND, PATIENCE)
      assert(vm:pause())
      fc.sleep(0.1)
      assert(vm:resume())
      local stream <close> = assert(late:wait())
      stream:write "echo up\n"
      assert.equal("up\n[exit 0]\n", stream:read("a", PATIENCE))
    end)
    local out, status = linux.run(vm, "/init dial 7000 true")    -- nobody listens here
    assert.equal(1, status)
    assert.matches("Connection reset", out)
  end)

  it(("takes %d connections, %d at a time"):format(CONNECTIONS, AT_ONCE), function ()
    local vm <close> = linux.restore()
    local numbers = {}
    for i = 1, CONNECTIONS do
      numbers[i] = i
    end
    fc.run(function ()
      local results = fc.map(numbers, function (i)
        local s <close> = assert(vm:dial(ECHO, PATIENCE))
        assert(s:write("connection ", i, "\n"))
        return assert(s:read("l", PATIENCE))
      end, { limit = AT_ONCE })
      assert.same({}, results.errors)
      for i = 1, CONNECTIONS do
        assert.equal("connection " .. i, results[i])
      end
    end)
  end)

  it("carries 64 MiB to the guest and back, and 64 MiB that the guest sends, whole", function ()
    local vm <close> = linux.restore()
    local text = numbered(1 << 20)
    fc.run(function ()
      local s <close> = assert(vm:dial(ECHO, PATIENCE))
      local writer = fc.spawn(function ()
        for _ = 1, 64 do
          assert(s:write(text, PATIENCE))
        end
      end)
      for _ = 1, 64 do
        assert.is_true(s:read(#text, PATIENCE) == text)
      end
      writer:wait()
      local listener <close> = assert(vm:listen(7000))
      do
        local file <close>, task = dialled_by(vm, listener, "sh -c 'head -c 1048576 >/tmp/text; echo there'")
        assert(file:write(text))
        assert.equal("there", file:read("l", PATIENCE))
        task:wait()
      end
      local command = "sh -c 'i=0; while [ $i -lt 64 ]; do cat /tmp/text; i=$((i+1)); done; head -c 67108864 | md5sum'"
      local back <close>, task = dialled_by(vm, listener, command)
      for _ = 1, 64 do
        assert.is_true(back:read(#text, PATIENCE) == text)
      end
      for _ = 1, 64 do
        assert(back:write(text, PATIENCE))
      end
      local sum = linux.run(vm, "i=0; while [ $i -lt 64 ]; do cat /tmp/text; i=$((i+1)); done | md5sum")
      assert.equal(sum, back:read("L", PATIENCE))
      back:close()
      task:wait()
    end)
  end)

  it("is dialled inside cqueues and inside luv", function ()
    local vm <close> = linux.restore()
    local controller, done = cqueues.new(), 0
    for i = 1, 10 do
      controller:wrap(function ()
        echo(vm, "cqueues " .. i .. "\n")
        done = done + 1
      end)
    end
    assert(controller:loop(linux.patience))
    assert.equal(10, done)
    local poll, limit = uv.new_poll(fc.loop:pollfd()), uv.new_timer()
    poll:start("r", function () fc.loop:step() end)
    uv.update_time()    -- its own is that of its last turn
    limit:start(linux.patience * 1000, 0, uv.stop)
    for i = 1, 10 do
      fc.spawn(function ()
        echo(vm, "luv " .. i .. "\n")
        done = done + 1
        if done == 20 then uv.stop() end
      end)
    end
    fc.loop:step()
    uv.run()
    poll:close()
    limit:close()
    uv.run()
    assert.equal(20, done)
    assert.is_truthy(leaks.run_dir)
  end)
end)
