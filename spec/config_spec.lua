-- luacheck: no max line length (one line a case)

local errors = require "firecracker.errors"
local config = require "firecracker.config"

local core = require "firecracker.core"

local here = assert(core.files.absolute ".")

local function refusal (t)
  local ok, err = pcall(config.check, t)
  assert.is_false(ok, "accepted")
  assert.is_true(errors.is(err), tostring(err))
  assert.equal("config", err.code)
  return err.message, err
end

-- The fields that must be there, with others over them.
local function drive (fields)
  local t = { drive_id = "a", is_root_device = false, path_on_host = "/a.ext4" }
  for key, value in pairs(fields) do
    t[key] = value
  end
  return t
end

local function interface (fields)
  local t = { iface_id = "eth0", host_dev_name = "tap0" }
  for key, value in pairs(fields) do
    t[key] = value
  end
  return t
end

describe("config.check completes", function ()
  it("an empty configuration", function ()
    assert.same({
      run_dir = require "firecracker.config.defaults".run_dir(),
      vmm = { no_seccomp = false, arguments = {} },
      machine_config = { vcpu_count = 1, mem_size_mib = 128 },
      drives = {},
      network_interfaces = {},
      timeouts = { start = 60, request = 60, dial = 10, stop = 30, shutdown = 5, term = 5 },
      console = "null", console_size = 262144,
      log_level = "debug",
      when_dropped = "kill",
      disable_validation = false,
    }, config.check {})
  end)

  it("a section that is given in part", function ()
    local checked = config.check { machine_config = { mem_size_mib = 256 }, timeouts = { stop = 0.5 } }
    assert.same({ vcpu_count = 1, mem_size_mib = 256 }, checked.machine_config)
    assert.same({ start = 60, request = 60, dial = 10, stop = 0.5, shutdown = 5, term = 5 }, checked.timeouts)
  end)

  it("nothing that Firecracker completes itself", function ()
    assert.same({ drive_id = "a", is_root_device = false, path_on_host = "/a.ext4" }, config.check { drives = { drive {} } }.drives[1])
  end)
end)

describe("config.check copies", function ()
  it("all tables, its own defaults too", function ()
    local t = { drives = { drive {} }, vmm = { arguments = { "--x" } }, mmds = { a = { 1 } } }
    local checked = config.check(t)
    assert.same(t.drives, checked.drives)
    assert.are_not.equal(t.drives, checked.drives)
    assert.are_not.equal(t.drives[1], checked.drives[1])
    assert.are_not.equal(t.vmm.arguments, checked.vmm.arguments)
    assert.are_not.equal(t.mmds.a, checked.mmds.a)
    assert.are_not.equal(config.check({}).drives, config.check({}).drives)
    assert.are_not.equal(config.check({}).vmm.arguments, config.check({}).vmm.arguments)
  end)

  it("and leaves the original as it was", function ()
    local t = { ["machine-config"] = { vcpu_count = 2.0 } }
    config.check(t)
    assert.same({ ["machine-config"] = { vcpu_count = 2.0 } }, t)
    assert.equal("float", math.type(t["machine-config"].vcpu_count))
  end)

  it("what it made itself, unchanged", function ()
    local once = config.check { boot_source = { kernel_image_path = "vmlinux" }, drives = { drive { path_on_host = "a" } } }
    assert.same(once, config.check(once))
  end)

  it("functions and userdata as they are", function ()
    local checked = config.check { log = print, console = print, logger = { to = print }, metrics = { to = print }, mmds = { io.stdout } }
    assert.equal(print, checked.log)
    assert.equal(print, checked.console)
    assert.equal(print, checked.logger.to)
    assert.equal(print, checked.metrics.to)
    assert.equal(io.stdout, checked.mmds[1])
  end)

  it("the mark of a JSON array, deep inside as well", function ()
    local mark = { __name = "array" }
    local checked = config.check { mmds = setmetatable({ inner = setmetatable({}, mark) }, { __metatable = "locked" }) }
    assert.equal(mark, getmetatable(checked.mmds.inner))
    assert.is_nil(getmetatable(checked.mmds))
  end)

  it("one JSON table wherever it stands", function ()
    local shared = { 1, true, "x", 1.5 }
    assert.same({ a = { 1, true, "x", 1.5 }, b = { 1, true, "x", 1.5 } }, config.check { mmds = { a = shared, b = shared } }.mmds)
  end)
end)

