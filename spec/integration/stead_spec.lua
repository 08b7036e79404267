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

  it("that fails fails the machine's", function ()
    for _, returned in ipairs { { nil, "no luck" }, { core.files.open("/nowhere", "r") } } do
      local vm, err = fc.boot(bed.config("hello", { vmm = { spawn = function () return table.unpack(returned, 1, 2) end } }))
      assert.is_nil(vm)
      assert.equal("spawn", err.code)
      assert.matches(type(returned[2]) == "string" and "no luck" or "cannot open /nowhere", err.message)
    end
  end)
end)
