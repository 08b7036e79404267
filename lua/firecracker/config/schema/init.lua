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
-- Firecracker's sections are those of the models: only what is ours stands here, and what plain configurations have in
-- @{firecracker.config.schema.plain}.
-- @module firecracker.config.schema

local plain = require "firecracker.config.schema.plain"
local section = require "firecracker.config.schema.section"

local fifo = {
  { name = "fifo", type = "path", doc = "a FIFO to make and to write through; without `to` its reader is somebody else" },
  { name = "to", expected = "a function or a path with a slash expected",
    any = { { type = "function" }, { type = "path", pattern = "/", expected = "a slash expected" } },
    doc = "gets each line: a file it is added to, or a function of the line and what is parsed of it" },
}

local load_options = {
  { name = "verify", type = "boolean", default = false, doc = "compare the files with the hashes of the manifest" },
  { name = "ignore_manifest", type = "boolean", default = false, doc = "load whatever the manifest says" },
}

local own = {}
for _, field in ipairs(plain.fields) do
  own[field.name] = field
end

return {
  type = "table",
  required = true,
  rules = { { "listed", "mmds_config", "network_interfaces", "network_interfaces", "iface_id" },
            { "reached", "mmds_config", "network_interfaces", "allow_mmds" },
            { "reached", "mmds_addresses", "network_interfaces", "allow_mmds" },
            { "at_most", "balloon", "amount_mib", "machine_config", "mem_size_mib" },
            { "one_root", "drives", "is_root_device", "pmem", "root_device" } },
  fields = {
    own.id,
    own.run_dir,
    own.vmm,
    section("jailer", nil, "runs the VMM in a jail: a directory and a user of its own", nil, "firecracker.config.schema.jailer"),
    own.boot_source,
    own.machine_config,
    own.drives,
    own.network_interfaces,
    { name = "netns", any = { { type = "boolean" },
        { type = "string", pattern = "^[^/%s]+$", max_bytes = 255, expected = "name of a namespace expected" } },
      expected = "name of a namespace or true expected",
      doc = "the network namespace of VMM and taps; one that is not there is made; true: one of the machine's own" },
    section("vsock", "Vsock", "the socket between host and guest"),
    section("balloon", "Balloon", "takes memory back from the guest"),
    section("entropy", "EntropyDevice", "a source of random bytes for the guest"),
    section("cpu_config", "CpuConfig", "a custom CPU template", nil, nil, { file = true }),
    { name = "pmem", type = "list", rules = { { "unique", "id" }, { "once", "root_device" } },
      item = section(nil, "Pmem"), doc = "persistent memory backed by files" },
    section("memory_hotplug", "MemoryHotplugConfig", "memory that can be plugged later"),
    section("serial", "SerialDevice", "where the guest's serial port goes, if not through `console`"),
    section("logger", "Logger", "what the VMM logs", nil, fifo),
    section("metrics", "Metrics", "what the VMM counts", { metrics_path = { required = false } }, fifo),
    section("mmds_config", "MmdsConfig", "how the guest reaches its metadata",
      { network_interfaces = { required = false } }),
    section("snapshot", "SnapshotLoadParams", "what fc.restore loads", nil, load_options,
      { rules = { { "excludes", "mem_backend", "mem_file_path" } } }),
    { name = "mmds_addresses", type = "string", doc = "the key under which the metadata hold the guest's addresses" },
    { name = "mmds", type = "json", doc = "the guest's metadata" },
    own.timeouts,
    own.console,
    own.console_size,
    own.log,
    own.log_level,
    own.when_dropped,
    own.disable_validation,
    { name = "client", expected = "a function or a table with the methods of a client expected",
      any = { { type = "function" }, { type = "object" } },
      doc = "speaks to the API in the library's stead; a function makes one of the socket's path and options" },
    { name = "via", elsewhere = "an option: fc.boot(config, { via = … })" },
  },
}
