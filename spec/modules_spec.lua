-- Loading: no global is touched, the library may be loaded twice in one state, the core again and again.

local core = require "firecracker.core"
local host = require "spec.support.host"
local sh = require "spec.support.sh"

-- Name of every module in lua/, and of those in C.
local function modules ()
  local list = { "firecracker.core", "firecracker.core.http", "firecracker.core.net" }
  for path in sh "find lua -name '*.lua' | LC_ALL=C sort":gmatch "lua/(%S+)%.lua" do
    list[#list + 1] = path:gsub("/init$", ""):gsub("/", ".")
  end
  return list
end

describe("loading", function ()
  for _, name in ipairs(modules()) do
    it(name .. " alone touches no global, no library and no metatable of a basic type", function ()
      local out = host("", ([[
        local function all (value, path, seen, list)
          if type(value) == "table" and not seen[value] then
            seen[value] = true
            for key, field in next, value do
              list[#list + 1] = path .. tostring(key) .. " " .. tostring(field)
              if value ~= package.loaded then
                all(field, path .. tostring(key) .. ".", seen, list)
              end
            end
          end
          return list
        end
        local function now ()
          local list = {}
          all(_G, "", { [package.loaded] = true }, list)
          for _, value in ipairs { "", 0, true, print, coroutine.create(print), io.stdout } do
            list[#list + 1] = type(value) .. tostring(debug.getmetatable(value))
          end
          list[#list + 1] = tostring(debug.getmetatable(nil)) .. tostring(debug.gethook()) .. tostring(getmetatable(_G))
          list[#list + 1] = tostring(warn) .. collectgarbage "incremental" .. os.setlocale()
          table.sort(list)
          return table.concat(list, "\n")
        end
        now()    -- what changes by looking
        local before = now()
        require %q
        print(before == now() or now())
      ]]):format(name))
      assert.equal("true\n", out)
    end)
  end

  it("twice gives two copies that work on one reactor", function ()
    local out = host("", [[
      local first = require "firecracker"
      local core = require "firecracker.core"
      for name in pairs(package.loaded) do
        if name:match "^firecracker" then package.loaded[name] = nil end
      end
      local second = require "firecracker"
      print(first ~= second, core.reactor() == require "firecracker.core".reactor())
      local order = {}
      first.run(function ()
        first.spawn(function () first.sleep(0.02); order[#order + 1] = "first" end)
        second.spawn(function () second.sleep(0.01); order[#order + 1] = "second" end)
        second.sleep(0.03)
      end)
      second.run(function ()
        local task = first.spawn(function () first.sleep(0.01); return "third" end)
        order[#order + 1] = task:wait()
      end)
      print(table.concat(order, " "))
    ]])
    assert.equal("true\ttrue\nsecond first third\n", out)
  end)

  it("the core again keeps its metatables, so that handles of before work", function ()
    local fd <close> = assert(core.files.open("/dev/null", "r"))
    local timer <close> = assert(core.reactor():timer())
    local list = core.json.array()
    local open = package.loadlib(assert(package.searchpath("firecracker.core", package.cpath)), "luaopen_firecracker_core")
    for _ = 1, 3 do
      local again = open()
      assert.equal(debug.getmetatable(fd), debug.getmetatable(assert(again.files.open("/dev/null", "r"))))
      assert.equal(debug.getmetatable(timer), debug.getmetatable(assert(again.reactor():timer())))
      assert.equal("[]", again.json.encode(list))
    end
    assert.is_true(fd:number() >= 0)
    collectgarbage()
  end)

  for name, case in pairs {
    ["firecracker.core.http"] = { function (module) return module.client(core.reactor(), "/no/such") end,
                                  function (client) return client:request() end },
    ["firecracker.core.net"] = { function (module) return module.netlink.open() end, function (net) return net:links() end },
  } do
    it(name .. " again keeps its metatables too", function ()
      local make, use = table.unpack(case)
      local old <close> = assert(make(require(name)))
      local open = package.loadlib(assert(package.searchpath(name, package.cpath)), "luaopen_" .. name:gsub("%.", "_"))
      for _ = 1, 3 do
        local new <close> = assert(make(open()))
        assert.equal(debug.getmetatable(old), debug.getmetatable(new))
        assert(use(old))
        assert(use(new))
      end
      collectgarbage()
      assert(use(old))
    end)
  end
end)
