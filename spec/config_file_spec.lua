local bed = require "spec.support.bed"
local config = require "firecracker.config"
local core = require "firecracker.core"
local file = require "firecracker.config.file"

local json = core.json

-- Every section of the file, of release 1.16; nulls as `GET /vm/config` writes them.
local FULL <const> = [[{
  "balloon": { "amount_mib": 0, "deflate_on_oom": false, "stats_polling_interval_s": 1, "free_page_hinting": false },
  "boot-source": { "kernel_image_path": "/vmlinux", "boot_args": "console=ttyS0 -- a", "initrd_path": null },
  "cpu-config": { "kvm_capabilities": [], "cpuid_modifiers": [ { "leaf": "0x1", "subleaf": "0x0", "flags": 0, "modifiers": [] } ] },
  "drives": [ { "drive_id": "rootfs", "is_root_device": true, "path_on_host": "relative.ext4", "partuuid": null,
                "rate_limiter": { "bandwidth": null, "ops": { "size": 9007199254740991, "refill_time": 100 } } } ],
  "entropy": { "rate_limiter": null },
  "logger": { "log_path": "/log", "level": "Info", "show_level": true },
  "machine-config": { "vcpu_count": 2, "mem_size_mib": 256, "smt": false, "huge_pages": "None" },
  "memory-hotplug": { "total_size_mib": 1024 },
  "metrics": { "metrics_path": "/metrics" },
  "mmds-config": { "version": "V2", "network_interfaces": [ "eth0" ], "ipv4_address": "169.254.169.254" },
  "network-interfaces": [ { "iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": null } ],
  "pmem": [ { "id": "p", "path_on_host": "/p" } ],
  "vsock": { "guest_cid": 3, "uds_path": "/v.sock" },
  "x_unknown-to_all": { "kept": [ null, 1.5, "é" ] }
}]]

