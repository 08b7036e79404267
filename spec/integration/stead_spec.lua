-- What a configuration may put in the library's stead: the client of the API, the start of the VMM's process.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

describe("#kvm a client of the user's own", function ()
  leaks.check(before_each, after_each, teardown)

  it("made by a function boots a machine and is asked by its verbs", function ()
    local asked, closed = {}, 0
    local vm <close> = assert(fc.boot(bed.config("idle", { client = function (path, options)
      assert(core.files.look(path:match "^(.*)/"))
      assert.is_number(options.timeout)
      local inner
      return setmetatable({ close = function ()
        closed = closed + 1
        if inner then
          inner:close()
        end
      end }, { __index = function (_, name)
        return function (_, ...)
          inner = inner or fc.client(path)
          asked[#asked + 1] = name
          return inner[name](inner, ...)
        end
      end })
    end })))
    assert.equal("Running", assert(vm:info()).state)
    assert(vm:pause())
    assert.equal("paused", vm.state)
    assert.same({ "put_machine_config", "put_boot_source", "put_actions", "get_instance_info", "patch_vm" },
      (function ()
        local seen = {}
        for _, name in ipairs(asked) do
          seen[#seen + 1] = name ~= "prepare" and name or nil
        end
        return seen
      end)())
    vm:stop()
    assert.is_true(closed > 0)
  end)

  it("is used as it is when it is a table", function ()
    local path = bed.scratch "api.sock"
    local client = fc.client(path)
    local vm <close> = assert(fc.boot(bed.config("idle", { client = client, vmm = { socket_path = path } })))
    assert.equal(client, vm.api)
    assert.equal("Running", assert(vm:info()).state)
    vm:close()
    assert.is_true(client.closed)
  end)

  it("is closed when its VMM does not come, or is not waited for", function ()
    for _, way in ipairs { "cancel", "fail" } do
      local made, closed = 0, 0
      local vm = assert(fc.new(bed.config("idle", {
        vmm = { spawn = function (spec, spawn)
          spec.path, spec.argv = "/bin/sleep", { "sleep", way == "cancel" and "60" or "0" }
          return spawn(spec)
        end },
        client = function ()
          made = made + 1
          return { close = function () closed = closed + 1 end }
        end,
      })))
      fc.run(function ()
        local starting = fc.spawn(vm.start, vm)
        bed.eventually(function () return made == 1 end, "the client")
        if way == "cancel" then
          starting:cancel()
        end
        local ok, err = starting:wait()
        assert.is_nil(ok)
        assert.equal(way == "cancel" and "cancelled" or "exited", err.code)
        assert.equal(1, closed)
      end)
    end
  end)

  it("that is none is refused, also beside a start by file", function ()
    for message, case in pairs {
      ["config.client: a table with the methods of a client expected, got nil"] = { function () end },
      ["config.client: a table with the methods of a client expected, got table"] = { {} },
      ["config.client: a table with the methods of a client expected, got no luck"] = { function () return nil, "no luck" end },
      ["config.client: not with via = 'config_file'"] = { function () end, { via = "config_file" } },
    } do
      local vm, err = fc.boot(bed.config("idle", { client = case[1] }), case[2])
      assert.is_nil(vm)
      assert.equal("config", err.code)
      assert.equal("fcinit.StartVMM: " .. message, err.message)
    end
  end)
end)

describe("#kvm a start of the process of the user's own", function ()
  leaks.check(before_each, after_each, teardown)

  it("gets what would be started and may change it", function ()
    local seen
    local vm <close> = assert(fc.boot(bed.config("hello", { vmm = { spawn = function (spec, start)
      seen = spec
      spec.path, spec.argv = "/usr/bin/env", { "env", "MARK=1", spec.path, table.unpack(spec.argv, 2) }
      return start(spec)
    end } })))
    assert.equal(vm.directory, seen.cwd)
    assert.equal("MARK=1", seen.argv[2])
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
  end)

  it("that raises leaves no descriptor behind, nor does a client that is refused", function ()
    local function raise () error "no luck" end
    for _, more in ipairs { { vmm = { spawn = raise } }, { client = raise } } do
      bed.closes_all(function ()
        local vm, err = fc.boot(bed.config("hello", more))
        assert.is_nil(vm)
        assert.matches("no luck", err.message)
      end)
    end
  end)

  it("that fails fails the machine's", function ()
    for _, returned in ipairs { { nil, "no luck" }, { core.files.open("/nowhere", "r") } } do
      local vm, err = fc.boot(bed.config("hello", { vmm = { spawn = function () return table.unpack(returned, 1, 2) end } }))
      assert.is_nil(vm)
      assert.equal("spawn", err.code)
      assert.matches(type(returned[2]) == "string" and "no luck" or "cannot open /nowhere", err.message)
    end
  end)
end)