describe("config.check takes", function ()
  it("- for _ in keys, but not in names that users choose", function ()
    local checked = config.check {
      ["boot-source"] = { ["kernel-image-path"] = "/vmlinux" },
      ["network-interfaces"] = { { ["iface-id"] = "eth0", host_dev_name = "tap0" } },
      vmm = { environment = { ["A-B"] = "1" } },
      mmds = { ["instance-id"] = { ["a-b"] = 1 } },
    }
    assert.equal("/vmlinux", checked.boot_source.kernel_image_path)
    assert.equal("eth0", checked.network_interfaces[1].iface_id)
    assert.same({ ["A-B"] = "1" }, checked.vmm.environment)
    assert.same({ ["instance-id"] = { ["a-b"] = 1 } }, checked.mmds)
  end)

  it("a float that is an integer for one", function ()
    local checked = config.check { machine_config = { mem_size_mib = 2 ^ 8 } }
    assert.equal("integer", math.type(checked.machine_config.mem_size_mib))
    assert.equal(256, checked.machine_config.mem_size_mib)
  end)

  for given, expected in pairs {
    ["/vmlinux"] = "/vmlinux",
    ["vmlinux"] = here .. "/vmlinux",
    ["./vmlinux"] = here .. "/vmlinux",
    ["../vmlinux"] = here .. "/../vmlinux",
    [".hidden"] = here .. "/.hidden",
  } do
    it(("the path %s against the working directory"):format(given), function ()
      assert.equal(expected, config.check({ boot_source = { kernel_image_path = given } }).boot_source.kernel_image_path)
    end)
  end

  it("the run directory, by the user", function ()
    assert.equal(core.files.euid() == 0 and "/run/firecracker-lua" or require "firecracker.config.defaults".run_dir(),
      config.check({}).run_dir)
  end)

  it("a program by its path or by its name", function ()
    assert.equal("firecracker", config.check({ vmm = { binary = "firecracker" } }).vmm.binary)
    assert.equal(here .. "/firecracker", config.check({ vmm = { binary = "./firecracker" } }).vmm.binary)
  end)

  it("every path that is one", function ()
    local checked = config.check {
      run_dir = "r",
      vmm = { binary = "b", socket_path = "s", seccomp_filter = "f" },
      boot_source = { kernel_image_path = "k", initrd_path = "i" },
      drives = { { drive_id = "a", is_root_device = false, socket = "d" } },
      vsock = { guest_cid = 3, uds_path = "v" },
      logger = { log_path = "l", fifo = "lf" },
      metrics = { metrics_path = "m", fifo = "mf" },
      console = "./c", cpu_config = "./t",
    }
    assert.equal(here .. "/r", checked.run_dir)
    assert.same({ binary = "b", socket_path = here .. "/s", seccomp_filter = here .. "/f", no_seccomp = false, arguments = {} }, checked.vmm)
    assert.same({ kernel_image_path = here .. "/k", initrd_path = here .. "/i" }, checked.boot_source)
    assert.equal(here .. "/d", checked.drives[1].socket)
    assert.equal(here .. "/v", checked.vsock.uds_path)
    assert.same({ log_path = here .. "/l", fifo = here .. "/lf" }, checked.logger)
    assert.same({ metrics_path = here .. "/m", fifo = here .. "/mf" }, checked.metrics)
    assert.equal(here .. "/c", checked.console)
    assert.equal(here .. "/t", checked.cpu_config)
  end)

  local bucket = { size = 10, refill_time = 100, one_time_burst = 0 }
  local accepted = {
    { "an id", { id = ("a-Z9"):rep(16) } },
    { "an id of dashes", { id = "-a--" } },
    { "the other consoles", { console = "inherit" } },
    { "the limits of vcpu_count", { machine_config = { vcpu_count = 32, smt = true } } },
    { "one processor with smt", { machine_config = { vcpu_count = 1, smt = true } } },
    { "an odd count without smt", { machine_config = { vcpu_count = 3, smt = false } } },
    { "an odd size in small pages", { machine_config = { mem_size_mib = 129, huge_pages = "None" } } },
    { "every field of a machine", { machine_config = { vcpu_count = 2, mem_size_mib = 64, smt = true, track_dirty_pages = true,
      huge_pages = "2M", cpu_template = "T2" } } },
    { "every field of a drive", { drives = { drive { is_root_device = true, is_read_only = true, partuuid = "u", cache_type = "Writeback",
      io_engine = "Async", rate_limiter = { bandwidth = bucket, ops = bucket } } } } },
    { "a drive behind a socket", { drives = { { drive_id = "a", is_root_device = true, socket = "/s", cache_type = "Unsafe" } } } },
    { "ids that differ in case", { drives = { drive { drive_id = "a" }, drive { drive_id = "A" } } } },
    { "one id in two classes", { drives = { drive { drive_id = "x" } }, network_interfaces = { interface { iface_id = "x" } } } },
    { "several interfaces without addresses", { network_interfaces = { interface {}, interface { iface_id = "eth1" } } } },
    { "every field of an interface", { network_interfaces = { interface { guest_mac = "02:fc:00:00:00:0A",
      rx_rate_limiter = { ops = bucket }, tx_rate_limiter = {} } } } },
    { "every field of vsock", { vsock = { guest_cid = 4294967295, uds_path = "/" .. ("v"):rep(106), vsock_id = "v" } } },
    { "a level in any case", { logger = { level = "wARN", show_level = true, show_log_origin = false, module = "api" } } },
    { "every field of mmds_config", { network_interfaces = { interface {} },
      mmds_config = { network_interfaces = { "eth0" }, version = "V2", ipv4_address = "169.254.254.255" } } },
    { "the lowest metadata address", { network_interfaces = { interface {} },
      mmds_config = { network_interfaces = { "eth0" }, ipv4_address = "169.254.1.0" } } },
    { "boot arguments of any text", { boot_source = { kernel_image_path = "/k", boot_args = ("\n"):rep(2047) } } },
    { "an empty boot argument list", { boot_source = { kernel_image_path = "/k", boot_args = "" } } },
    { "no_seccomp = false beside a filter", { vmm = { no_seccomp = false, seccomp_filter = "/f" } } },
    { "an empty environment", { vmm = { environment = {} } } },
    { "timeouts of nothing", { timeouts = { start = 0 } } },
  }
  for _, case in ipairs(accepted) do
    it(case[1], function ()
      local checked = config.check(case[2])
      for section, value in pairs(case[2]) do
        if type(value) ~= "table" then
          assert.equal(value, checked[section])
        else
          for key, inner in pairs(value) do
            assert.same(inner, checked[section][key])
          end
        end
      end
    end)
  end
end)

