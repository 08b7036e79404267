--- The configuration of a jail, in the words of @{firecracker.config.schema}. Read when one is given.
-- @module firecracker.config.schema.jailer

local STRATEGIES <const> = { "link", "reflink", "bind", "copy", "node" }
local UID_MAX <const> = 0xfffffffe

return {
  { name = "uid", type = "integer", min = 0, max = UID_MAX, required = true, doc = "the VMM runs as this user" },
  { name = "gid", type = "integer", min = 0, max = UID_MAX, required = true, doc = "and this group" },
  { name = "jailer_binary", type = "program", doc = "the jailer executable; absent: $JAILER, or by PATH" },
  { name = "chroot_base_dir", type = "path", default = "/srv/jailer", doc = "where jails are made; must exist, but for the default" },
  { name = "numa_node", type = "integer", min = 0, doc = "keeps the VMM to the processors and memory of a node" },
  { name = "daemonize", type = "boolean", default = false, doc = "detach the VMM: it is no child of this process" },
  { name = "new_pid_ns", type = "boolean", default = false, doc = "run it in a process id namespace of its own" },
  { name = "cgroup_version", type = "integer", min = 1, max = 2, doc = "absent: the hierarchy that has the controllers, 2 first" },
  { name = "cgroups", type = "json", rules = { { "cgroups" } }, doc = "file = value, or a list of \"file=value\"" },
  { name = "parent_cgroup", type = "string", rules = { { "cgroup_path" } }, doc = "absent: the name of the VMM's program" },
  { name = "resource_limits", type = "table", doc = "of the VMM's process", fields = {
    { name = "fsize", type = "integer", min = 0, doc = "bytes of a file it writes" },
    { name = "no_file", type = "integer", min = 0, doc = "descriptors; absent: 2048" },
  } },
  { name = "staging", type = "list", min = 1, item = { type = "string", enum = STRATEGIES },
    doc = "how files enter the jail, tried in this order" },
  { name = "staging_for", type = "map", key_pattern = ".", key_expected = "name in the jail expected",
    item = { type = "list", min = 1, item = { type = "string", enum = STRATEGIES } },
    doc = "the same for some: kernel, initrd, drives/ID, …" },
  { name = "adopt", type = "boolean", default = false, doc = "use a jail directory that is there" },
  { name = "chroot_strategy", type = "function", doc = "makes the flow of a jailed machine of the flow; absent: fc.jail.naive" },
  { name = "id", elsewhere = "config.id" },
  { name = "exec_file", elsewhere = "config.vmm.binary" },
  { name = "cgroup_args", elsewhere = "config.jailer.cgroups" },
  { name = "stdin", type = "path", doc = "the VMM's standard input; absent: /dev/null" },
  { name = "stdout", type = "path", doc = "its standard output, instead of `console`" },
  { name = "stderr", type = "path", doc = "its standard error; absent: in the machine's run directory" },
}
