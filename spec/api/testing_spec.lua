-- The client against the fake VMM: other releases, phases, and replies that go wrong.

local client = require "firecracker.api.client"
local closing = require "spec.support.closing"
local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fc = require "firecracker"
local http = require "firecracker.testing.http"

describe("a fake VMM", function ()
  local opened = closing(setup, before_each, after_each, function ()    -- libcurl's own descriptors stay
    local one <close> = client.new "/no/such"
    one:request("GET", "/")
  end, function ()
    driver.settle()    -- its tasks hear of it
    assert.is_nil(next(core.reactor():state().waits))
  end)

  local function fake (options, client_options)
    local server = assert(fc.testing.fake_vmm(options))
    return opened(client.new(server.path, client_options)), opened(server)
  end

  it("stands in for a real one, on the main thread and in tasks", function ()
    local api, server = fake { id = "m1" }
    assert.same({ id = "m1", state = "Not started", vmm_version = "1.16.1", app_name = "Firecracker" }, api:get_instance_info())
    assert(api:put_machine_config { vcpu_count = 2, mem_size_mib = 256 })
    assert(api:put_boot_source { kernel_image_path = "/vmlinux" })
    assert(api:put_drive("root", { drive_id = "root", path_on_host = "/root.img", is_root_device = true }))
    assert(api:put_actions { action_type = "InstanceStart" })
    assert.equal("Running", api:get_instance_info().state)
    fc.run(function ()
      fc.all { function () assert(api:put_mmds { a = 1 }) end, function () assert(api:get_vm_config()) end }
    end)
    assert.equal("PUT", server.requests[2].method)
    assert.same({ vcpu_count = 2, mem_size_mib = 256 }, core.json.decode(server.requests[2].body))
    assert.equal(256, api:get_machine_config().mem_size_mib)
  end)

  -- As a real 1.12.1 with a drive of qemu-storage-daemon's. A drive of a file has changes, one of a backend none.
  it("has the guest look again at a drive of a backend, of which it changes nothing", function ()
    for _, release in ipairs { "1.12.1", "1.16.1" } do
      local api = fake { release = release }
      assert(api:put_boot_source { kernel_image_path = "/vmlinux" })
      assert(api:put_drive("f", { drive_id = "f", path_on_host = "/f.img", is_root_device = false }))
      assert(api:put_drive("s", { drive_id = "s", socket = "/s.sock", is_root_device = false }))
      assert(api:put_actions { action_type = "InstanceStart" })
      for _, changes in ipairs { {}, { path_on_host = "/g.img" }, { rate_limiter = { ops = { size = 1, refill_time = 1 } } } } do
        for id, takes in pairs { f = next(changes) ~= nil, s = next(changes) == nil } do
          changes.drive_id = id
          local ok, err = api:patch_drive(id, changes)
          changes.drive_id = nil
          assert.equal(takes or nil, ok)
          assert.is_true(takes or err.fault_message:find("Running method expected different backend", 1, true) ~= nil)
        end
      end
    end
  end)

  it("refuses with its words what its host does not have", function ()
    local api = fake { world = { ["/absent"] = "No such file or directory (os error 2)" } }
    local _, err = api:put_boot_source { kernel_image_path = "/absent" }
    assert.equal("Boot source error: The kernel file cannot be opened: No such file or directory (os error 2)", err.fault_message)
    assert.equal(400, err.status)
  end)

  describe("of another release", function ()
    it("gets nothing that it lacks", function ()
      local api, server = fake { release = "1.12.1" }
      local _, err = api:put_network_interface("eth0", { iface_id = "eth0", host_dev_name = "tap0", mtu = 1400 })
      assert.same({ "release", "mtu needs Firecracker 1.16 (this is 1.12.1)", "mtu", "1.16", "1.12.1", "put_network_interface" },
        { err.code, err.message, err.field, err.needs, err.release, err.operation })
      assert.matches("testing_spec%.lua:%d+$", err.where)
      _, err = api:put_serial {}
      assert.equal("PUT /serial needs Firecracker 1.14 (this is 1.12.1)", err.message)
      _, err = api:delete_drive "data"
      assert.equal("DELETE /drives/{drive_id} needs Firecracker 1.16 (this is 1.12.1)", err.message)
      local paths = {}
      for i, request in ipairs(server.requests) do
        paths[i] = request.path
      end
      assert.same({ "/version" }, paths)    -- asked once, for all three
      _, err = api:request("PUT", "/serial", {})
      assert.equal("Invalid request method and/or path: PUT serial.", err.fault_message)
    end)

    it("is not asked which it is where that makes no difference", function ()
      local api, server = fake()
      assert(api:put_machine_config { vcpu_count = 1, mem_size_mib = 128 })
      assert(api:put_drive("a", { drive_id = "a", path_on_host = "/a", is_root_device = false }))
      assert.equal(2, #server.requests)
    end)

    it("warns once of what it is known to do wrong", function ()
      local events = {}
      local api = fake({ release = "1.16.0" }, { log = function (event) events[#events + 1] = event end })
      local load = { snapshot_path = "/s", mem_backend = { backend_type = "File", backend_path = "/m" } }
      assert(api:put_snapshot_load(load))
      api:put_snapshot_load(load)
      local warnings = {}
      for _, event in ipairs(events) do
        warnings[#warnings + 1] = event.event == "warning" and event.message or nil
      end
      assert.same({ "Firecracker 1.16.0: vsock does not work after a restore (1.16.1 fixes it)" }, warnings)
    end)

    for _, release in ipairs { "1.0.0", "1.4.1", "1.7.0", "1.14.4", "1.15.0", "1.15.1", "1.16.1", "1.17.0" } do
      it("knows its own operations and fields: " .. release, function ()
        local api = fake { release = release }
        assert.equal(release, api:get_version().firecracker_version)
        local number = require("firecracker.release").number
        for _, case in ipairs {
          { "1.4", "put_entropy", {} }, { "1.14", "put_serial", {} },
          { "1.7", "put_machine_config", { vcpu_count = 1, mem_size_mib = 2, huge_pages = "2M" } },
          { "1.17", "put_machine_config", { vcpu_count = 1, mem_size_mib = 2, huge_pages = "Transparent" } },
          { "1.14", "put_memory_hotplug", { total_size_mib = 1024 } },
        } do
          local since, name, body = table.unpack(case)
          local ok, err = api[name](api, body)
          assert.equal(number(release) >= number(since) and true or "release", ok or err.code, name)
          for _, operation in ipairs(require "firecracker.api.operations") do    -- the server agrees with the gate
            if operation.name == name then
              assert.equal(ok, (api:request(operation.method, operation.path, body)))
            end
          end
        end
      end)
    end
  end)

  describe("in the wrong phase", function ()
    local function machine (options)
      local state = "vmm"
      local api, server = fake(options, { state = function () return state end, moved = function (to) state = to end,
                                          who = "machine 7f3a91" })
      return api, server, function () return state end
    end

    it("is told nothing, with what would be right", function ()
      local api, server, state = machine()
      for message, call in pairs {
        ["patch_vm: machine 7f3a91 is not started; this needs a guest that runs: start it first"] =
          function () return api:patch_vm { state = "Paused" } end,
        ["put_actions: machine 7f3a91 is not started; this needs a guest that runs: start it first"] =
          function () return api:put_actions { action_type = "SendCtrlAltDel" } end,
        ["put_snapshot_create: machine 7f3a91 is not started; this needs a paused guest: pause it first"] =
          function () return api:put_snapshot_create { snapshot_path = "/s", mem_file_path = "/m" } end,
      } do
        local _, err = call()
        assert.same({ "state", message, "vmm" }, { err.code, err.message, err.state })
      end
      for _, request in ipairs(server.requests) do
        assert.equal("GET", request.method)    -- the VMM has the last word on its state
      end
      assert(api:put_boot_source { kernel_image_path = "/k" })
      assert(api:put_actions { action_type = "InstanceStart" })
      assert.equal("running", state())
      local _, err = api:put_balloon { amount_mib = 1, deflate_on_oom = true }
      assert.equal("put_balloon: machine 7f3a91 is running; this is possible only before the guest starts", err.message)
      assert(api:patch_vm { state = "Paused" })
      assert.equal("paused", state())
      assert(api:put_snapshot_create { snapshot_path = "/s", mem_file_path = "/m" })
    end)

    it("is believed when somebody else moved it", function ()
      local api, server, state = machine()
      local other = opened(client.new(server.path))
      assert(other:put_boot_source { kernel_image_path = "/k" })
      assert(other:put_actions { action_type = "InstanceStart" })
      assert(api:patch_vm { state = "Paused" })
      assert.equal("paused", state())
    end)

    it("is told by whoever asks for it, unless it has changed meanwhile", function ()
      fc.run(function ()
        local api, server, state = machine()
        local other = opened(client.new(server.path))
        assert(other:put_boot_source { kernel_image_path = "/k" })
        assert(other:put_actions { action_type = "InstanceStart" })
        assert.equal("vmm", state())
        assert.equal("Running", api:get_instance_info().state)
        assert.equal("running", state())
        server:fault { after = 0.2 }
        local asking = fc.spawn(api.get_instance_info, api)
        fc.sleep(0.01)
        assert(api:patch_vm { state = "Paused" })
        assert.equal("Running", asking:wait().state)
        assert.equal("paused", state())
      end)
    end)

    it("says itself what would be right where the client knows no state", function ()
      local api = fake()
      local _, err = api:patch_vm { state = "Paused" }
      assert.same({ "api", "this needs a guest that runs: start it first" }, { err.code, err.hint })
    end)
  end)

  describe("that goes wrong", function ()
    it("cuts its replies at every byte: one error each, no hang, nothing left", function ()
      for _, whole in ipairs { http.reply(200, '{"firecracker_version":"1.16.1"}'), http.reply(204),
                               http.reply(400, '{"fault_message":"no"}') } do
        local api, server = fake()
        for cut = 0, #whole - 1 do
          server:fault { text = whole, cut = cut }
          local value, err = api:request("GET", "/version", nil, { timeout = 5 })
          assert.is_nil(value, cut)
          assert.is_true(err.code == "connect" or err.code == "http" or err.code == "api", ("%d: %s"):format(cut, err))
          assert.equal("GET /version", err.operation)
        end
        assert(api:get_version())
        api:close()
        server:close()
      end
    end)

    for name, text in pairs {
      ["no JSON"] = http.reply(200, "oops"), ["half of it"] = http.reply(200, '{"a":'),
      ["no HTTP"] = "hello, this is something else\r\n\r\n",
    } do
      it("says " .. name, function ()
        local api, server = fake()
        server:fault { text = text, close = true }
        local value, err = api:get_version { timeout = 5 }
        assert.is_nil(value)
        assert.is_true(err.code == "json" or err.code == "http", err.code)
        assert(api:get_version())
      end)
    end

    it("answers 204 with a length and without", function ()
      local api, server = fake()
      server:fault { text = "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n" }
      assert.is_true(api:put_mmds { a = 1 })
      assert.is_true(api:put_mmds { a = 1 })
    end)

    it("is slow, or says nothing at all", function ()
      local api, server = fake()
      server:fault { after = 0.03 }
      assert(api:get_version { timeout = 5 })
      server:fault { after = 0.2 }
      local _, err = api:get_version { timeout = 0.02 }
      assert.equal("timeout", err.code)
      server:fault { hang = true }
      _, err = api:get_version { timeout = 0.02 }
      assert.equal("timeout", err.code)
    end)

    it("ends while a request is on its way", function ()
      local api, server = fake()
      server:fault { hang = true }
      fc.run(function ()
        local task = fc.spawn(api.get_version, api, { timeout = 5 })
        fc.sleep(0.01)
        server:close()
        local value, err = task:wait()
        assert.is_nil(value)
        assert.is_true(err.code == "connect" or err.code == "http", err.code)
      end)
    end)

    it("takes no more metadata than fits, nor a larger body", function ()
      local api = fake { limit = 100, mmds_limit = 50 }
      local _, err = api:put_mmds { k = ("x"):rep(60) }
      assert.same({ 413, "MMDS limit exceeded error: The MMDS patch request doesn't fit." }, { err.status, err.fault_message })
      _, err = api:put_mmds { k = ("x"):rep(200) }
      assert.equal(400, err.status)
      assert.matches("larger than the limit of 100", err.fault_message)
    end)

    it("turns the eleventh connection away", function ()
      local api, server = fake()
      local more = {}
      for i = 1, 10 do
        more[i] = opened(client.new(server.path))
        assert(more[i]:get_version())
      end
      local _, err = api:get_version { timeout = 5 }
      assert.is_true(err.status == 503 or err.code == "connect" or err.code == "http", tostring(err))
      assert(more[1]:get_version())
      more[2]:close()
      fc.sleep(0.01)
      assert(api:get_version())
    end)
  end)

  it("says its release as a real one does, whichever way it was told", function ()
    local api = fake { release = "v1.12.1" }
    assert.equal("1.12.1", api:get_version().firecracker_version)
    assert.equal("PUT /serial needs Firecracker 1.14 (this is 1.12.1)", select(2, api:put_serial {}).message)
  end)

  it("is not made of what is misspelt, and makes nothing then", function ()
    local mkdir <const> = core.files.mkdir
    finally(function () core.files.mkdir = mkdir end)
    core.files.mkdir = function () error "a directory is made" end
    for message, options in pairs {
      ["table of options expected, got string"] = "1.16.1",
      ["relase: unknown key (did you mean 'release'?)"] = { relase = "1.16.1" },
      ["release: string expected, got 1.16"] = { release = 1.16 },
      ["release: 'newest' is none"] = { release = "newest" },
      ["limit: integer expected, got 1.5"] = { limit = 1.5 },
    } do
      local ok, err = pcall(fc.testing.fake_vmm, options)
      assert.same({ false, "usage", "fake_vmm: " .. message }, { ok, err.code, err.message })
      assert.matches("testing_spec.lua:%d+$", err.where)
    end
  end)

  it("takes no fault that is misspelt", function ()
    local api, server = fake()
    for message, fault in pairs {
      ["table of options expected, got number"] = 5,
      ["aftr: unknown key (did you mean 'after'?)"] = { aftr = 5 },
      ["after: seconds expected, got '5'"] = { after = "5" },
      ["cut: integer expected, got 1.5"] = { cut = 1.5 },
    } do
      local ok, err = pcall(server.fault, server, fault)
      assert.same({ false, "usage", "fault: " .. message }, { ok, err.code, err.message })
      assert.matches("testing_spec.lua:%d+$", err.where)
    end
    assert.error_matches(function () server:fault() end, "fault: table of options expected, got nil")
    assert(api:get_version())
  end)

  it("loads what another has saved, and dies of what it cannot load", function ()
    local shared = {}
    local api = fake { snapshots = shared }
    assert(api:put_boot_source { kernel_image_path = "/k" })
    assert(api:put_machine_config { vcpu_count = 3, mem_size_mib = 64 })
    assert(api:put_actions { action_type = "InstanceStart" })
    assert(api:patch_vm { state = "Paused" })
    assert(api:put_snapshot_create { snapshot_path = "/s", mem_file_path = "/m" })
    local load = { snapshot_path = "/s", mem_backend = { backend_type = "File", backend_path = "/m" }, resume_vm = true }
    local second = fake { snapshots = shared }
    assert(second:put_snapshot_load(load))
    assert.equal(3, second:get_machine_config().vcpu_count)
    local third, server = fake { world = { ["/s"] = "gone" } }
    local _, err = third:put_snapshot_load(load)
    assert.matches("Load snapshot error", err.fault_message)
    assert.is_true(server.closed)
  end)
end)
