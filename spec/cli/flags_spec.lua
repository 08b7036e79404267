-- The words of fclua run as a configuration.
local argparse = require "argparse"
local config = require "firecracker.config"
local errors = require "firecracker.errors"
local flags = require "firecracker.cli.flags"
local scratch = require "spec.support.scratch"

local function parse (...)
  local parser = argparse("fclua")
  flags.define(parser)
  local ok, options = parser:pparse { ... }
  assert(ok, options)
  return options
end

local function made (...)
  return assert(flags.config(parse(...)))
end

describe("a flag", function ()
  for _, case in ipairs {
    { { "--kernel", "k", "--kernel-opts", "a -- b", "--initrd-path", "i" },
      { boot_source = { kernel_image_path = "k", boot_args = "a -- b", initrd_path = "i" } } },
    { { "--initrd", "i" }, { boot_source = { initrd_path = "i" } } },
    { { "--root-drive", "r", "--root-partition", "u" },
      { drives = {
        { drive_id = "root", path_on_host = "r", is_root_device = true, is_read_only = false, partuuid = "u" },
      } } },
    { { "--add-drive", "a:b:ro", "--root-drive", "r:rw", "--add-drive", "c:xx" },
      { drives = {
        { drive_id = "root", path_on_host = "r", is_root_device = true, is_read_only = false },
        { drive_id = "drive1", path_on_host = "a:b", is_root_device = false, is_read_only = true },
        { drive_id = "drive2", path_on_host = "c:xx", is_root_device = false, is_read_only = false },
      } } },
    { { "--tap-device", "tap0/AA:FC:00:00:00:01", "--tap-device", "tap1" },
      { network_interfaces = {
        { iface_id = "eth0", host_dev_name = "tap0", guest_mac = "AA:FC:00:00:00:01" },
        { iface_id = "eth1", host_dev_name = "tap1" },
      } } },
    { { "--vsock-device", "./v:s:3" }, { vsock = { uds_path = "./v:s", guest_cid = 3 } } },
    { { "--ncpus", "2", "--memory", "64", "--cpu-template", "T2", "--disable-smt" },
      { machine_config = { vcpu_count = 2, mem_size_mib = 64, cpu_template = "T2", smt = false } } },
    { { "-c", "2", "-m", "64", "-t" }, { machine_config = { vcpu_count = 2, mem_size_mib = 64, smt = false } } },
    { { "--metadata", '{"a":[1]}', "--tap-device", "tap0" },
      { mmds = { a = { 1 } }, mmds_config = { network_interfaces = { "eth0" } },
        network_interfaces = { { iface_id = "eth0", host_dev_name = "tap0" } } } },
    { { "--vmm-log-fifo", "f", "--log-level", "Debug" }, { logger = { fifo = "f", level = "Debug" } } },
    { { "--firecracker-log", "l" }, { logger = { log_path = "l" } } },
    { { "--metrics-fifo", "m" }, { metrics = { fifo = "m" } } },
    { { "--id", "x", "--socket-path", "s", "--exec-file", "e" },
      { id = "x", vmm = { socket_path = "s", binary = "e" } } },
    { { "-s", "s", "--firecracker-binary", "e" }, { vmm = { socket_path = "s", binary = "e" } } },
    { { "--jailer", "/j", "--uid", "1", "--gid", "2", "--node", "0", "--chroot-base-dir", "/b", "--daemonize" },
      { jailer = { jailer_binary = "/j", uid = 1, gid = 2, numa_node = 0, chroot_base_dir = "/b", daemonize = true } } },
    { {}, {} },
  } do
    it("means what firectl means by it: " .. table.concat(case[1], " "), function ()
      local given = made(table.unpack(case[1]))
      assert.same(case[2], given)
      if not given.boot_source or given.boot_source.kernel_image_path then
        assert.is_table(config.check(given))    -- each word has a place in the schema
      end
    end)
  end

  it("hands what comes out of the FIFO to the log file", function ()
    local path = scratch "log"
    local before <close> = assert(io.open(path, "w"))
    before:write "zero\n"
    before:flush()
    local to = made("--firecracker-log", path, "--vmm-log-fifo", "f").logger.to
    to "one"
    to "two"
    local file <close> = assert(io.open(path))
    assert.equal("zero\none\ntwo\n", file:read "a")
    os.remove(path)
  end)

  it("fails where the log file takes no more", function ()
    local to = made("--firecracker-log", "/dev/full", "--vmm-log-fifo", "f").logger.to
    local ok, err = pcall(to, "one")
    assert.same({ false, "/dev/full: No space left on device" }, { ok, err })
  end)

  for _, case in ipairs {
    { { "--ncpus", "x" }, "--ncpus: integer expected, got 'x'" },
    { { "--memory", "1.5" }, "--memory: integer expected, got '1.5'" },
    { { "--vsock-device", "path" }, "--vsock-device: PATH:CID expected, got 'path'" },
    { { "--vsock-device", "x:99999999999999999999" }, "--vsock-device: PATH:CID expected, got 'x:99999999999999999999'" },
    { { "--metadata", "null" }, "--metadata: a JSON object or list expected, got 'null'" },
    { { "--metadata", "5" }, "--metadata: a JSON object or list expected, got '5'" },
    { { "--root-partition", "u" }, "--root-partition: needs --root-drive" },
    { { "--firecracker-log", "/nowhere/l", "--vmm-log-fifo", "f" },
      "--firecracker-log: /nowhere/l: No such file or directory" },
  } do
    it("is refused: " .. case[2], function ()
      local ok, err = flags.config(parse(table.unpack(case[1])))
      assert.is_nil(ok)
      assert.equal(case[2], err.message)
      assert.equal("usage", err.code)
    end)
  end

  it("is refused when its data are no JSON", function ()
    local _, err = flags.config(parse("--metadata", "{"))
    assert.matches("^%-%-metadata: ", err.message)
  end)
end)

describe("blame", function ()
  for _, case in ipairs {
    { "config.machine_config.vcpu_count: 1 to 32 expected, got 99", {}, "--ncpus: 1 to 32 expected, got 99" },
    { "config.drives[1].path_on_host: no", { root_drive = "r" }, "--root-drive: no" },
    { "config.drives[1].path_on_host: no", {}, "--add-drive: no" },
    { "config.drives[2].path_on_host: no", { root_drive = "r" }, "--add-drive: no" },
    { "config.network_interfaces[1].host_dev_name: no", {}, "--tap-device: no" },
    { "config.vsock.guest_cid: no", {}, "--vsock-device: no" },
    { "config.boot_source: required to boot: table expected, got nil", {}, "--kernel is required" },
    { "config.boot_source.kernel_image_path: string expected, got nil", {}, "--kernel is required" },
    { "config.idle: no", {}, "config.idle: no" },
    { "config.timeouts.stop: no", {}, "config.timeouts.stop: no" },
    { "validate.Cfg: config.boot_source.initrd_path: no", {}, "validate.Cfg: --initrd-path: no" },
  } do
    it("words it in flags: " .. case[1], function ()
      local err = flags.blame(errors.new { code = "config", message = case[1], hint = case[1] }, case[2])
      assert.equal(case[3], err.message)
      assert.equal(case[3], err.hint)
    end)
  end
end)
