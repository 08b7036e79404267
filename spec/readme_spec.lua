-- README.md names everything there is: sections, verbs, the facade's names, files, packages.

local sh = require "spec.support.sh"

local function read (path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local text = read "README.md"

-- Each name stands in the text, as a word of its own; in code, unless `anywhere`.
local function names (where, list, anywhere)
  local missing = {}
  for _, name in ipairs(list) do
    local found = false
    local pattern = "%f[%w_]" .. name:gsub("%p", "%%%0") .. "%f[^%w_]"
    if anywhere then
      found = where:find(pattern) ~= nil
    else
      for code in where:gmatch "`([^`\n]+)`" do
        found = found or code:find(pattern) ~= nil
      end
    end
    if not found then
      missing[#missing + 1] = name
    end
  end
  assert.same({}, missing)
  assert.is_true(#list > 0)
end

local function section (title)
  return assert((text:match("\n## " .. title .. "\n(.-)\n## ")), title)
end

local function fields_of (record)
  local list = {}
  for _, field in ipairs(record.fields) do
    if not field.elsewhere then
      list[#list + 1] = field.name
    end
  end
  return list
end

local function all (source, pattern)
  local list = {}
  for name in source:gmatch(pattern) do
    list[#list + 1] = name
  end
  return list
end

describe("README.md names", function ()
  local schema = require "firecracker.config.schema"
  local records = {}
  for _, field in ipairs(schema.fields) do
    records[field.name] = field
  end

  it("each section of a configuration", function ()
    names(section "A machine", fields_of(schema))
  end)

  for _, name in ipairs { "vmm", "timeouts" } do
    it("each field of " .. name, function ()
      names(section "A machine", fields_of(records[name]))
    end)
  end

  it("each field of jailer", function ()
    names(section "In a jail", fields_of(records.jailer))
  end)

  it("what is ours of an interface", function ()
    local ours = {}
    for _, field in ipairs(records.network_interfaces.item.fields) do
      if field.fields and field.name ~= "rx_rate_limiter" and field.name ~= "tx_rate_limiter" then
        ours[#ours + 1] = field.name
        table.move(fields_of(field), 1, #field.fields, #ours + 1, ours)
      end
    end
    names(section "Network", ours)
  end)

  local sources = sh "cat $(find lua -name '*.lua')"

  it("each verb of a machine", function ()
    -- Those of the process are for launchers.
    local list = all(sh "cat $(find lua -name '*.lua' ! -path '*/machine/process.lua')", "@function vm:([%w_]+)")
    assert.is_true(#list > 40)
    names(section "A machine", list)
  end)

  for title, what in pairs { Network = "net", Console = "console", ["Talking to the guest"] = "stream" } do
    it("each method of " .. what, function ()
      names(section(title), all(sources, "@function " .. what .. ":([%w_]+)"), true)
    end)
  end

  it("each code of an error", function ()
    local list, seen = {}, {}
    local c = sh "cat csrc/*.c csrc/sys/*.c"
    for _, found in ipairs { all(sh "cat $(find lua -name '*.lua' ! -path '*/testing/*')", 'code = "(%l+)"'),
                             all(c, 'err%->code = "(%l+)"'), all(c, 'fc_error_set%(err, "(%l+)"') } do
      for _, code in ipairs(found) do
        list[#list + 1] = not seen[code] and code or nil
        seen[code] = true
      end
    end
    assert.is_true(#list > 20)
    for i, code in ipairs(list) do
      list[i] = '"' .. code .. '"'
    end
    local errors = text:match "\n%*%*Errors%.%*%*(.-)\n\n"
    for _, code in ipairs(list) do
      assert.is_true(errors:find("`" .. code .. "`", 1, true) ~= nil, code)
    end
  end)

  it("each name of the facade", function ()
    local fc, list = require "firecracker", {}
    for name in pairs(fc) do
      list[#list + 1] = "fc." .. name
    end
    local later = read "lua/firecracker/init.lua":match "LATER <const> = (%b{})"
    for name in later:sub(2):gmatch "([%w_]+) = {" do
      list[#list + 1] = "fc." .. name
    end
    assert.is_true(#list > 30)
    names(text, list)
  end)

  it("the files and directories", function ()
    local house = text:match "\n## The house\n(.*)$"
    local found = all(sh "cd lua/firecracker && ls -d *.lua && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\\n'", "[^\n]+")
    table.move(all(sh "cd scripts && ls -d *", "[^\n]+"), 1, 100, #found + 1, found)
    table.move(all(sh "cd csrc && ls -d fuzz sys && cd sys && ls *.h | sed 's/[_.].*//' | sort -u", "[^\n]+"), 1, 100, #found + 1, found)
    names(house, found, true)
  end)

  it("the packages that scripts/setup installs", function ()
    local setup = read "scripts/setup"
    local list = all(setup:match "packages=%((.-)%)" .. " " .. setup:match "packages%+=%((.-)%)", "[%w.-]+")
    assert.is_true(#list > 20)
    for i, name in ipairs(list) do
      assert.is_true(text:find(name, 1, true) ~= nil, i .. " " .. name)
    end
  end)

  it("no verb and no function that is not there", function ()
    local fc = require "firecracker"
    local vm, missing, count = assert(fc.new()), {}, 0
    for name in text:gmatch "vm:([%w_]+)" do
      count, missing[#missing + 1] = count + 1, type(vm[name]) ~= "function" and name or nil
    end
    for path in text:gmatch "%f[%w_]fc%.([%a_][%w_.]*)" do
      local value = fc
      for name in path:gmatch "[%w_]+" do
        value = type(value) == "table" and value[name] or nil
      end
      count, missing[#missing + 1] = count + 1, value == nil and path or nil
    end
    assert.same({}, missing)
    assert.is_true(count > 80)
  end)

  it("no file that is not there", function ()
    local missing = {}
    for path in text:gmatch "`([%w_]+/[%w_./]+)`" do
      local top = path:match "^[^/]+"
      if (top == "scripts" or top == "spec" or top == "lua" or top == "csrc") and not os.rename(path, path) then
        missing[#missing + 1] = path
      end
    end
    assert.same({}, missing)
  end)
end)
