--- What a configuration may hold, as data. The walker (@{firecracker.config}) knows no field by name.
--
-- One record for each field:
--
-- - `name`, `doc`; `later = true`: known, but of a later release of this library
-- - `type`: `string`, `boolean`, `integer`, `number` (finite), `path` (made absolute), `program` (a path when it has a
--   slash, else a name on PATH), `function`,
--   `table` (of `fields`), `list` (of `item`), `map` (string keys, of `item`), `json` (any table that JSON can hold);
--   or `any`, alternatives of the plain types, told apart in this order and described by `expected`
-- - `required`; `default`, filled in when absent, or a function that gives it (what Firecracker itself fills in is left
--   absent and told in `doc`)
-- - `min`, `max`: of a number, or of a list's length; `max_bytes` of a string
-- - `enum`, with `ignore_case`; `pattern` and `key_pattern` (a map's keys), in words in `expected` and `key_expected`
-- - `rules`: what concerns several fields at once, each `{ name, arguments… }` of @{firecracker.config.rules}
--
-- Names and limits of Firecracker's sections are those of its API, release 1.12.
-- @module firecracker.config.schema

local defaults = require "firecracker.config.defaults"

local RESOURCE_ID <const> = "^[A-Za-z0-9_]+$"
local RESOURCE_ID_EXPECTED <const> = "letters, digits and '_' expected"

local U32 <const> = 0xffffffff

local token_bucket = {
  { name = "size", type = "integer", min = 0, required = true, doc = "tokens the bucket holds: bytes or operations" },
  { name = "refill_time", type = "integer", min = 0, required = true, doc = "milliseconds that filling it takes" },
  { name = "one_time_burst", type = "integer", min = 0, doc = "tokens beyond the bucket, never refilled" },
}

local rate_limiter = {
  { name = "bandwidth", type = "table", fields = token_bucket, doc = "bytes" },
  { name = "ops", type = "table", fields = token_bucket, doc = "operations" },
}

local boot_source = {
  { name = "kernel_image_path", type = "path", required = true, doc = "the guest's kernel, an ELF file on x86" },
  { name = "boot_args", type = "string", max_bytes = 2047, doc = "the kernel's command line; absent: a short one" },
  { name = "initrd_path", type = "path", doc = "the initial RAM disk" },
}

local machine_config = {
  { name = "vcpu_count", type = "integer", min = 1, max = 32, required = true, default = 1, doc = "virtual CPUs" },
  { name = "mem_size_mib", type = "integer", min = 1, required = true, default = 128, doc = "guest memory in MiB" },
  { name = "smt", type = "boolean", doc = "two threads a core (x86); absent: false" },
  { name = "track_dirty_pages", type = "boolean", doc = "needed by diff snapshots; absent: false" },
  { name = "huge_pages", type = "string", enum = { "None", "2M" }, doc = "pages behind guest memory; absent: None" },
  { name = "cpu_template", type = "string", enum = { "None", "C3", "T2", "T2S", "T2CL", "T2A", "V1N1" },
    doc = "a CPU template by name (deprecated by Firecracker)" },
}

local drive = {
  { name = "drive_id", type = "string", pattern = RESOURCE_ID, expected = RESOURCE_ID_EXPECTED, required = true,
    doc = "unique among drives" },
  { name = "is_root_device", type = "boolean", required = true, doc = "the drive the guest boots from" },
  { name = "path_on_host", type = "path", doc = "file or block device; needed unless there is a socket" },
  { name = "is_read_only", type = "boolean", doc = "absent: false" },
  { name = "partuuid", type = "string", doc = "the partition to boot from; for the root drive" },
  { name = "cache_type", type = "string", enum = { "Unsafe", "Writeback" }, doc = "absent: Unsafe (no flushes)" },
  { name = "io_engine", type = "string", enum = { "Sync", "Async" }, doc = "absent: Sync" },
  { name = "rate_limiter", type = "table", fields = rate_limiter, doc = "limits of this drive" },
  { name = "socket", type = "path", max_bytes = 107, doc = "of a vhost-user backend, instead of path_on_host" },
}

local network_interface = {
  { name = "iface_id", type = "string", pattern = RESOURCE_ID, expected = RESOURCE_ID_EXPECTED, required = true,
    doc = "unique among network interfaces" },
  { name = "host_dev_name", type = "string", required = true, max_bytes = 15, pattern = "^[^/%s]+$",
    expected = "name of a tap device expected", doc = "the tap device on the host" },
  { name = "guest_mac", type = "string", pattern = "^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$",
    expected = "MAC address xx:xx:xx:xx:xx:xx expected", doc = "absent: the guest chooses" },
  { name = "rx_rate_limiter", type = "table", fields = rate_limiter, doc = "limits towards the guest" },
  { name = "tx_rate_limiter", type = "table", fields = rate_limiter, doc = "limits from the guest" },
  { name = "allow_mmds", later = true },
  { name = "cni", later = true },
  { name = "mtu", later = true },
  { name = "static", later = true },
  { name = "tap", later = true },
  { name = "via", later = true },
}

local vsock = {
  { name = "guest_cid", type = "integer", min = 3, max = U32, required = true, doc = "the guest's address" },
  { name = "uds_path", type = "path", max_bytes = 107, required = true, doc = "the VMM makes this socket" },
  { name = "vsock_id", type = "string", doc = "deprecated by Firecracker" },
}

local logger = {
  { name = "log_path", type = "path", doc = "the file or FIFO the VMM logs to" },
  { name = "level", type = "string", ignore_case = true,
    enum = { "Off", "Trace", "Debug", "Info", "Warn", "Warning", "Error" }, doc = "absent: Info" },
  { name = "show_level", type = "boolean", doc = "absent: false" },
  { name = "show_log_origin", type = "boolean", doc = "absent: false" },
  { name = "module", type = "string", doc = "only what this part of the VMM logs, by prefix" },
  { name = "fifo", type = "path", doc = "a FIFO to make and to log through" },
  { name = "to", type = "function", doc = "is called with each line that comes out of the FIFO" },
}

local metrics = {
  { name = "metrics_path", type = "path", doc = "the file or FIFO the VMM writes its metrics to" },
  { name = "fifo", type = "path", doc = "a FIFO to make and to write through" },
  { name = "to", type = "function", doc = "is called with each line that comes out of the FIFO" },
  { name = "emit_id", later = true },
  { name = "properties", later = true },
}

local mmds_config = {
  { name = "network_interfaces", type = "list", item = { type = "string" }, min = 1, required = true,
    doc = "ids of the interfaces through which the guest reaches its metadata" },
  { name = "version", type = "string", enum = { "V1", "V2" }, doc = "absent: V1 (deprecated by Firecracker)" },
  { name = "ipv4_address", type = "string", rules = { { "metadata_address" } }, doc = "absent: 169.254.169.254" },
  { name = "imds_compat", later = true },
}

local vmm = {
  { name = "binary", type = "program", doc = "the firecracker executable; absent: $FIRECRACKER, or by PATH" },
  { name = "socket_path", type = "path", doc = "of the API; absent: in the machine's run directory" },
  { name = "no_seccomp", type = "boolean", default = false, doc = "run the VMM without its system call filters" },
  { name = "seccomp_filter", type = "path", doc = "a filter file of your own" },
  { name = "arguments", type = "list", item = { type = "string" }, default = {}, doc = "added to the command line" },
  { name = "environment", type = "map", item = { type = "string" }, key_pattern = "^[^=]+$",
    key_expected = "name of a variable expected", doc = "of the VMM's process" },
}

local timeouts = {
  { name = "start", type = "number", min = 0, default = 60, doc = "the whole boot flow" },
  { name = "request", type = "number", min = 0, default = 60, doc = "one API request" },
  { name = "stop", type = "number", min = 0, default = 30, doc = "stopping, and whatever cleans up" },
  { name = "shutdown", type = "number", min = 0, default = 5, doc = "the guest's own shutdown, before SIGTERM" },
  { name = "term", type = "number", min = 0, default = 5, doc = "after SIGTERM, before SIGKILL" },
}

return {
  type = "table",
  required = true,
  rules = { { "listed", "mmds_config", "network_interfaces", "network_interfaces", "iface_id" } },
  fields = {
    { name = "id", type = "string", max_bytes = 64, pattern = "^[A-Za-z0-9-]+$",
      expected = "letters, digits and '-' expected", doc = "the machine's name; absent: one is made" },
    { name = "run_dir", type = "path", default = defaults.run_dir, doc = "where machines keep their sockets and files" },
    { name = "vmm", type = "table", fields = vmm, default = {},
      rules = { { "excludes", "no_seccomp", "seccomp_filter" } }, doc = "the VMM's process" },
    { name = "boot_source", type = "table", fields = boot_source, doc = "what the guest boots" },
    { name = "machine_config", type = "table", fields = machine_config, default = {},
      rules = { { "even", "vcpu_count", "smt", true, 1 }, { "even", "mem_size_mib", "huge_pages", "2M" } },
      doc = "processors and memory" },
    { name = "drives", type = "list", default = {}, rules = { { "unique", "drive_id" }, { "once", "is_root_device" } },
      item = { type = "table", fields = drive, rules = {
        { "excludes", "socket", "path_on_host", "is_read_only", "io_engine", "rate_limiter" },
        { "either", "path_on_host", "socket" },
        { "only_with", "partuuid", "is_root_device" },
      } },
      doc = "block devices, the root drive wherever it stands" },
    { name = "network_interfaces", type = "list", default = {},
      rules = { { "unique", "iface_id" }, { "unique", "guest_mac", "ignore_case" } },
      item = { type = "table", fields = network_interface },
      doc = "network devices, in the guest's order" },
    { name = "vsock", type = "table", fields = vsock, doc = "the socket between host and guest" },
    { name = "logger", type = "table", fields = logger, doc = "what the VMM logs" },
    { name = "metrics", type = "table", fields = metrics, rules = { { "either", "metrics_path", "fifo", "to" } },
      doc = "what the VMM counts" },
    { name = "mmds_config", type = "table", fields = mmds_config, doc = "how the guest reaches its metadata" },
    { name = "mmds", type = "json", doc = "the guest's metadata" },
    { name = "timeouts", type = "table", fields = timeouts, default = {}, doc = "in seconds" },
    { name = "console", default = "null", expected = "'null', 'inherit', a path with a slash or a function expected",
      any = {
        { type = "function" },
        { type = "string", enum = { "null", "inherit" } },
        { type = "path", pattern = "/", expected = "a slash expected" },
      },
      doc = "where the guest's serial port goes; a function gets its bytes" },
    { name = "log", type = "function", doc = "is called with each event, a table" },
    { name = "log_level", type = "string", enum = { "error", "warn", "info", "debug", "trace" }, default = "debug",
      doc = "down to which level; trace shows the bodies of requests, secrets included" },
    { name = "when_dropped", type = "string", enum = { "kill", "leave" }, default = "kill",
      doc = "what becomes of the VMM when the machine is garbage while it runs" },
    { name = "disable_validation", type = "boolean", default = false, doc = "skip the flow's validation steps" },
    { name = "balloon", later = true },
    { name = "client", later = true },
    { name = "cpu_config", later = true },
    { name = "entropy", later = true },
    { name = "jailer", later = true },
    { name = "memory_hotplug", later = true },
    { name = "netns", later = true },
    { name = "pmem", later = true },
    { name = "serial", later = true },
    { name = "snapshot", later = true },
    { name = "via", later = true },
  },
}
