--- What is ours of a network interface's configuration, in the words of @{firecracker.config.schema}. Read when one is given.
-- @module firecracker.config.schema.interface

local function addresses (name, doc, rule, required)
  return { name = name, type = "list", one = true, min = 1, required = required,
    item = { type = "string", rules = { { rule or "address" } } }, doc = doc }
end

local function link (name, doc, default)
  return { name = name, type = "string", max_bytes = 15, default = default, rules = { { "link" } }, doc = doc }
end

local MTU <const> = { name = "mtu", type = "integer", min = 68, max = 65535, doc = "of the tap" }

local tap = {
  { name = "owner", type = "integer", min = 0, doc = "uid that may open it; absent: the VMM's" },
  { name = "group", type = "integer", min = 0, doc = "gid that may open it; absent: the VMM's in a jail" },
  MTU,
}

local nat = {
  { name = "subnet", type = "string", required = true, rules = { { "network" } },
    doc = "the guest gets a free address of it, its first one is the gateway" },
  { name = "subnet6", type = "string", rules = { { "network" } }, doc = "one more, of the other family" },
  { name = "address", type = "string", rules = { { "address" } }, doc = "the guest's in `subnet`; absent: the first that is free" },
  link("interface", "leave by this one only"),
  addresses("nameservers", "for the guest"),
}

local static = {
  addresses("ip", "with prefix; the first of IPv4 goes into `ip=`", "cidr", true),
  addresses("gateway", "inside one of the networks"),
  addresses("nameservers", "the first two of IPv4 go into `ip=`"),
  link("if_name", "in the guest; absent: the only one, or eth0, eth1 … by position"),
}

local cni = {
  { name = "network_name", type = "string", doc = "of a configuration in conf_dir" },
  { name = "network_config", type = "json", doc = "a configuration, instead of a file's" },
  link("if_name", "in the namespace", "eth0"),
  link("vm_if_name", "in the guest"),
  { name = "args", type = "map", item = { type = "string", pattern = "^[^;]*$", expected = "text without ';' expected" },
    key_pattern = "^[^=;]+$", key_expected = "name without '=' and ';' expected", doc = "CNI_ARGS" },
  { name = "capability_args", type = "json", doc = "for plugins that have the capability, as portMappings" },
  { name = "bin_path", type = "list", one = true, item = { type = "path" }, default = { "/opt/cni/bin", "/usr/lib/cni" },
    doc = "directories of plugins" },
  { name = "conf_dir", type = "list", one = true, item = { type = "path" }, default = { "/etc/cni/net.d", "/etc/cni/conf.d" },
    doc = "directories of configurations" },
  { name = "cache_dir", type = "path", default = "/var/lib/cni", doc = "keeps results for DEL" },
  { name = "force", type = "boolean", default = false, doc = "DEL before ADD even where no result is kept" },
}

return {
  { name = "tap", type = "table", flag = true, fields = tap, doc = "true, or how: make the tap; `host_dev_name` is its name" },
  link("bridge", "make the tap, a port of this bridge"),
  { name = "nat", type = "table", fields = nat, doc = "make the tap, lease an address, route and masquerade",
    rules = { { "families", "subnet", "subnet6" } } },
  { name = "static", type = "table", fields = static, doc = "the guest's addresses" },
  { name = "cni", type = "table", fields = cni, rules = { { "exactly_one", "network_name", "network_config" } },
    doc = "let plugins make the network" },
  { name = "allow_mmds", type = "boolean", doc = "the guest reaches its metadata through it" },
}