describe("Firecracker's configuration file", function ()
  local path
  before_each(function () path = bed.scratch "file.json" end)
  after_each(function () os.remove(path) end)

  it("round-trips, nulls left out", function ()
    bed.write(path, FULL)
    local loaded = assert(file.load(path))
    assert.equal("/vmlinux", loaded.boot_source.kernel_image_path)
    assert.equal("relative.ext4", loaded.drives[1].path_on_host)
    assert.is_nil(loaded["mmds-config"])
    local expected = json.encode(assert(json.decode(FULL, { null = false })))
    assert.equal(expected, file.dump(loaded))
    assert.is_true(file.dump(loaded, path))
    assert.equal(expected .. "\n", bed.read(path))
    assert.equal(expected, file.dump(assert(file.load(path))))
  end)

  it("keeps empty lists lists", function ()
    local text = '{"boot-source":{"kernel_image_path":"k"},"drives":[],"network-interfaces":[]}'
    bed.write(path, text)
    assert.equal(text, file.dump(assert(file.load(path))))
    assert.equal(text, file.dump { boot_source = { kernel_image_path = "k" }, network_interfaces = {} })
  end)

  it("takes cpu-config as a path", function ()
    local text = '{"cpu-config":"/cpu.json","drives":[]}'
    assert.equal(text, file.dump(file.load(bed.write(path, text))))
  end)

  it("holds what is Firecracker's alone", function ()
    local checked = config.check {
      id = "a", boot_source = { kernel_image_path = "/k" }, mmds = { secret = 1 }, console = print,
      logger = { to = print, level = "Debug" }, metrics = { to = print },
      network_interfaces = { { iface_id = "eth0", host_dev_name = "tap0" } },
    }
    local before = json.encode(checked.network_interfaces)
    assert.equal('{"boot-source":{"kernel_image_path":"/k"},"drives":[],"logger":{"level":"Debug"},' ..
      '"machine-config":{"mem_size_mib":128,"vcpu_count":1},' ..
      '"network-interfaces":[{"host_dev_name":"tap0","iface_id":"eth0"}]}', file.dump(checked))
    assert.equal(before, json.encode(checked.network_interfaces))
    assert.equal("function", type(checked.logger.to))
  end)

  it("leaves out a section that Firecracker would refuse, where a machine's start completes it", function ()
    local boot = { kernel_image_path = "/k" }
    local function dumped (more)
      more.boot_source = boot
      return assert(json.decode(file.dump(config.check(more))))
    end
    assert.is_nil(dumped { metrics = {} }.metrics)
    assert.is_nil(dumped { metrics = { emit_id = true } }.metrics)
    assert.same({ metrics_path = "/m", emit_id = true }, dumped { metrics = { metrics_path = "/m", emit_id = true } }.metrics)
    local interfaces = { { iface_id = "e", host_dev_name = "t", allow_mmds = true } }
    assert.is_nil(dumped { mmds_config = { version = "V2" }, network_interfaces = interfaces }["mmds-config"])
    assert.same({ network_interfaces = { "e" } },
      dumped { mmds_config = { network_interfaces = { "e" } }, network_interfaces = interfaces }["mmds-config"])
    assert.same({}, dumped { logger = {}, entropy = {} }.entropy)
    assert.equal('{"boot-source":{},"drives":[]}', file.dump { boot_source = {} })   -- refused as it would be here: it is the caller's
  end)

  it("says the same of a configuration that nobody has checked yet", function ()
    for _, size in ipairs { {}, { vcpu_count = 2 }, { mem_size_mib = 64, smt = true } } do
      local plain = { boot_source = { kernel_image_path = "/k" }, machine_config = size, network_interfaces = {} }
      local before = json.encode(plain)
      assert.equal(file.dump(config.check(plain)), file.dump(plain))
      assert.equal(before, json.encode(plain))
    end
  end)

  it("has Firecracker's names for what fc.new takes with '-'", function ()
    local function given (mark)
      local function key (name) return (name:gsub("_", mark)) end
      local limiter = { ops = { size = 1, [key "refill_time"] = 5 } }
      return {
        [key "boot_source"] = { [key "kernel_image_path"] = "/k" }, [key "machine_config"] = { [key "vcpu_count"] = 4 },
        drives = { { [key "drive_id"] = "a", [key "path_on_host"] = "/a", [key "is_root_device"] = true, [key "rate_limiter"] = limiter } },
        metrics = { [key "metrics_path"] = "/m" },
      }
    end
    assert.equal(file.dump(given "_"), file.dump(given "-"))
    assert.same(config.check(given "_"), config.check(given "-"))
  end)

  it("raises for what would be lost in it, or has no place in JSON, by the field's path", function ()
    local drive = { drive_id = "a", path_on_host = "/a", is_root_device = true }
    for message, given in pairs {
      ["config.drives: list expected, got key 'drive_id'"] = { drives = drive },
      ["config.drives: list expected, got string"] = { drives = "/a" },
      ["config.drives[1]: table expected, got nil"] = { drives = { nil, drive } },
      ["config.network_interfaces[2]: table expected, got string"] =
        { network_interfaces = { { iface_id = "e", host_dev_name = "t" }, "tap0" } },
      ["config.boot_source: table expected, got string"] = { boot_source = "/k" },
      ["config.cpu_config: table or path expected, got number"] = { ["cpu-config"] = 5 },
      ["config.boot_source: given twice, with '-' and with '_'"] =
        { boot_source = { kernel_image_path = "/k" }, ["boot-source"] = { kernel_image_path = "/l" } },
      ["config.drives[1].drive_id: given twice, with '-' and with '_'"] = { drives = { { drive_id = "a", ["drive-id"] = "b" } } },
      ["config.entropy.rate_limiter.ops.refill_time: given twice, with '-' and with '_'"] =
        { entropy = { rate_limiter = { ops = { refill_time = 1, ["refill-time"] = 2 } } } },
      ["config.dump: json: value.drives[1].path_on_host: a function cannot be sent"] =
        { drives = { { drive_id = "a", path_on_host = print } } },
      ["config.dump: names of sections expected, got key 1"] = { {} },
    } do
      local ok, err = pcall(file.dump, given)
      assert.is_false(ok, message)
      assert.equal(message, type(err) == "table" and err.message or err)
      assert.matches("config_file_spec.lua", err.where)
    end
  end)

  it("tells what is wrong with it", function ()
    local function fails (code, message, loaded, err)
      assert.is_nil(loaded)
      assert.equal(code, err.code)
      assert.equal(message, err.message)
    end
    fails("system", path .. ": No such file or directory", file.load(path))
    fails("system", "/tmp: Is a directory", file.load "/tmp")
    fails("json", path .. ": not valid JSON at byte 3 of 3", file.load(bed.write(path, "{x}")))
    fails("json", path .. ": an object expected", file.load(bed.write(path, "[]")))
    fails("json", path .. ": an object expected", file.load(bed.write(path, "null")))
    fails("system", "/no/such/file: No such file or directory", file.dump({}, "/no/such/file"))
    fails("system", "/dev/full: No space left on device", file.dump({}, "/dev/full"))
    for message, call in pairs {
      ["config.load: path expected, got nil"] = function () file.load() end,
      ["config.dump: table expected, got string"] = function () file.dump "x" end,
      ["config.dump: path expected, got 5"] = function () file.dump({}, 5) end,
      ["config.dump: path expected, got false"] = function () file.dump({}, false) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.equal(message, err.message)
    end
  end)
end)
