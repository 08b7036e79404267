-- Every method of every handle of the C core: on one that is closed, and on what is no such handle, it raises and says so.

local core = require "firecracker.core"
local fds = require "spec.support.fds"
local http = require "firecracker.core.http"
local net = require "firecracker.core.net"
local scratch = require "spec.support.scratch"

local function terminal ()
  local master <close>, slave = core.files.open_pty()
  local _ <close> = slave
  assert.is_truthy(master)
  return core.terminal.raw(slave:number())
end

local function copy ()
  local target = scratch "copy"
  local made = core.files.copy("/etc/passwd", target)
  os.remove(target)
  return made
end

local function listener ()
  local path = scratch "listener"
  local made = core.listener.open(path)
  os.remove(path)
  return made
end

local function request ()
  local client <close> = http.client(core.reactor(), "/no/such")
  return client:request()
end

-- metatable's name -> one of its kind, how a closed one is called
local HANDLES <const> = {
  ["firecracker.copy"] = { copy, "copy" },
  ["firecracker.fd"] = { function () return core.files.open("/dev/null", "r") end, "descriptor" },
  ["firecracker.http.client"] = { function () return http.client(core.reactor(), "/no/such") end, "client" },
  ["firecracker.http.request"] = { request, "request" },
  ["firecracker.listener"] = { listener, "listener" },
  ["firecracker.netlink"] = { function () return net.netlink.open() end, "network" },
  ["firecracker.process"] = { function () return core.process.adopt(1) end, "process" },
  ["firecracker.signals"] = { function () return core.signals.open { "USR1" } end, "signals" },
  ["firecracker.stream"] = { function () return core.stream.open((core.files.open_pty())) end, "stream" },
  ["firecracker.terminal"] = { terminal, "terminal" },
  ["firecracker.timer"] = { function () return core.reactor():timer() end, "timer" },
  ["firecracker.watch"] = { function () return core.watch.open("/", "proc") end, "watch" },
}

describe("a handle of the core,", function ()
  setup(function ()
    for _, case in pairs(HANDLES) do   -- what stays: inotify, libcurl's own
      assert(case[1]()):close()
    end
  end)
  before_each(fds.remember)
  after_each(fds.compare)

  for kind, case in pairs(HANDLES) do
    local make, name = table.unpack(case)

    it(kind .. ", that is closed raises by every method, but for closing it again", function ()
      local handle = assert(make())
      local metatable = debug.getmetatable(handle)
      assert.equal(kind, metatable.__name)
      assert.is_true(#tostring(handle) > 0)
      handle:close()
      assert.is_true(#tostring(handle) > 0)
      for method, fn in pairs(metatable.__index) do
        if method == "close" then
          handle:close()
        else
          assert.error_matches(function () fn(handle) end, ("%%(closed %s%%)$"):format(name), method)
        end
      end
    end)

    it(kind .. ", takes no other value for itself", function ()
      local handle <close> = assert(make())
      local metatable = debug.getmetatable(handle)
      for where, methods in pairs { method = metatable.__index, metamethod = metatable } do
        for method, fn in pairs(methods) do
          if type(fn) == "function" then
            for got, value in pairs { table = {}, ["FILE*"] = io.stdout, ["no value"] = false } do
              local message = ("bad argument #1 to '.-' %%(%s expected, got %s%%)$"):format(kind:gsub("%.", "%%."), got:gsub("%*", "%%*"))
              local function call ()
                if value then fn(value) else fn() end
              end
              assert.error_matches(call, message, where .. " " .. method)
            end
          end
        end
      end
    end)
  end

  it("whatever its kind, is among these", function ()
    for name, metatable in pairs(debug.getregistry()) do
      if type(name) == "string" and name:find "^firecracker%." and type(metatable) == "table"
          and type(metatable.__index) == "table" and metatable.__index.close then
        assert.is_table(HANDLES[name], name)
      end
    end
  end)
end)