describe("config.check refuses", function ()
  local bucket = { size = 10, refill_time = 100 }
  local cyclic = {}
  cyclic.a = { cyclic }

  local cases = {
    -- shapes
    { nil, "config: table expected, got nil" },
    { "vm.json", "config: table expected, got string" },
    { { {} }, "config[1]: unknown key" },
    { { [true] = 1 }, "config.true: unknown key" },
    { { ["a b"] = 1 }, 'config["a b"]: unknown key' },
    { { drves = {} }, "config.drves: unknown key (did you mean 'drives'?)" },
    { { bootSource = {} }, "config.bootSource: unknown key (did you mean 'boot_source'?)" },
    { { machine_config = { vcpu = 1 } }, "config.machine_config.vcpu: unknown key (did you mean 'vcpu_count'?)" },
    { { drives = { drive { read_only = true } } }, "config.drives[1].read_only: unknown key (did you mean 'is_read_only'?)" },
    { { ["boot-source"] = {}, boot_source = {} }, "config.boot_source: given twice, with '-' and with '_'" },
    { { zz = 1, aa = 1, mm = 1 }, "config.aa: unknown key" },
    { { machine_config = 2 }, "config.machine_config: table expected, got number" },
    { { machine_config = false }, "config.machine_config: table expected, got boolean" },
    { { drives = "a" }, "config.drives: list expected, got string" },
    { { drives = drive {} }, "config.drives: list expected, got key 'drive_id'" },
    { { drives = { drive {}, nil, drive {} } }, "config.drives[2]: table expected, got nil" },
    { { drives = { [0] = drive {} } }, "config.drives: list expected, got key '0'" },
    { { drives = { [1.5] = drive {} } }, "config.drives: list expected, got key '1.5'" },
    { { drives = { "a.ext4" } }, "config.drives[1]: table expected, got string" },

    -- identity
    { { id = 7 }, "config.id: string expected, got number" },
    { { id = "a_b" }, "config.id: letters, digits and '-' expected, got 'a_b'" },
    { { id = "--help" }, "config.id: a text that does not begin with '--' expected, got '--help'" },
    { { id = "" }, "config.id: letters, digits and '-' expected, got ''" },
    { { id = ("a"):rep(65) }, "config.id: at most 64 bytes expected, got 65" },
    { { run_dir = "" }, "config.run_dir: path expected, got an empty string" },
    { { run_dir = "/a\0b" }, "config.run_dir: string without NUL bytes expected, got one with them" },

    -- boot source
    { { boot_source = {} }, "config.boot_source.kernel_image_path: string expected, got nil" },
    { { boot_source = { kernel_image_path = 1 } }, "config.boot_source.kernel_image_path: string expected, got number" },
    { { boot_source = { kernel_image_path = "/k", boot_args = ("x"):rep(2048) } },
      "config.boot_source.boot_args: at most 2047 bytes expected, got 2048" },

    -- machine
    { { machine_config = { vcpu_count = 0 } }, "config.machine_config.vcpu_count: 1 to 32 expected, got 0" },
    { { machine_config = { vcpu_count = 33.0 } }, "config.machine_config.vcpu_count: 1 to 32 expected, got 33" },
    { { machine_config = { vcpu_count = 1.5 } }, "config.machine_config.vcpu_count: integer expected, got 1.5" },
    { { machine_config = { vcpu_count = "2" } }, "config.machine_config.vcpu_count: integer expected, got string" },
    { { machine_config = { vcpu_count = math.huge } }, "config.machine_config.vcpu_count: finite number expected, got inf" },
    { { machine_config = { mem_size_mib = 0 } }, "config.machine_config.mem_size_mib: at least 1 expected, got 0" },
    { { machine_config = { vcpu_count = 3, smt = true } },
      "config.machine_config.vcpu_count: an even number expected with smt = true, got 3" },
    { { machine_config = { mem_size_mib = 129, huge_pages = "2M" } },
      "config.machine_config.mem_size_mib: an even number expected with huge_pages = 2M, got 129" },
    { { machine_config = { mem_size_mib = 1, huge_pages = "2M" } },
      "config.machine_config.mem_size_mib: an even number expected with huge_pages = 2M, got 1" },
    { { machine_config = { smt = 1 } }, "config.machine_config.smt: boolean expected, got number" },
    { { machine_config = { track_dirty_pages = "yes" } }, "config.machine_config.track_dirty_pages: boolean expected, got string" },
    { { machine_config = { huge_pages = "1G" } }, "config.machine_config.huge_pages: one of 'None', '2M', 'Transparent' expected, got '1G'" },
    { { machine_config = { cpu_template = "t2" } },
      "config.machine_config.cpu_template: one of 'None', 'C3', 'T2', 'T2S', 'T2CL', 'T2A', 'V1N1' expected, got 't2'" },

    -- drives
    { { drives = { drive {}, { drive_id = "b", is_root_device = false } } }, "config.drives[2].path_on_host: string expected, got nil" },
    { { drives = { { is_root_device = true, path_on_host = "/a" } } }, "config.drives[1].drive_id: string expected, got nil" },
    { { drives = { { drive_id = "a", path_on_host = "/a" } } }, "config.drives[1].is_root_device: boolean expected, got nil" },
    { { drives = { drive { drive_id = "a-b" } } }, "config.drives[1].drive_id: letters, digits and '_' expected, got 'a-b'" },
    { { drives = { drive { drive_id = 1 } } }, "config.drives[1].drive_id: string expected, got number" },
    { { drives = { drive {}, drive {} } }, "config.drives[2].drive_id: 'a' is taken by [1]" },
    { { drives = { drive { is_root_device = true }, drive { drive_id = "b" }, drive { drive_id = "c", is_root_device = true } } },
      "config.drives[3].is_root_device: true already in [1]" },
    { { drives = { drive { socket = "/s" } } }, "config.drives[1].path_on_host: not allowed beside socket" },
    { { drives = { { drive_id = "a", is_root_device = true, socket = "/s", is_read_only = false } } },
      "config.drives[1].is_read_only: not allowed beside socket" },
    { { drives = { { drive_id = "a", is_root_device = true, socket = "/s", io_engine = "Sync" } } },
      "config.drives[1].io_engine: not allowed beside socket" },
    { { drives = { { drive_id = "a", is_root_device = true, socket = "/s", rate_limiter = {} } } },
      "config.drives[1].rate_limiter: not allowed beside socket" },
    { { drives = { { drive_id = "a", is_root_device = true, socket = "/" .. ("s"):rep(107) } } },
      "config.drives[1].socket: at most 107 bytes expected, got 108" },
    { { drives = { drive { partuuid = "u" } } }, "config.drives[1].partuuid: allowed only with is_root_device = true" },
    { { drives = { drive { cache_type = "writeback" } } }, "config.drives[1].cache_type: one of 'Unsafe', 'Writeback' expected, got 'writeback'" },
    { { drives = { drive { io_engine = "io_uring" } } }, "config.drives[1].io_engine: one of 'Sync', 'Async' expected, got 'io_uring'" },
    { { drives = { drive { rate_limiter = { ops = { size = 1 } } } } },
      "config.drives[1].rate_limiter.ops.refill_time: integer expected, got nil" },
    { { drives = { drive { rate_limiter = { bandwidth = { refill_time = 1 } } } } },
      "config.drives[1].rate_limiter.bandwidth.size: integer expected, got nil" },
    { { drives = { drive { rate_limiter = { bandwidth = { size = -1, refill_time = 1 } } } } },
      "config.drives[1].rate_limiter.bandwidth.size: at least 0 expected, got -1" },
    { { drives = { drive { rate_limiter = { ops = { size = 1, refill_time = 18446744073710 } } } } },
      "config.drives[1].rate_limiter.ops.refill_time: 0 to 18446744073709 expected, got 18446744073710" },
    { { drives = { drive { rate_limiter = bucket } } }, "config.drives[1].rate_limiter.refill_time: unknown key" },

    -- network
    { { network_interfaces = { { host_dev_name = "tap0" } } }, "config.network_interfaces[1].iface_id: string expected, got nil" },
    { { network_interfaces = { { iface_id = "eth0" } } }, "config.network_interfaces[1].host_dev_name: string expected, got nil" },
    { { network_interfaces = { interface { iface_id = "eth-0" } } },
      "config.network_interfaces[1].iface_id: letters, digits and '_' expected, got 'eth-0'" },
    { { network_interfaces = { interface {}, interface {} } }, "config.network_interfaces[2].iface_id: 'eth0' is taken by [1]" },
    { { network_interfaces = { interface { host_dev_name = ("t"):rep(16) } } },
      "config.network_interfaces[1].host_dev_name: at most 15 bytes expected, got 16" },
    { { network_interfaces = { interface { host_dev_name = "tap/0" } } },
      "config.network_interfaces[1].host_dev_name: name of a tap device expected, got 'tap/0'" },
    { { network_interfaces = { interface { guest_mac = "02:fc:00:00:00" } } },
      "config.network_interfaces[1].guest_mac: MAC address xx:xx:xx:xx:xx:xx expected, got '02:fc:00:00:00'" },
    { { network_interfaces = { interface { guest_mac = "02:fc:00:00:00:0a" }, interface { iface_id = "b", guest_mac = "02:FC:00:00:00:0A" } } },
      "config.network_interfaces[2].guest_mac: '02:FC:00:00:00:0A' is taken by [1]" },

    -- vsock
    { { vsock = { uds_path = "/v" } }, "config.vsock.guest_cid: integer expected, got nil" },
    { { vsock = { guest_cid = 3 } }, "config.vsock.uds_path: string expected, got nil" },
    { { vsock = { guest_cid = 2, uds_path = "/v" } }, "config.vsock.guest_cid: 3 to 4294967295 expected, got 2" },
    { { vsock = { guest_cid = 1 << 32, uds_path = "/v" } }, "config.vsock.guest_cid: 3 to 4294967295 expected, got 4294967296" },
    { { vsock = { guest_cid = 3, uds_path = "/" .. ("v"):rep(107) } }, "config.vsock.uds_path: at most 107 bytes expected, got 108" },

    -- logger, metrics
    { { logger = { level = "loud" } },
      "config.logger.level: one of 'Off', 'Trace', 'Debug', 'Info', 'Warn', 'Warning', 'Error' expected, got 'loud'" },
    { { logger = { to = "file" } }, "config.logger.to: a function or a path with a slash expected, got 'file'" },
    { { client = "socket" }, "config.client: a function or a table with the methods of a client expected, got string" },

    -- metadata
    { { mmds_config = {} }, "config.mmds_config.network_interfaces: list expected, got nil" },
    { { mmds_config = { network_interfaces = {} } }, "config.mmds_config.network_interfaces: at least 1 item expected, got 0" },
    { { mmds_config = { network_interfaces = { 1 } } }, "config.mmds_config.network_interfaces[1]: string expected, got number" },
    { { network_interfaces = { interface {} }, mmds_config = { network_interfaces = { "eth0", "eth1" } } },
      "config.mmds_config.network_interfaces[2]: no 'eth1' in network_interfaces" },
    { { mmds_config = { network_interfaces = { "eth0" }, version = "V3" } },
      "config.mmds_config.version: one of 'V1', 'V2' expected, got 'V3'" },
    { { mmds = "x" }, "config.mmds: table expected, got string" },
    { { mmds = { a = print } }, "config.mmds.a: JSON value expected, got function" },
    { { mmds = { a = { 1, nil, 3 } } }, "config.mmds.a[2]: JSON value expected, got nil" },
    { { mmds = { a = { 1, x = 2 } } }, "config.mmds.a: string keys or a list expected, got key '1'" },
    { { mmds = { [true] = 1 } }, "config.mmds: string keys or a list expected, got key 'true'" },
    { { mmds = { ["a b"] = { print } } }, 'config.mmds["a b"][1]: JSON value expected, got function' },
    { { mmds = { a = 0 / 0 } }, ("config.mmds.a: finite number expected, got %s"):format(0 / 0) },
    { { mmds = { a = -math.huge } }, "config.mmds.a: finite number expected, got -inf" },
    { { mmds = { a = "\0" } }, "config.mmds.a: string without NUL bytes expected, got one with them" },
    { { mmds = { a = { ["b\0"] = 1 } } }, "config.mmds.a: keys without NUL bytes expected, got one with them" },
    { { mmds = cyclic }, "config.mmds.a[1]: the table contains itself" },

    -- our own
    { { vmm = { binary = true } }, "config.vmm.binary: string expected, got boolean" },
    { { vmm = { no_seccomp = true, seccomp_filter = "/f" } }, "config.vmm.seccomp_filter: not allowed beside no_seccomp" },
    { { vmm = { arguments = { "--x", 1 } } }, "config.vmm.arguments[2]: string expected, got number" },
    { { vmm = { arguments = { ["--x"] = "1" } } }, "config.vmm.arguments: list expected, got key '--x'" },
    { { vmm = { environment = { A = 1 } } }, "config.vmm.environment.A: string expected, got number" },
    { { vmm = { environment = { "A=1" } } }, "config.vmm.environment[1]: name of a variable expected, got '1'" },
    { { vmm = { environment = { ["A=B"] = "1" } } }, [[config.vmm.environment["A=B"]: name of a variable expected, got 'A=B']] },
    { { vmm = { environment = "A=1" } }, "config.vmm.environment: table expected, got string" },
    { { timeouts = { stop = -1 } }, "config.timeouts.stop: at least 0 expected, got -1" },
    { { timeouts = { stop = -0.5 } }, "config.timeouts.stop: at least 0 expected, got -0.5" },
    { { timeouts = { start = math.huge } }, "config.timeouts.start: finite number expected, got inf" },
    { { timeouts = { term = "5" } }, "config.timeouts.term: number expected, got string" },
    { { console = 1 }, "config.console: 'null', 'inherit', 'pty', a path with a slash or a function expected, got number" },
    { { console = "console.log" }, "config.console: 'null', 'inherit', 'pty', a path with a slash or a function expected, got 'console.log'" },
    { { log = "log" }, "config.log: function expected, got string" },
    { { disable_validation = "yes" }, "config.disable_validation: boolean expected, got string" },
  }
  for i = 1, #cases do
    local t, expected = cases[i][1], cases[i][2]
    it(expected, function ()
      local message, err = refusal(t)
      assert.equal(expected, message)
      assert.equal(expected:match "^config[^:]*", err.field)
    end)
  end

  for _, address in ipairs { "169.254.0.255", "169.254.255.0", "169.254.1.256", "169.253.1.1", "169.254.1", "169.254.1.1.1", "169.254.170.02", "x" } do
    it("the metadata address " .. address, function ()
      assert.equal(("config.mmds_config.ipv4_address: an address from 169.254.1.0 to 169.254.254.255 expected, got '%s'"):format(address),
        (refusal { mmds_config = { network_interfaces = { "eth0" }, ipv4_address = address } }))
    end)
  end

  for text, t in pairs {
    ["via: unknown key; it is an option: fc.boot(config, { via = … })"] = { via = "config_file" },
    ["jailer.id: unknown key; it is config.id"] = { jailer = { uid = 1, gid = 1, id = "a" } },
    ["jailer.exec_file: unknown key; it is config.vmm.binary"] = { jailer = { uid = 1, gid = 1, exec_file = "/f" } },
    ["jailer.cgroup_args: unknown key; it is config.jailer.cgroups"] = { jailer = { uid = 1, gid = 1, cgroup_args = {} } },
  } do
    it("by its name here, what others call so: " .. text:match "^[^:]*", function ()
      assert.equal("config." .. text, (refusal(t)))
    end)
  end

  local other = require("firecracker.host").arch() == "x86" and "arm" or "x86"
  for text, t in pairs {
    ["balloon.amount_mib: at most machine_config.mem_size_mib (128) expected, got 129"] =
      { balloon = { amount_mib = 129, deflate_on_oom = true } },
    ["balloon.deflate_on_oom: boolean expected, got nil"] = { balloon = { amount_mib = 1 } },
    ["network_interfaces[1].mtu: 68 to 65535 expected, got 67"] = { network_interfaces = { interface { mtu = 67 } } },
    ["pmem[1].root_device: true already in drives[1]"] = {
      drives = { { drive_id = "d", path_on_host = "/d", is_root_device = true } },
      pmem = { { id = "p", path_on_host = "/p", root_device = true } } },
    ["memory_hotplug.block_size_mib: a power of two expected, got 3"] =
      { memory_hotplug = { total_size_mib = 1024, block_size_mib = 3 } },
    ["memory_hotplug.total_size_mib: a multiple of slot_size_mib (128) expected, got 200"] =
      { memory_hotplug = { total_size_mib = 200 } },
    ["memory_hotplug.slot_size_mib: a multiple of block_size_mib (256) expected, got 300"] =
      { memory_hotplug = { total_size_mib = 1200, block_size_mib = 256, slot_size_mib = 300 } },
    ["cpu_config.kvm_capabilities[1]: a decimal number, perhaps behind !, expected, got 'x'"] =
      { cpu_config = { kvm_capabilities = { "x" } } },
    ["cpu_config: table or path expected, got number"] = { cpu_config = 1 },
    ["cpu_config: path expected, got an empty string"] = { cpu_config = "" },
    ["cpu_config.msr_modifiers[1].addr: a number of 32 bits with the prefix 0x or 0b expected, got '266'"] =
      { cpu_config = { msr_modifiers = { { addr = "266", bitmap = "0b1" } } } },
    ["cpu_config.msr_modifiers[1].bitmap: at most 64 characters 0, 1 and x expected, got '0b12'"] =
      { cpu_config = { msr_modifiers = { { addr = "0x10a", bitmap = "0b12" } } } },
    [other == "arm" and "cpu_config.reg_modifiers: for arm processors alone" or "cpu_config.msr_modifiers: for x86 processors alone"] =
      { cpu_config = { [other == "arm" and "reg_modifiers" or "msr_modifiers"] = {} } },
    ["serial.rate_limiter.size: integer expected, got nil"] = { serial = { rate_limiter = { refill_time = 1 } } },
  } do
    it("in a device: " .. text, function ()
      assert.equal("config." .. text, (refusal(t)))
    end)
  end

  for arch, others in pairs {
    arm = { { smt = true }, { cpu_template = "C3" }, { cpu_template = "T2" }, { cpu_template = "T2S" }, { cpu_template = "T2CL" },
      { cpu_template = "T2A" } },
    x86 = { { cpu_template = "V1N1" } },
  } do
    it("for a processor that has it not: " .. arch, function ()
      local host = require "firecracker.host"
      local real = host.arch
      finally(function () host.arch = real end)
      host.arch = function () return arch end
      for _, machine_config in ipairs(others) do
        local field, value = next(machine_config)
        assert.equal(("config.machine_config.%s: for %s processors alone, got '%s'"):format(field, arch == "arm" and "x86" or "arm", value),
          (refusal { machine_config = machine_config }))
      end
      assert.is_table(config.check { boot_source = { kernel_image_path = "/k" }, machine_config = { smt = false, cpu_template = "None" } })
    end)
  end

  it("at the caller's line, or its caller's", function ()
    local function line_here () return "config_spec.lua:" .. debug.getinfo(2, "l").currentline .. "$" end
    local first, second
    local function wrapper (level)
      first = line_here() config.check({ id = 1 }, level)
      return true
    end
    local function caller (level)
      second = line_here() wrapper(level)
      return true
    end
    local _, err = pcall(caller)
    assert.matches(first, err.where)
    _, err = pcall(caller, 1)
    assert.matches(first, err.where)
    _, err = pcall(caller, 2)
    assert.matches(second, err.where)
    assert.equal(err.where .. ": config.id: string expected, got number", tostring(err))
  end)
end)
