local errors = require "firecracker.errors"
local flow = require "firecracker.flow"
local machine_stub = require "spec.support.machine_stub"
local scratch = require "spec.support.scratch"

local function step (name)
  return flow.handler(name, function (vm)
    vm.ran[#vm.ran + 1] = name
    vm:acquire(name)
  end)
end

local function names (list)
  local result = {}
  for i, each in ipairs(list) do
    result[i] = each.name
  end
  return table.concat(result, " ")
end

local function refusal (fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(errors.is(err))
  assert.equal("flow", err.code)
  return err
end

describe("a flow", function ()
  local f

  before_each(function ()
    f = flow.new { validation = { step "v" }, fcinit = { step "a", step "b" } }
  end)

  it("is told apart", function ()
    assert.is_true(flow.is(f))
    assert.is_false(flow.is { validation = {}, fcinit = {} })
  end)

  it("may leave a list out", function ()
    assert.equal(0, #flow.new({}).validation)
    assert.equal(0, #flow.new({}).fcinit)
  end)

  for _, case in ipairs {
    { nil, "flow: table expected, got nil" },
    { { fcinti = {} }, "flow.fcinti: unknown list (did you mean 'fcinit'?)" },
    { { print }, "flow.1: unknown list" },
    { { fcinit = print }, "fcinit: list expected, got function" },
    { { validation = { nil, print } }, "validation[1]: handler or function expected, got nil" },
  } do
    it("is not made of anything else: " .. case[2], function ()
      local line = debug.getinfo(1, "l").currentline + 1
      local err = refusal(function () flow.new(case[1]) end)
      assert.equal(case[2], err.message)
      assert.matches("flow_spec.lua:" .. line .. "$", err.where)
    end)
  end

  local edits = {
    { "append", { "fcinit", step "x" }, "v", "a b x" },
    { "append", { "validation", step "x", step "y" }, "v x y", "a b" },
    { "prepend", { "fcinit", step "x" }, "v", "x a b" },
    { "clear", { "fcinit" }, "v", "" },
    { "append_after", { "a", step "x" }, "v", "a x b" },
    { "append_after", { "v", step "x" }, "v x", "a b" },
    { "insert_before", { "b", step "x" }, "v", "a x b" },
    { "swap", { "v", step "x" }, "x", "a b" },
    { "swap", { step "b" }, "v", "a b" },
    { "swappend", { step "v" }, "v", "a b" },
    { "swappend", { step "x" }, "v", "a b x" },
    { "remove", { "a" }, "v", "b" },
  }
  for i, case in ipairs(edits) do
    it(("is edited in place by %s (%d) and returned"):format(case[1], i), function ()
      assert.equal(f, f[case[1]](f, table.unpack(case[2])))
      assert.equal(case[3], names(f.validation))
      assert.equal(case[4], names(f.fcinit))
    end)
  end

  it("has the steps of both lists", function ()
    assert.is_true(f:has "v")
    assert.is_true(f:has "b")
    assert.is_false(f:has "x")
  end)

  for _, case in ipairs {
    { "append", { step "x" }, "append: 'validation' or 'fcinit' expected, got table" },
    { "prepend", { "fcint", print }, "prepend: 'validation' or 'fcinit' expected, got 'fcint'" },
    { "clear", {}, "clear: 'validation' or 'fcinit' expected, got nil" },
    { "append_after", { "vv", print }, "no step 'vv' (did you mean 'v'?)" },
    { "insert_before", { "bb", print }, "no step 'bb' (did you mean 'b'?)" },
    { "swap", { "long name", print }, "no step 'long name'" },
    { "remove", { "long name" }, "no step 'long name'" },
    { "remove", {}, "name of a step expected, got nil" },
  } do
    it(("refuses %s at the caller's line: %s"):format(case[1], case[3]), function ()
      local line = debug.getinfo(1, "l").currentline + 1
      local err = refusal(function () f[case[1]](f, table.unpack(case[2])) end)
      assert.equal(case[3], err.message)
      assert.matches("flow_spec.lua:" .. line .. "$", err.where)
    end)
  end

  it("shares no list with its copy", function ()
    f.path = "boot.lua"
    local copy = f:copy()
    copy:remove "a":append("validation", step "w")
    assert.equal("v", names(f.validation))
    assert.equal("a b", names(f.fcinit))
    assert.equal("v w", names(copy.validation))
    assert.equal(f.fcinit[2], copy.fcinit[1])
    assert.equal("boot.lua", copy.path)
  end)

  it("prints its path and its lists", function ()
    assert.equal(("flow\n%s\n%s"):format(f.validation, f.fcinit), tostring(f))
    f.path = "scripts/boot.lua"
    assert.equal(("flow scripts/boot.lua\n%s\n%s"):format(f.validation, f.fcinit), tostring(f))
  end)

  describe("run", function ()
    local vm

    before_each(function ()
      vm = machine_stub()
      vm.ran, vm.emit = {}, nil
    end)

    it("runs validation, then fcinit", function ()
      assert.same({ true, n = 1 }, table.pack(f:run(vm)))
      assert.same({ "v", "a", "b" }, vm.ran)
      assert.same({}, vm.undone)
    end)

    it("skips validation when told to", function ()
      vm.config.disable_validation = true
      assert.is_true(f:run(vm))
      assert.same({ "a", "b" }, vm.ran)
    end)

    it("takes back everything since it began, in reverse, when a step fails", function ()
      vm:acquire "before"
      f:append_after("a", flow.handler("mine.Bad", function (m)
        m:acquire "half"
        return nil, errors.new { code = "api", message = "refused" }
      end))
      local ok, err = f:run(vm)
      assert.is_nil(ok)
      assert.equal("api", err.code)
      assert.equal("mine.Bad", err.handler)
      assert.same({ "v", "a" }, err.done)
      assert.same({ "half", "a", "v" }, err.undone)
      assert.same({ "half", "a", "v" }, vm.undone)
      assert.equal(1, #vm.undo)
    end)

    it("names script and line of a step that raised", function ()
      local line = debug.getinfo(1, "l").currentline + 1
      f:append("fcinit", function (m) return m.nothing.there end)
      local _, err = f:run(vm)
      assert.matches("flow_spec.lua:" .. line .. "$", err.where)
      assert.matches("flow_spec.lua:" .. line .. "$", err.handler)
      assert.equal("raised", err.code)
    end)

    it("names script and line of a step that returns a call", function ()
      local library = debug.getinfo(errors.new, "S").source:match "^@.*/"
      local put = load("local e = ... ; return function () return nil, e.new { code = 'api', message = 'm' } end",
        library .. "api/client.lua")(errors)
      local line = debug.getinfo(1, "l").currentline + 1
      f:append("fcinit", flow.handler("mine.CpuConfig", function () return put() end))
      local _, err = f:run(vm)
      assert.equal("api", err.code)
      assert.matches("flow_spec.lua:" .. line .. "$", err.where)
    end)

    it("lets a step edit what is still to come", function ()
      f:append("validation", function () f:remove "a" end)
      f:insert_before("b", function () f:clear "fcinit" end)
      assert.is_true(f:run(vm))
      assert.same({ "v", "b" }, vm.ran)
    end)

    it("refuses what is no machine", function ()
      assert.equal("machine expected, got nil", refusal(f.run, f, nil).message)
    end)
  end)
end)

describe("flow.load", function ()
  local path, package_path

  -- The script's own text begins at line 2.
  local function script (body)
    local file = assert(io.open(path, "w"))
    file:write("local flow = require 'firecracker.flow'\n", body)
    file:close()
  end

  before_each(function ()
    path = scratch "flow.lua"
    package_path = package.path
  end)

  after_each(function ()
    package.path = package_path
    os.remove(path)
  end)

  it("returns the flow and notes its script", function ()
    script "return flow.new { fcinit = { print } }"
    local f = assert(flow.load(path))
    assert.is_true(flow.is(f))
    assert.equal(path, f.path)
  end)

  it("runs the script anew each time", function ()
    script "return flow.new {}"
    assert.are_not.equal(flow.load(path), flow.load(path))
  end)

  it("hands the arguments over, an empty table without any", function ()
    script "local args = ... ; return flow.new { fcinit = { args.step } }"
    assert.equal(print, flow.load(path, { step = print }).fcinit[1].run)
    assert.equal(0, #flow.load(path).fcinit)
  end)

  it("finds an installed flow by its name", function ()
    script "return flow.new {}"
    local directory = path:gsub("%.lua$", "-tree")
    local flows = directory .. "/firecracker/flows"
    local installed = flows .. "/mine.lua"
    os.execute("mkdir -p " .. flows)
    assert(os.rename(path, installed))
    finally(function ()
      os.remove(installed)
      os.execute(("cd %s/.. && rmdir -p %s/firecracker/flows"):format(directory, directory:match "[^/]*$"))
    end)
    package.path = directory .. "/?.lua;" .. package.path
    assert.equal(installed, assert(flow.load "mine").path)
  end)

  it("sees each change of a script, however soon and of whatever size", function ()
    for i = 8, 12 do
      script(("return flow.new { fcinit = { require 'firecracker.handler'.new('step %02d', print) } }"):format(i))
      local time = i == 10 and "10 seconds ago" or "2100-01-01"   -- a time that two of them share says nothing
      assert(os.execute(("touch -d '%s' %s"):format(time, path)))
      for _ = 1, 2 do
        assert.is_true(assert(flow.load(path)):has(("step %02d"):format(i)))
      end
    end
  end)

  it("looks for an installed flow again where it is gone", function ()
    local first, second = path:gsub("%.lua$", "-a"), path:gsub("%.lua$", "-b")
    for _, directory in ipairs { first, second } do
      assert(os.execute("mkdir -p " .. directory .. "/firecracker/flows"))
      script "return flow.new {}"
      assert(os.rename(path, directory .. "/firecracker/flows/moves.lua"))
    end
    finally(function () os.execute(("rm -r %s %s"):format(first, second)) end)
    package.path = ("%s/?.lua;%s/?.lua;%s"):format(first, second, package.path)
    assert.equal(first .. "/firecracker/flows/moves.lua", assert(flow.load "moves").path)
    os.remove(first .. "/firecracker/flows/moves.lua")
    assert.equal(second .. "/firecracker/flows/moves.lua", assert(flow.load "moves").path)
  end)

  it("takes a name that ends in .lua for a path", function ()
    local f, err = flow.load "no-such-flow.lua"
    assert.is_nil(f)
    assert.equal("no-such-flow.lua: No such file or directory", err.message)
    assert.equal("flow", err.code)
    assert.equal("no-such-flow.lua", err.path)
  end)

  it("says that a directory is no script", function ()
    local _, err = flow.load "/tmp/"
    assert.equal("/tmp/: Is a directory", err.message)
  end)

  it("takes a script with a #! line and one with a byte order mark", function ()
    for _, head in ipairs { "#!/usr/bin/env lua5.4\n", "\xef\xbb\xbf", "\xef\xbb\xbf#!/usr/bin/env lua5.4\n" } do
      local file = assert(io.open(path, "w"))
      file:write(head, "return require 'firecracker.flow'.new {}")
      file:close()
      assert.is_true(flow.is(flow.load(path)))
    end
  end)

  it("says that there is no such flow", function ()
    local f, err = flow.load "no-such-flow"
    assert.is_nil(f)
    assert.equal("flow", err.code)
    assert.equal("no flow 'no-such-flow'", err.message)
    assert.matches("path with a slash", err.hint)
  end)

  for _, case in ipairs {
    { "\nreturn flow.new {", "unexpected symbol near <eof>", 3 },
    { "x = 1", "assignment to global 'x' (make it local)", 2 },
    { "\nprint = nil", "assignment to global 'print' (make it local)", 3 },
    { "local function f ()\nundeclared = 1 end\nf()", "assignment to global 'undeclared' (make it local)", 3 },
    { "return nosuch.handler", "attempt to index a nil value (global 'nosuch')", 2 },
    { "\nreturn flow.new { fcinit = { flow.nosuch, print } }", "fcinit[1]: handler or function expected, got nil", 3 },
    { "return flow.new({}):remove 'fcinit.AddVsocks'", "no step 'fcinit.AddVsocks'", 2 },
  } do
    it("names the script's line: " .. case[2], function ()
      script(case[1])
      local f, err = flow.load(path)
      assert.is_nil(f)
      assert.equal("flow", err.code)
      assert.equal(case[2], err.message)
      assert.equal(("%s:%d"):format(path, case[3]), err.where)
      assert.equal(path, err.path)
    end)
  end

  it("names a long path in full", function ()
    local directory = path:gsub("%.lua$", "") .. ("-long"):rep(15)
    os.execute("mkdir " .. directory)
    local short = path
    path = directory .. "/flow.lua"
    finally(function ()
      os.remove(path)
      os.remove(directory)
      path = short
    end)
    for body, line in pairs { ["return nosuch.x"] = 2, ["\nreturn ("] = 3 } do
      script(body)
      local _, err = flow.load(path)
      assert.equal(("%s:%d"):format(path, line), err.where)
    end
  end)

  for body, got in pairs { [""] = "nil", ["return {}"] = "table" } do
    it("says when a script returns a " .. got, function ()
      script(body)
      local f, err = flow.load(path)
      assert.is_nil(f)
      assert.equal("flow", err.code)
      assert.equal(("%s: a flow expected, the script returned %s"):format(path, got), tostring(err))
    end)
  end

  it("refuses compiled chunks", function ()
    local file = assert(io.open(path, "wb"))
    file:write(string.dump(load "return 1"))
    file:close()
    local f, err = flow.load(path)
    assert.is_nil(f)
    assert.matches("attempt to load a binary chunk", err.message)
  end)

  it("keeps the code of an error object, with a traceback", function ()
    script "error(require 'firecracker.errors'.new { code = 'spawn', message = 'no' })"
    local _, err = flow.load(path)
    assert.equal("spawn", err.code)
    assert.matches("^stack traceback:", err.traceback)
  end)

  it("lets a cancel through", function ()
    script "error(require 'firecracker.errors'.new { code = 'cancelled', message = 'no' })"
    local ok, err = pcall(flow.load, path)
    assert.is_false(ok)
    assert.equal("cancelled", err.code)
  end)

  it("refuses wrong arguments", function ()
    assert.equal("name or path of a flow expected, got nil", refusal(flow.load, nil).message)
    assert.equal("arguments of flow 'boot': table expected, got string", refusal(flow.load, "boot", "x").message)
  end)
end)
