-- The functions that the C bindings register, against the LDoc blocks above their definitions: read from the sources.

local lfs = require "lfs"

local function sources ()
  local list = {}
  for name in lfs.dir "csrc" do
    if name:match "^l.*%.c$" then
      local file <close> = assert(io.open("csrc/" .. name))
      list[name] = file:read "a"
    end
  end
  return list
end

-- C function -> the name it gets in Lua; metamethods and the parts of the module are none of the user's.
local function registered (source)
  local names = {}
  for array in source:gmatch "static const luaL_Reg [%w_]+%[%] = (%b{});" do
    for name, fn in array:sub(2):gmatch '{"([%w_]+)",%s*([%w_]+)}' do
      if name:sub(1, 2) ~= "__" and not fn:match "^fc_open_" then
        names[fn] = name
      end
    end
  end
  for fn in source:gmatch "lua_pushcfunction%(L, ([%w_]+)%)" do
    names[fn] = fn:match "_([%w_]+)$"
  end
  return names
end

-- C function -> the name its block gives it: "fd:number", "process.spawn", "now"
local function documented (source)
  local names = {}
  for block, after in source:gmatch "/%*%*%*(.-)%*/()" do
    local fn = source:match("^%s*static int ([%w_]+) %(lua_State %*L%)", after)
    if fn then
      names[fn] = block:match "@function ([%w_.:]+)" or "a block without @function"
    end
  end
  return names
end

describe("the C bindings", function ()
  local found = 0

  for name, source in pairs(sources()) do
    local code, text = registered(source), documented(source)

    it("in " .. name .. " have a block for each function, under its name", function ()
      for fn, key in pairs(code) do
        found = found + 1
        assert.is_string(text[fn], fn .. " has no block")
        local owner, last = text[fn]:match "^(.-)[.:]?([%w_]+)$"
        assert.equal(key, last, fn)
        assert.is_true(fn == owner .. "_" .. key or owner == "", ("%s is documented as %s"):format(fn, text[fn]))
      end
    end)

    it("in " .. name .. " have a function for each block", function ()
      for fn, documented_as in pairs(text) do
        assert.is_string(code[fn], documented_as .. " is registered nowhere")
      end
      local _, blocks = source:gsub("@function", "")
      local n = 0
      for _ in pairs(text) do n = n + 1 end
      assert.equal(blocks, n, "a block stands above no function")
    end)
  end

  it("are found at all", function ()
    local n = 0
    for _, source in pairs(sources()) do
      for _ in pairs(registered(source)) do n = n + 1 end
    end
    assert.is_true(n >= 50)
  end)

  it("register what the modules hold", function ()
    local in_sources = {}
    for _, source in pairs(sources()) do
      for fn in pairs(registered(source)) do
        in_sources[fn] = true
      end
    end
    for part, value in pairs(require "firecracker.core") do
      for name, fn in pairs(type(value) == "table" and value or {}) do
        assert.is_true(type(fn) ~= "function" or in_sources[part .. "_" .. name] ~= nil, part .. "." .. name)
      end
    end
  end)
end)
