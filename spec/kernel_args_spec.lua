local kernel_args = require "firecracker.kernel_args"

local function raises (expected, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal(expected, err.message)
  assert.matches("kernel_args_spec%.lua:%d+$", err.where)
end

describe("kernel arguments", function ()
  it("keep order, duplicates and what follows --", function ()
    -- The Go SDK puts them through a map: order lost, one console gone, init's words scattered.
    local line = "console=tty0 console=ttyS0 ro two -- --flag one --flag"
    local args = kernel_args.new(line)
    assert.equal(line, tostring(args))
    assert.same({ "tty0", "ttyS0" }, { args:get "console" })
    assert.equal("--flag one --flag", args.init)
    assert.is_nil(args:get "--flag" or args:get "one")
  end)

  it("are empty, or init's alone", function ()
    assert.equal("", tostring(kernel_args.new()))
    assert.equal("", tostring(kernel_args.new "  \n"))
    assert.equal("--", tostring(kernel_args.new "--"))
    assert.equal("-- a", tostring(kernel_args.new " -- a "))
    assert.equal("x=-- --y", tostring(kernel_args.new "x=-- --y"))
  end)

  it("are read as the kernel reads them", function ()
    local args = kernel_args.new [[ro root=PARTUUID=ab-01  dyndbg="file a.c +p" "quoted=a b" i8042.no-aux empty= open="x y]]
    assert.is_true(args:get "ro")
    assert.equal("PARTUUID=ab-01", (args:get "root"))
    assert.equal("file a.c +p", (args:get "dyndbg"))
    assert.equal("a b", (args:get "quoted"))
    assert.is_true(args:get "i8042.no_aux")
    assert.equal("", (args:get "empty"))
    assert.equal("x y", (args:get "open"))
    assert.equal(0, select("#", args:get "absent"))
    assert.equal([[ro root=PARTUUID=ab-01 dyndbg="file a.c +p" "quoted=a b" i8042.no-aux empty= open="x y]], tostring(args))
  end)

  it("are set in the place of the first, before --", function ()
    local args = kernel_args.new "console=tty0 quiet console=ttyS0 -- init words"
    assert.equal("console=hvc0 quiet -- init words", tostring(args:set("console", "hvc0")))
    assert.equal("console=hvc0 quiet panic=1 -- init words", tostring(args:set("panic", 1)))
    assert.equal("console=hvc0 quiet panic -- init words", tostring(args:set("panic", true)))
    assert.equal('console="a b" quiet panic -- init words', tostring(args:set("console", "a b")))
    assert.equal("a b", (args:get "console"))
  end)

  it("are added beside others of their name and removed by name or value", function ()
    local args = kernel_args.new "ip=a"
    assert.equal("ip=a ip=b ro", tostring(args:add("ip", "b"):add "ro"))
    assert.equal("ip=b ro", tostring(args:remove("ip", "a")))
    assert.equal("ro", tostring(args:remove "ip":remove "none"))
    assert.equal("x", tostring(kernel_args.new "n=1 x n=1":remove("n", 1)))
    args.init = "/bin/sh -l"
    assert.equal("ro -- /bin/sh -l", tostring(args))
  end)

  it("refuse what would be read otherwise", function ()
    local args = kernel_args.new "a"
    raises("kernel_args: string expected, got table", kernel_args.new, {})
    raises("kernel_args: get: name expected, got nil", args.get, args)
    raises("kernel_args: add: name without blanks, '=' and '\"' expected, got 'a b'", args.add, args, "a b")
    raises("kernel_args: set: name without blanks, '=' and '\"' expected, got '--'", args.set, args, "--")
    raises("kernel_args: set: a: string, integer or true expected, got table", args.set, args, "a", {})
    raises("kernel_args: set: a: string, integer or true expected, got boolean", args.set, args, "a", false)
    raises("kernel_args: add: b: a value without '\"' and NUL expected", args.add, args, "b", 'x"')
    for _, value in ipairs { false, 1.0, {} } do
      raises("kernel_args: remove: a: string, integer or true expected, got " .. type(value), args.remove, args, "a", value)
    end
    assert.equal("a", tostring(args))
    assert.equal("", tostring(args:remove("a", true)))
  end)
end)
