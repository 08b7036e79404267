-- fc.net as a user has it: errors with his line, namespaces by name, redirects all or nothing, without rights.

local core = require "firecracker.core"
local fc = require "firecracker"
local fds = require "spec.support.fds"
local host = require "spec.support.host"
local network = require "firecracker.network"
local new_space = require "spec.support.netns"
local sh = require "spec.support.sh"

require "firecracker.core.http"
require "spec.support.faults".install()
local faults = require "spec.support.faults"

local NAME <const> = "fcs" .. core.files.random_hex(4)

local function refused (errno, message, ok, err)
  assert.is_nil(ok)
  assert.equal(errno, err.errno)
  assert.equal(message, err.message:sub(1, #message))
  assert.matches("network_spec%.lua:%d+$", err.where)
end

describe("fc.net", function ()
  it("is loaded when it is asked for, libmnl with it", function ()
    local out = host("", [[
      local function mapped () return io.open "/proc/self/maps":read "a":find "libmnl" ~= nil end
      local fc = require "firecracker"
      print(rawget(fc, "net"), mapped(), type(fc.net.open), mapped())]])
    assert.equal("nil\tfalse\tfunction\ttrue\n", out)
    assert.equal(network, fc.net)
    local function loaded (script)
      return host("LD_DEBUG=files", script):find("libmnl", 1, true) ~= nil
    end
    assert.is_false(loaded [[arg = { [0] = "fclua", "--version" } dofile "scripts/fclua"]])
    assert.is_true(loaded [[require "firecracker.network"]])
  end)

  it("documents what it has", function ()
    local file <close> = assert(io.open "lua/firecracker/network/init.lua")
    local text, documented = file:read "a", {}
    for name in text:gmatch "%-%- @function ([%w_:]+)" do documented[name] = true end
    local fd <close> = assert(fc.net.open_namespace "/proc/self/ns/net")
    local net <close> = assert(fc.net.open())
    local found = {}
    for prefix, object in pairs { [""] = fc.net, ["net:"] = getmetatable(net).__index, ["namespace:"] = getmetatable(fd).__index } do
      for name, value in pairs(object) do
        if type(value) == "function" then found[prefix .. name] = true end
      end
    end
    assert.same(documented, found)
  end)

  describe("#root", function ()
    local space, net
    before_each(function ()
      fds.remember()
      space = new_space()
      net = assert(fc.net.open(space.fd))
    end)
    after_each(function ()
      net:close()
      net:close()
      getmetatable(space).__close(space)
      fds.compare()
    end)

    it("opens a namespace by name, path, handle and descriptor", function ()
      local namespace <close> = assert(fc.net.create_namespace(NAME))
      finally(function () fc.net.delete_namespace(NAME) end)
      assert.same({ NAME, "/run/netns/" .. NAME, ("<network namespace %s>"):format(NAME) },
        { namespace.name, namespace.path, tostring(namespace) })
      local list = assert(fc.net.namespaces())
      assert.truthy((" " .. table.concat(list, " ") .. " "):find(" " .. NAME .. " ", 1, true))
      local n = 0
      for _, where in ipairs { NAME, namespace.path, namespace, namespace.fd } do
        n = n + 1
        local there <close> = assert(fc.net.open(where))
        assert.is_true(there:add_tap { name = "tap" .. n })
      end
      assert.equal("tap1 tap2 tap3 tap4 ", (sh(("ip -n %s -o link | sed -n 's/.*\\(tap[0-9]*\\):.*/\\1/p' | tr '\\n' ' '"):format(NAME))))
      local again <close> = assert(fc.net.open_namespace(NAME))
      local by_path <close> = assert(fc.net.open_namespace(namespace.path))
      assert.same({ NAME, nil }, { again.name, by_path.name })
      assert.is_true(namespace:delete())
      refused("ENOENT", "cannot open network namespace " .. NAME, fc.net.open(NAME))
      refused("ENOENT", "cannot open network namespace " .. NAME, fc.net.open_namespace(NAME))
      refused("ENOENT", "cannot delete network namespace " .. NAME, fc.net.delete_namespace(NAME))
      refused("ENOENT", "cannot delete network namespace " .. NAME, again:delete())
    end)

    it("takes no other table for the caller's own namespace", function ()
      local vm = assert(fc.new())
      local before = net:links()
      for _, other in ipairs { { name = "blue" }, {}, vm, { fd = 1 }, { fd = print } } do
        for field, call in pairs {
          netns = function () return fc.net.open(other) end,
          [2] = function () return net:set_link("lo", { netns = other }) end,
          [3] = function () return net:add_link { kind = "veth", name = "a", peer = "b", netns = other } end,
          peer_netns = function () return net:add_link { kind = "veth", name = "a", peer = "b", netns = space.fd, peer_netns = other } end,
        } do
          field = type(field) == "string" and field or "netns"
          local ok, err = pcall(call)
          assert.is_false(ok)
          assert.same({ "usage", field, field .. ": name, path, namespace or descriptor expected, got another table" },
            { err.code, err.field, err.message })
          assert.matches("network_spec%.lua:%d+$", err.where)
        end
      end
      assert.equal(#before, #net:links())
      local own <close> = assert(fc.net.open { path = "/x", fd = space.fd })   -- as vm.netns is
      assert.equal(#before, #own:links())
    end)

    it("makes one without a name that programs reach by its path", function ()
      local namespace <close> = assert(fc.net.create_namespace())
      assert.is_nil(namespace.name)
      local there <close> = assert(fc.net.open(namespace.path))
      assert.is_true(there:set_link("lo", { up = true }))
      assert.matches("UP", (sh(("nsenter --net=%s ip link show lo"):format(namespace.path))))
      assert.is_true(namespace:delete())
    end)

    it("takes namespaces where links go, and closes what it opened for it", function ()
      local namespace <close> = assert(fc.net.create_namespace(NAME))
      finally(function () fc.net.delete_namespace(NAME) end)
      local before = fds.count()
      assert.is_true(net:add_link { kind = "veth", name = "a", peer = "b", peer_netns = NAME })
      assert.is_true(net:add_link { kind = "veth", name = "c", netns = namespace, peer = "d", peer_netns = namespace.path })
      assert.is_true(net:add_tap { name = "e" })
      assert.is_true(net:set_link("e", { netns = namespace }))
      refused("ENOENT", "cannot open network namespace nowhere-at-all",
        net:add_link { kind = "veth", name = "x", peer = "y", netns = NAME, peer_netns = "nowhere-at-all" })
      refused("ENOENT", "cannot open network namespace nowhere-at-all", net:set_link("a", { netns = "nowhere-at-all" }))
      assert.equal(before, fds.count())
      local there <close> = assert(fc.net.open(NAME))
      local seen = {}
      for _, link in ipairs(there:links()) do seen[#seen + 1] = link.name end
      table.sort(seen)
      assert.same({ "b", "c", "d", "e", "lo" }, seen)
      assert.equal(2, #net:links())
    end)

    it("gives the user's line, and the field", function ()
      refused("ENODEV", "cannot look at link nope: No such device", net:link "nope")
      refused("EEXIST", "cannot add tap lo: File exists", net:add_tap { name = "lo" })
      refused("ENODEV", "cannot delete link nope: No such device", net:delete_link "nope")
      refused("ENOENT", "cannot open /proc/sys/net/nope: No such file or directory", net:sysctl "nope")
      for message, call in pairs {
        ["net:add_tap: nam: no such field"] = function () net:add_tap { nam = "t" } end,
        ["net:add_tap: name: value expected, got nil"] = function () net:add_tap {} end,
        ["net:add_link: mac: MAC address xx:xx:xx:xx:xx:xx expected, got 'x'"] = function ()
          net:add_link { kind = "bridge", name = "b", mac = "x" }
        end,
        ["net:add_link: options: table expected, got nil"] = function () net:add_link() end,
        ["net:set_link: changes: table expected, got boolean"] = function () net:set_link("lo", true) end,
        ["net:set_link: netns: open descriptor expected, got 1"] = function () net:set_link("lo", { netns = 1 }) end,
        ["net:add_address: address: address ADDRESS/BITS expected, got no value"] = function () net:add_address "lo" end,
        ["open: bad argument #1 to '?' (firecracker.fd expected, got number)"] = function () fc.net.open(1) end,
      } do
        local ok, err = pcall(call)
        assert.is_false(ok)
        assert.equal(message, err.message)
        assert.equal("usage", err.code)
        assert.matches("network_spec%.lua:%d+$", err.where)
        assert.equal(message:match "^[%w:_]+: ([%w_]+): ", err.field)
      end
    end)

    it("joins two links, all of it or nothing", function ()
      assert(net:add_tap { name = "tap0", up = true })
      assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
      local before, n = space:state(), 0
      local joined
      repeat
        n = n + 1
        faults.arm("request", n)
        local err
        joined, err = net:redirect("v0", "tap0")
        local calls = faults.arm "nothing"
        if not joined then
          assert.equal("ENOMEM", err.errno)
          assert.matches("network_spec%.lua:%d+$", err.where)
          space:unchanged(before)
          assert.is_true(calls >= n)
        end
      until joined
      assert.equal(5, n)
      assert.same({ "tap0", "v0" }, { net:redirects "v0"[1].to, net:redirects "tap0"[1].to })
      before = space:state()
      refused("EEXIST", "cannot add an ingress qdisc to tap0: File exists", net:redirect("tap0", "v1"))
      space:unchanged(before)
      refused("EEXIST", "cannot add an ingress qdisc to tap0: File exists", net:redirect("v1", "tap0"))
      space:unchanged(before)
    end)

    it("makes a tap whole or not at all", function ()
      assert(net:add_link { kind = "bridge", name = "br0", mac = "02:00:00:00:00:01" })
      local before, n, made = space:state(), 0
      repeat
        n = n + 1
        faults.arm("request", n)
        made = net:add_tap { name = "tap0", owner = 1, group = 2, master = "br0", up = true }
        faults.arm "nothing"
        if not made then space:unchanged(before) end
      until made
      assert.equal(6, n)    -- TUNSETIFF, owner, group, the link's changes, persistence
      assert.equal("tap0", space:bridge "link"[1].ifname)
    end)

    it("passes a memory error on", function ()
      local method = getmetatable(net.socket).__index.links
      local metatable = debug.getmetatable(net.socket)
      local methods = metatable.__index
      finally(function () metatable.__index = methods end)
      metatable.__index = { links = function () error("not enough memory", 0) end, close = methods.close }
      local ok, err = pcall(net.links, net)
      assert.same({ false, "not enough memory", "function" }, { ok, err, type(method) })
    end)
  end)

  it("names the capability a user lacks #root #scripts", function ()
    sh.tmpdir(function (dir)
      -- a user may not be able to read the tree; and whatever the machine's own /dev/net/tun allows, this one allows all
      assert(os.execute(("set -e; d=%s; chmod 755 $d; cp -r lua $d/; mkdir $d/lib; cp -r build/firecracker $d/lib/; " ..
        "chmod -R go+rX $d; mknod -m 666 $d/tun c 10 200"):format(sh.quote(dir))))
      local script = assert(io.open(dir .. "/try.lua", "w"))
      script:write [[
        local net = require "firecracker.network"
        local own = assert(net.open())
        local function try (ok, err)
          print(ok, err and err.errno, err and err.message)
        end
        print(own:link "lo".name)
        try(own:add_tap { name = "tap0" })
        try(own:add_link { kind = "bridge", name = "br0" })
        try(own:add_address("lo", "10.0.0.1/8"))
        try(own:add_route { to = "10.9.0.0/16", link = "lo" })
        try(own:add_ingress "lo")
        try(own:delete_link "lo")
        try(net.create_namespace())
        try(net.create_namespace "blue")
        try(net.open "/proc/self/ns/net")]]
      script:close()
      local out = sh(([[d=%s; export LUA_PATH="$d/lua/?.lua;$d/lua/?/init.lua" LUA_CPATH="$d/lib/?.so"
        unshare --net --mount sh -ec "mount --bind $d/tun /dev/net/tun; mkdir -p /run/netns
        exec setpriv --reuid=1234 --regid=1234 --clear-groups lua5.4 $d/try.lua"]]):format(sh.quote(dir)))
      local lines = {}
      for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.equal("lo", lines[1], out)
      for i = 2, 10 do
        local needs = i < 8 and "CAP_NET_ADMIN" or "CAP_SYS_ADMIN"
        assert.matches("^nil\tE[A-Z]+\tcannot .*%(needs " .. needs .. "%)", lines[i])
      end
      assert.equal(10, #lines, out)
    end)
  end)
end)
