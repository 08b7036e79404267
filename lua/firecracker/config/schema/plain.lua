--- What plain configurations have: a schema by itself, and a part of @{firecracker.config.schema}.
-- @module firecracker.config.schema.plain

local defaults = require "firecracker.config.defaults"
local section = require "firecracker.config.schema.section"

local vmm = {
  { name = "binary", type = "program", doc = "the firecracker executable; absent: $FIRECRACKER, or by PATH" },
  { name = "socket_path", type = "path", doc = "of the API; absent: in the machine's run directory" },
  { name = "no_seccomp", type = "boolean", default = false, doc = "run the VMM without its system call filters" },
  { name = "seccomp_filter", type = "path", doc = "a filter file of your own" },
  { name = "arguments", type = "list", item = { type = "string" }, default = {}, doc = "added to the command line" },
  { name = "environment", type = "map", item = { type = "string" }, key_pattern = "^[^=]+$",
    key_expected = "name of a variable expected", doc = "of the VMM's process" },
  { name = "spawn", type = "function",
    doc = "starts the process in the library's stead: gets what core.process.spawn takes, and that; gives what it gives" },
}

local timeouts = {
  { name = "start", type = "number", min = 0, default = 60, doc = "the whole boot flow" },
  { name = "request", type = "number", min = 0, default = 60, doc = "one API request" },
  { name = "dial", type = "number", min = 0, default = 10, doc = "until a port of the guest's answers" },
  { name = "stop", type = "number", min = 0, default = 30, doc = "stopping, and whatever cleans up" },
  { name = "shutdown", type = "number", min = 0, default = 5, doc = "the guest's own shutdown, before SIGTERM" },
  { name = "term", type = "number", min = 0, default = 5, doc = "after SIGTERM, before SIGKILL" },
}

return {
  type = "table",
  required = true,
  fields = {
    { name = "id", type = "string", max_bytes = 64, pattern = "^[A-Za-z0-9-]+$",
      expected = "letters, digits and '-' expected", rules = { { "command_line" } }, doc = "the machine's name; absent: one is made" },
    { name = "run_dir", type = "path", default = defaults.run_dir, doc = "where machines keep their sockets and files" },
    { name = "vmm", type = "table", fields = vmm, default = {},
      rules = { { "excludes", "no_seccomp", "seccomp_filter" } }, doc = "the VMM's process" },
    section("boot_source", "BootSource", "what the guest boots"),
    section("machine_config", "MachineConfiguration", "processors and memory",
      { vcpu_count = { default = 1 }, mem_size_mib = { default = 128 } }, nil, { default = {} }),
    { name = "drives", type = "list", default = {}, rules = { { "unique", "drive_id" }, { "once", "is_root_device" } },
      item = section(nil, "Drive"), doc = "block devices, the root drive wherever it stands" },
    { name = "network_interfaces", type = "list", default = {},
      rules = { { "unique", "iface_id" }, { "unique", "guest_mac", "ignore_case" } },
      item = section(nil, "NetworkInterface", nil, { host_dev_name = { required = false } },
        "firecracker.config.schema.interface", { rules = {
        { "excludes", "cni", "static", "nat", "bridge", "tap" }, { "excludes", "nat", "static", "bridge" },
        { "either", "host_dev_name", "tap", "bridge", "nat", "cni" } } }),
      doc = "network devices, in the guest's order" },
    { name = "timeouts", type = "table", fields = timeouts, default = {}, doc = "in seconds" },
    { name = "console", default = "null", expected = "'null', 'inherit', 'pty', a path with a slash or a function expected",
      any = {
        { type = "function" },
        { type = "string", enum = { "null", "inherit", "pty" } },
        { type = "path", pattern = "/", expected = "a slash expected" },
      },
      doc = "where the guest's serial port goes; a function gets its bytes, with 'pty' vm:console() does" },
    { name = "console_size", type = "integer", min = 4096, max = 1 << 30, default = 1 << 18,
      doc = "bytes of the console that wait to be read; the oldest are dropped beyond them" },
    { name = "log", type = "function", doc = "is called with each event, a table" },
    { name = "log_level", type = "string", enum = { "error", "warn", "info", "debug", "trace" }, default = "debug",
      doc = "down to which level; trace shows the bodies of requests, secrets included" },
    { name = "when_dropped", type = "string", enum = { "kill", "leave" }, default = "kill",
      doc = "what becomes of the VMM when the machine is garbage while it runs" },
    { name = "disable_validation", type = "boolean", default = false, doc = "skip the flow's validation steps" },
  },
}
