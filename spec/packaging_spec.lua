-- What is packaged is what is in the tree: the rockspec, the Makefile and the disk agree, and both ways to install work.

local sh = require "spec.support.sh"

local function rockspec ()
  local spec = {}
  assert(loadfile("rockspec/firecracker-scm-1.rockspec", "t", spec))()
  return spec
end

local function lines (command)
  local out, status = sh(command)
  assert(status == 0, command .. ": " .. out)
  local list = {}
  for line in out:gmatch "[^\n]+" do list[#list + 1] = line end
  table.sort(list)
  return list
end

local function module_of (path)
  return (path:gsub("^lua/", ""):gsub("^scripts/", "firecracker/flows/"):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

-- The value of a Makefile variable, as a sorted list.
local function make_list (variable)
  local out = sh "make -pnq env"
  local list = {}
  for word in assert(out:match("\n" .. variable .. " := ([^\n]*)"), variable):gmatch "%S+" do list[#list + 1] = word end
  table.sort(list)
  return list
end

describe("the rockspec", function ()
  it("lists every Lua module and every flow, and nothing else", function ()
    local expected, listed = {}, {}
    for _, path in ipairs(lines "find lua scripts -name '*.lua'") do expected[module_of(path)] = path end
    for name, path in pairs(rockspec().build.modules) do
      if type(path) == "string" then listed[name] = path end
    end
    local drift = {}
    for name, path in pairs(expected) do
      if listed[name] ~= path then drift[#drift + 1] = ('add    ["%s"] = "%s",'):format(name, path) end
    end
    for name, path in pairs(listed) do
      if not expected[name] then drift[#drift + 1] = ('remove ["%s"] = "%s",'):format(name, path) end
    end
    table.sort(drift)
    assert(#drift == 0, "build.modules:\n" .. table.concat(drift, "\n"))
  end)

  for name, variable in pairs { ["firecracker.core"] = "core_c", ["firecracker.core.http"] = "http_c",
    ["firecracker.core.net"] = "net_c" } do
    it("compiles " .. name .. " from the sources that make takes", function ()
      local listed = rockspec().build.modules[name].sources
      assert.same(make_list(variable), listed)
    end)
  end

  it("leaves no C source of the modules out", function ()
    local taken = {}
    for _, module in pairs(rockspec().build.modules) do
      for _, source in ipairs(type(module) == "table" and module.sources or {}) do taken[source] = true end
    end
    for _, source in ipairs(lines "ls csrc/*.c csrc/sys/*.c") do assert(taken[source], source .. " is in no module") end
  end)

  it("installs offline with Debian's packages, and its fclua runs #scripts", function ()
    if select(2, sh "command -v luarocks") ~= 0 then pending "luarocks is not installed" end
    sh.tmpdir(function (dir)
      local q = sh.quote(dir)
      local out, status = sh("cp -r csrc lua scripts rockspec LICENSE " .. q .. " && cd " .. q ..
        " && unset LUA_PATH LUA_CPATH LUA_PATH_5_4 LUA_CPATH_5_4" ..
        " && LUAROCKS_CONFIG=rockspec/debian.lua luarocks --lua-version 5.4 --tree tree make && tree/bin/fclua --version" ..
        " && cd tree/share/lua/5.4/firecracker/guest && cmp build ../../../../../../scripts/guest/build" ..
        " && cmp init.c ../../../../../../scripts/guest/init.c")
      assert(status == 0, (out:gsub("gcc [^\n]*\n", "")))
    end)
  end)
end)

describe("make install", function ()
  -- Every Lua module is in the tree `root`, as it is here.
  local function assert_whole (root)
    for name, from in pairs(rockspec().build.modules) do
      if type(from) == "string" then
        local path = assert(package.searchpath(name, root .. "/?.lua;" .. root .. "/?/init.lua"))
        assert.equal("", (sh(("cmp %s %s"):format(from, sh.quote(path)))))
      end
    end
  end

  it("puts every module where lua5.4 finds it #scripts", function ()
    sh.tmpdir(function (dir)
      local q = sh.quote(dir)
      local out, status = sh("make -s install PREFIX=/usr DESTDIR=" .. q)
      assert(status == 0, out)
      local root = dir .. "/usr/share/lua/5.4/"
      for name, from in pairs(rockspec().build.modules) do
        if type(from) == "string" then
          assert(package.searchpath(name, root .. "?.lua;" .. root .. "?/init.lua"))
        else
          assert(package.searchpath(name, dir .. "/usr/lib/lua/5.4/?.so"))
        end
      end
      assert(io.open(root .. "firecracker/guest/init.c")):close()
      out, status = sh(("LUA_PATH='%s?.lua;%s?/init.lua;;' LUA_CPATH='%s/usr/lib/lua/5.4/?.so;;' " ..
        "%s/usr/bin/fclua guest build /proc/nowhere"):format(root, root, dir, q))
      assert.matches("mkdir: [^\n]*/proc/nowhere", out)    -- it is the script that refuses
      assert.equal(1, status)
    end)
  end)

  it("takes paths that are relative or hold blanks, where the shell has a CDPATH #scripts", function ()
    sh.tmpdir(function (dir)
      assert.equal("", (sh(("mkdir -p %s/other/lua && echo no >%s/other/lua/no.lua"):format(dir, dir))))
      local near = sh("realpath --relative-to=. " .. dir):match "[^\n]+"
      for i, words in ipairs { ("DESTDIR='%s/a b' PREFIX='/c  d'"):format(near), ("DESTDIR= PREFIX='%s/a b/c  d'"):format(near) } do
        local out, status = sh(("CDPATH=%s/other make -s install COMPILED= %s"):format(dir, words))
        assert(status == 0, out)
        assert_whole(dir .. "/a b/c  d/share/lua/5.4")
        out = sh(("cd %s && mv 'a b/c  d' was%d && ls -R -- 'a b' && find -name no.lua"):format(dir, i))
        assert.equal("a b:\n./other/lua/no.lua\n", out)
      end
    end)
  end)

  -- Lua itself looks below /usr and /usr/local only; what LUA_PATH names may be of another version.
  it("makes a fclua that finds its modules, wherever they are #scripts", function ()
    sh.tmpdir(function (dir)
      local near = sh("realpath --relative-to=. " .. dir):match "[^\n]+"
      assert.equal("", (sh(("mkdir -p %s/other/firecracker && echo 'error \"other\"' >%s/other/firecracker/cli.lua"):format(dir, dir))))
      local out, status = sh("make -s install COMPILED= DESTDIR= PREFIX=" .. sh.quote(near .. "/it's & |"))
      assert(status == 0, out)
      for _, lua_path in ipairs { "", ("LUA_PATH='%s/other/?.lua;;'"):format(dir) } do
        out, status = sh(("cd / && env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4 %s %s check boot")
          :format(lua_path, sh.quote(dir .. "/it's & |/bin/fclua")))
        assert.matches(("^flow %s/it's & |/share/lua/5.4/firecracker/flows/boot.lua\n"):format(dir), out)
        assert.equal(0, status)
      end
    end)
  end)

  it("fails where a module cannot be put #scripts", function ()
    sh.tmpdir(function (dir)
      sh(("mkdir -p %s/share/lua/5.4/firecracker && touch %s/share/lua/5.4/firecracker/api"):format(dir, dir))
      local out, status = sh("make -s install COMPILED= DESTDIR= PREFIX=" .. dir)
      assert.matches("firecracker/api", out)
      assert.equal(2, status)
    end)
  end)

  it("compiles what it put there alone, also where it has been before #scripts", function ()
    sh.tmpdir(function (dir)
      local root = dir .. "/share/lua/5.4"
      for _ = 1, 2 do
        local out, status = sh("make -s install COMPILED=1 DESTDIR= PREFIX=" .. dir)
        assert(status == 0, out)
        assert.equal("return 1\n", (sh(("cd %s/firecracker && echo 'return 1' | tee -a flows/mine.lua && mv api/gate.lua api/old.lua")
          :format(root))))
      end
      assert.equal("return 1\nreturn 1\n", (sh(("cat %s/firecracker/flows/mine.lua"):format(root))))
      local out, status = sh("make -s install COMPILED= DESTDIR= PREFIX=" .. dir)
      assert(status == 0, out)
      assert_whole(root)
    end)
  end)

  it("compiled, puts bytecode in the place of the modules, and errors keep their lines #scripts", function ()
    sh.tmpdir(function (dir)
      local q = sh.quote(dir)
      local out, status = sh("make -s install COMPILED=1 DESTDIR= PREFIX=" .. q)
      assert(status == 0, out)
      local root = dir .. "/share/lua/5.4/"
      for name, from in pairs(rockspec().build.modules) do
        if type(from) == "string" then
          local file <close> = assert(io.open((assert(package.searchpath(name, root .. "?.lua;" .. root .. "?/init.lua")))))
          assert.equal(name:find("firecracker.flows.", 1, true) == nil, file:read(4) == "\27Lua", name)
        end
      end
      local environment = ("LUA_PATH='%s?.lua;%s?/init.lua' LUA_CPATH='%s/lib/lua/5.4/?.so' "):format(root, root, dir)
      local script = dir .. "/script.lua"
      local file = assert(io.open(script, "w"))
      file:write [[
        local fc = require "firecracker"
        local _, err = pcall(fc.new, { drives = 1 })
        print(err)
        print(assert(fc.flow "boot").path)
        print(debug.getinfo(require "firecracker.text".closest, "S").source)]]
      file:close()
      out = sh(environment .. "lua5.4 " .. sh.quote(script))
      local where, flow, source = out:match "^([^\n]*)\n([^\n]*)\n([^\n]*)\n$"
      assert.equal(script .. ":2: config.drives: list expected, got number", where)
      assert.equal(root .. "firecracker/flows/boot.lua", flow)
      assert.equal("@" .. root .. "firecracker/text.lua", source)
    end)
  end)
end)
