-- core.net.netns and processes in namespaces, seen by iproute2. Names are made in /run/netns, as `ip netns` does.

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local netlink = require "firecracker.core.net".netlink
local netns = require "firecracker.core.net".netns
local sh = require "spec.support.sh"
local spawn = require "spec.support.spawn"

require "firecracker.core.http"
require "spec.support.faults".install()
local faults = require "spec.support.faults"

local NAME <const> = "fcs" .. core.files.random_hex(4)

-- Ours among the names: other runs come and go.
local function names ()
  local list = {}
  for name in sh "ip netns list":gmatch "([^\n ]+)[^\n]*\n" do
    if name:sub(1, #NAME) == NAME then list[#list + 1] = name end
  end
  return list
end

local function refused (errno, message, ok, err)
  assert.is_nil(ok)
  assert.same({ errno, message, "system" }, { err.errno, err.message, err.code })
end

-- What a namespace is known by.
local function identity (fd)
  return (sh(("stat -L -c %%i /proc/$PPID/fd/%d"):format(fd:number())))
end

describe("network namespaces #root", function ()
  local own
  before_each(function ()
    assert(netns.create(NAME)):close()    -- /run/netns is there from now on
    assert(netns.delete(NAME))
    own = sh "readlink /proc/$PPID/ns/net"
    fds.remember()
  end)
  after_each(function ()
    fds.compare()
    netns.delete(NAME)
    assert.same({}, names())
    assert.equal(own, (sh "readlink /proc/$PPID/ns/net"))
  end)

  it("are made with a name that others see", function ()
    local fd <close> = assert(netns.create(NAME))
    assert.same({ NAME }, names())
    assert.equal(identity(fd), (sh("stat -c %i /run/netns/" .. NAME)))
    assert.not_equal(own, ("net:[%s]\n"):format(identity(fd):match "%d+"))
    assert.matches("^1: lo: <LOOPBACK> [^\n]*\n[^\n]*\n$", (sh(("ip netns exec %s ip link"):format(NAME))))
    local again <close> = assert(netns.open(NAME))
    assert.equal(identity(fd), identity(again))
    assert.is_true(netns.delete(NAME))
    assert.same({}, names())
    assert.equal("", (sh("ls /run/netns | grep -x " .. NAME)))
    assert(netlink.open(fd)):close()
  end)

  it("are seen in mount namespaces that are older", function ()
    local other <close> = assert(spawn { "/usr/bin/unshare", "--mount", "--propagation", "slave", "sleep", "60" })
    local function there (command)
      return (sh(("nsenter --mount=/proc/%d/ns/mnt --root=/proc/%d/root %s"):format(other:pid(), other:pid(), command)))
    end
    local mine = sh "readlink /proc/$PPID/ns/mnt"
    driver.poll(function () return sh(("readlink /proc/%d/ns/mnt"):format(other:pid())) ~= mine end)
    driver.poll(function () return sh(("cat /proc/%d/comm"):format(other:pid())) == "sleep\n" end)
    netns.create(NAME):close()
    assert.equal("6e736673\n", there("stat -f -c %t /run/netns/" .. NAME))    -- nsfs
    assert.is_true(netns.delete(NAME))
    assert.equal("", (there("ls /run/netns | grep -x " .. NAME)))
    other:signal "KILL"
    spawn.ended(other)
  end)

  it("are made where there is no /run/netns yet, as `ip netns` makes it", function ()
    local out = host("umask 077; exec unshare --mount sh -c 'mount -t tmpfs none /run; exec \"$@\"' -", [[
      local netns = require "firecracker.core.net".netns
      local function show (command)
        local pipe <close> = io.popen(command)
        io.write(pipe:read "a")
      end
      assert(#netns.list() == 0)
      assert(netns.create "one")
      show "stat -c %a /run/netns; grep -c ' /run/netns .* shared:' /proc/self/mountinfo"
      assert(netns.create "two")
      assert(netns.create "three")
      show "ip netns add four; ip netns list | sort; grep -c ' /run/netns .* shared:' /proc/self/mountinfo"]])
    assert.equal("755\n1\nfour\none\nthree\ntwo\n1\n", out)
  end)

  it("are made once, and leave nothing when they are not", function ()
    local fd <close> = assert(netns.create(NAME))
    local id = identity(fd)
    refused("EEXIST", ("cannot make network namespace %s: File exists"):format(NAME), netns.create(NAME))
    local again <close> = assert(netns.open(NAME))
    assert.equal(id, identity(again))
    assert.is_true(netns.delete(NAME))
    refused("ENOENT", ("cannot delete network namespace %s: No such file or directory"):format(NAME), netns.delete(NAME))
    refused("ENOENT", ("cannot open network namespace %s: No such file or directory"):format(NAME), netns.open(NAME))

    local n = 0
    repeat
      n = n + 1
      faults.arm("request", n)
      local made, err = netns.create(NAME)
      local calls = faults.arm "nothing"
      assert.equal(calls < n, made ~= nil)
      if made then
        made:close()
        assert.is_true(netns.delete(NAME))
      else
        assert.equal("ENOMEM", err.errno)
      end
      assert.equal("", (sh("ls /run/netns | grep -x " .. NAME)))
    until made
    assert.is_true(n > 2)
  end)

  it("are found when `ip netns` made them, and deleted for it", function ()
    assert.equal("", (sh("ip netns add " .. NAME)))
    local fd <close> = assert(netns.open(NAME))
    local by_path <close> = assert(netns.open("/run/netns/" .. NAME))
    assert.equal(identity(fd), identity(by_path))
    assert.truthy((" " .. table.concat(assert(netns.list()), " ") .. " "):find(" " .. NAME .. " ", 1, true))
    assert.is_true(netns.delete(NAME))
    assert.equal("", (sh(("touch /run/netns/%s"):format(NAME))))    -- a name that nothing is mounted on
    refused("EINVAL", ("/run/netns/%s is no network namespace"):format(NAME), netns.open(NAME))
    assert.is_true(netns.delete(NAME))
  end)

  it("are opened by a path, and nothing else is", function ()
    local fd <close> = assert(netns.open "/proc/self/ns/net")
    assert.equal(own, ("net:[%s]\n"):format(identity(fd):match "%d+"))
    refused("EINVAL", "/proc/self/ns/mnt is no network namespace", netns.open "/proc/self/ns/mnt")
    refused("EINVAL", "/etc/passwd is no network namespace", netns.open "/etc/passwd")
    refused("ENOENT", "cannot open network namespace /no/such: No such file or directory", netns.open "/no/such")
    for _, name in ipairs { "", ".", ".." } do
      refused("EINVAL", ("'%s' cannot name a network namespace"):format(name), netns.open(name))
      refused("EINVAL", ("'%s' cannot name a network namespace"):format(name), netns.delete(name))
    end
    refused("EINVAL", "'a/b' cannot name a network namespace", netns.create "a/b")
    refused("EINVAL", "'../passwd' cannot name a network namespace", netns.delete "../passwd")
    assert.equal("ENAMETOOLONG", select(2, netns.create(("n"):rep(256))).errno)
  end)

  it("have no name where none is given, and go with their last descriptor", function ()
    local fd = assert(netns.create())
    local net = assert(netlink.open(fd))
    assert.same({}, names())
    -- the other end of a pair tells when they are gone
    local own_net <close> = assert(netns.create())
    local watcher <close> = assert(netlink.open(own_net))
    assert.is_true(watcher:add_link { kind = "veth", name = "here", peer = "there", peer_netns = fd })
    fd:close()
    assert.truthy(watcher:links "here" and net:links "there")
    net:close()
    driver.poll(function () return not watcher:links "here" end)
  end)

  it("are made where the host ignores SIGCHLD, and leave it no child to wait for", function ()
    local out = host("env --ignore-signal=CHLD", [[
      local net = require "firecracker.core.net"
      local fd = assert(net.netns.create())
      local socket = assert(net.netlink.open(fd))
      print(socket:add_tap { name = "tap0" }, io.open("/proc/self/task/" .. io.open "/proc/self/stat":read "n" .. "/children"):read "a")]])
    assert.equal("true\t\n", out)
  end)

  it("hold processes that are started in them", function ()
    local fd <close> = assert(netns.create())
    local net <close> = assert(netlink.open(fd))
    assert.is_true(net:add_tap { name = "tap0" })
    local out = spawn.output({ "/bin/sh", "-c", "ip -o link; readlink /proc/self/ns/net; ls /proc/self/fd" }, { netns = fd })
    assert.matches("^1: lo.*\n2: tap0", out)
    assert.equal(identity(fd), out:match "net:%[(%d+)%]" .. "\n")
    assert.matches("\n0\n1\n2\n3\n$", out)    -- the listing's own is the fourth
    local wrong <close> = assert(core.files.open("/dev/null", "r"))
    local process, err = spawn({ "/bin/true" }, { netns = wrong })
    assert.is_nil(process)
    assert.same({ "EINVAL", "cannot enter the network namespace for /bin/true: Invalid argument" }, { err.errno, err.message })
    wrong:close()
    assert.has_error(function () spawn({ "/bin/true" }, { netns = wrong }) end, "spawn: netns: open fd expected, got closed fd")
    assert.has_error(function () spawn({ "/bin/true" }, { netns = 3 }) end, "spawn: netns: open fd expected, got number")
    assert.has_error(function () netlink.open(wrong) end, "bad argument #1 to 'open' (closed descriptor)")
    local not_a_namespace <close> = assert(core.files.open("/dev/null", "r"))
    refused("EINVAL", "cannot enter the network namespace: Invalid argument", netlink.open(not_a_namespace))
  end)
end)
