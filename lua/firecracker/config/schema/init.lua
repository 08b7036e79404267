--- What a configuration may hold, as data. The walker (@{firecracker.config}) knows no field by name.
--
-- One record for each field:
--
-- - `name`, `doc`; or `elsewhere`: what a field that others have is called here, for the error
-- - `type`: `string`, `boolean`, `integer`, `number` (finite), `path` (made absolute), `program` (a path when it has a
--   slash, else a name on PATH), `function`, `object` (a table that stays as it is),
--   `table` (of `fields`), `list` (of `item`), `map` (string keys, of `item`), `json` (any table that JSON can hold);
--   or `any`, alternatives of the plain types, told apart in this order and described by `expected`
-- - `file`: of a table, the path of a JSON file of it will do
-- - `required`; `default`, filled in when absent, or a function that gives it (what Firecracker itself fills in is left
--   absent and told in `doc`)
-- - `one`: of a list, that a single value is taken for a list of it; `flag`: of a table, that `true` is taken for an empty one
-- - `min`, `max`: of a number, or of a list's length; `max_bytes` of a string
-- - `enum`, with `ignore_case`; `pattern` and `key_pattern` (a map's keys), in words in `expected` and `key_expected`
-- - `rules`: what concerns several fields at once, each `{ name, arguments… }` of @{firecracker.config.rules}
-- - `model` is Firecracker's name for it, and `absent`, `nullable`, `width`, `since`, `deprecated` … are its facts, see
--   @{firecracker.api.models}; `arch` and `enum_arch` refuse what another processor has
--
-- Firecracker's sections are those of the models: only what is ours stands here.
-- @module firecracker.config.schema

local defaults = require "firecracker.config.defaults"
local models = require "firecracker.api.models"

-- The fields of a model. `changes` by name go on top of a field's record; what `ours` lists, or the module of that name, comes
-- after.
local function fields_of (model, changes, ours)
  local fields = {}
  for _, field in ipairs(model and models[model].fields or {}) do
    if not field.removed then
      local copy = {}
      for key, value in pairs(field) do
        copy[key] = value
      end
      for key, value in pairs(changes and changes[field.name] or {}) do
        copy[key] = value
      end
      fields[#fields + 1] = copy
    end
  end
  ours = type(ours) == "string" and require(ours) or ours or {}
  return table.move(ours, 1, #ours, #fields + 1, fields)
end

-- A section that is a model or a module's, which is read when the section is.
local function section (name, model, doc, changes, ours)
  return setmetatable({ name = name, type = "table", model = model, doc = doc }, { __index = function (self, key)
    if key == "fields" or key == "rules" then
      local fields = fields_of(model, changes, ours)
      local rules = rawget(self, "rules") or model and models[model].rules or {}
      setmetatable(self, nil)   -- last: what could not be opened is read the next time
      self.fields, self.rules = fields, rules
      return self[key]
    end
  end })
end

-- With more words in its record.
local function with (record, words)
  for key, value in pairs(words) do
    record[key] = value
  end
  return record
end

local fifo = {
  { name = "fifo", type = "path", doc = "a FIFO to make and to write through; without `to` its reader is somebody else" },
  { name = "to", expected = "a function or a path with a slash expected",
    any = { { type = "function" }, { type = "path", pattern = "/", expected = "a slash expected" } },
    doc = "gets each line: a file it is added to, or a function of the line and what is parsed of it" },
}

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

local load_options = {
  { name = "verify", type = "boolean", default = false, doc = "compare the files with the hashes of the manifest" },
  { name = "ignore_manifest", type = "boolean", default = false, doc = "load whatever the manifest says" },
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
  rules = { { "listed", "mmds_config", "network_interfaces", "network_interfaces", "iface_id" },
            { "reached", "mmds_config", "network_interfaces", "allow_mmds" },
            { "reached", "mmds_addresses", "network_interfaces", "allow_mmds" },
            { "at_most", "balloon", "amount_mib", "machine_config", "mem_size_mib" },
            { "one_root", "drives", "is_root_device", "pmem", "root_device" } },
  fields = {
    { name = "id", type = "string", max_bytes = 64, pattern = "^[A-Za-z0-9-]+$",
      expected = "letters, digits and '-' expected", doc = "the machine's name; absent: one is made" },
    { name = "run_dir", type = "path", default = defaults.run_dir, doc = "where machines keep their sockets and files" },
    { name = "vmm", type = "table", fields = vmm, default = {},
      rules = { { "excludes", "no_seccomp", "seccomp_filter" } }, doc = "the VMM's process" },
    section("jailer", nil, "runs the VMM in a jail: a directory and a user of its own", nil, "firecracker.config.schema.jailer"),
    section("boot_source", "BootSource", "what the guest boots"),
    with(section("machine_config", "MachineConfiguration", "processors and memory",
      { vcpu_count = { default = 1 }, mem_size_mib = { default = 128 } }), { default = {} }),
    { name = "drives", type = "list", default = {}, rules = { { "unique", "drive_id" }, { "once", "is_root_device" } },
      item = section(nil, "Drive"), doc = "block devices, the root drive wherever it stands" },
    { name = "network_interfaces", type = "list", default = {},
      rules = { { "unique", "iface_id" }, { "unique", "guest_mac", "ignore_case" } },
      item = with(section(nil, "NetworkInterface", nil, { host_dev_name = { required = false } },
        "firecracker.config.schema.interface"), { rules = {
        { "excludes", "cni", "static", "nat", "bridge", "tap" }, { "excludes", "nat", "static", "bridge" },
        { "either", "host_dev_name", "tap", "bridge", "nat", "cni" } } }),
      doc = "network devices, in the guest's order" },
    { name = "netns", any = { { type = "boolean" },
        { type = "string", pattern = "^[^/%s]+$", max_bytes = 255, expected = "name of a namespace expected" } },
      expected = "name of a namespace or true expected",
      doc = "the network namespace of VMM and taps; one that is not there is made; true: one of the machine's own" },
    section("vsock", "Vsock", "the socket between host and guest"),
    section("balloon", "Balloon", "takes memory back from the guest"),
    section("entropy", "EntropyDevice", "a source of random bytes for the guest"),
    with(section("cpu_config", "CpuConfig", "a custom CPU template"), { file = true }),
    { name = "pmem", type = "list", rules = { { "unique", "id" }, { "once", "root_device" } },
      item = section(nil, "Pmem"), doc = "persistent memory backed by files" },
    section("memory_hotplug", "MemoryHotplugConfig", "memory that can be plugged later"),
    section("serial", "SerialDevice", "where the guest's serial port goes, if not through `console`"),
    section("logger", "Logger", "what the VMM logs", nil, fifo),
    section("metrics", "Metrics", "what the VMM counts", { metrics_path = { required = false } }, fifo),
    section("mmds_config", "MmdsConfig", "how the guest reaches its metadata",
      { network_interfaces = { required = false } }),
    with(section("snapshot", "SnapshotLoadParams", "what fc.restore loads", nil, load_options),
      { rules = { { "excludes", "mem_backend", "mem_file_path" } } }),
    { name = "mmds_addresses", type = "string", doc = "the key under which the metadata hold the guest's addresses" },
    { name = "mmds", type = "json", doc = "the guest's metadata" },
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
    { name = "client", expected = "a function or a table with the methods of a client expected",
      any = { { type = "function" }, { type = "object" } },
      doc = "speaks to the API in the library's stead; a function makes one of the socket's path and options" },
    { name = "via", elsewhere = "an option: fc.boot(config, { via = … })" },
  },
}
