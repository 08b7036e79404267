--- The operations of Firecracker's API, as data. The client's methods, the gate by release, the check of the phase, the
-- fake VMM, `fclua api` and the reference derive from it.
--
-- One record each: `name` (the client's method), `method`, `path` (`{…}` is the method's first argument), `doc`;
--
-- - `body`: the model of what is sent (@{firecracker.api.models}), or "json" for any JSON; `optional`: it may be left out;
--   `partial`: any of its fields, at least one
-- - `reply`: the model of what comes back, or "json"; absent: nothing does
-- - `since`: the release that brought it, where that is later than 1.0
-- - `phase`: "any"; "before" or "after" the guest starts; "hotplug": before, and after where `hotplug_since` is reached and
--   the VMM runs with `--enable-pci`; "paused". Or `{ field, value = phase, … }` by a field of the body
-- - `moves`: the state of the guest afterwards, by a field of the body (absent counts as false)
-- - `tells`: the state of the guest, by a field of the reply
-- - `boots`: afterwards a snapshot can no longer be loaded, even when it failed
-- - `section`: of the configuration, whose list it takes one by one where `each` names the field with the id
-- - `undescribed`: why Firecracker's swagger lacks it
--
-- Source: Firecracker's swagger, its changes by release, and what real VMMs answered. The order is that of the paths.
-- @module firecracker.api.operations

local OMITTED <const> = "swagger omits DELETE; the server has it and answers 204"

return {
  { name = "get_instance_info", method = "GET", path = "/", reply = "InstanceInfo", phase = "any",
    tells = { "state", ["Not started"] = "vmm", Running = "running", Paused = "paused" },
    doc = "who the VMM is, and the state of its guest" },
  { name = "put_actions", method = "PUT", path = "/actions", body = "InstanceActionInfo",
    phase = { "action_type", InstanceStart = "before", FlushMetrics = "after", SendCtrlAltDel = "after" },
    moves = { "action_type", InstanceStart = "running" },
    doc = "start the guest, write metrics now, or press Ctrl-Alt-Del" },
  { name = "get_balloon", method = "GET", path = "/balloon", reply = "Balloon", phase = "any",
    doc = "the balloon's configuration" },
  { name = "put_balloon", method = "PUT", path = "/balloon", body = "Balloon", phase = "before", boots = true,
    section = "balloon", doc = "make the balloon, or replace it" },
  { name = "patch_balloon", method = "PATCH", path = "/balloon", body = "BalloonUpdate", phase = "after",
    doc = "inflate or deflate the balloon; the guest's driver must be up" },
  { name = "get_balloon_statistics", method = "GET", path = "/balloon/statistics", reply = "BalloonStats", phase = "after",
    doc = "the guest's memory as its balloon driver reports it" },
  { name = "patch_balloon_statistics", method = "PATCH", path = "/balloon/statistics", body = "BalloonStatsUpdate",
    phase = "after", doc = "change the interval of the statistics; they cannot be switched on or off" },
  { name = "patch_balloon_hinting_start", method = "PATCH", path = "/balloon/hinting/start", body = "BalloonStartCmd",
    optional = true, since = "1.14", phase = "after", doc = "begin a run of free page hinting" },
  { name = "get_balloon_hinting_status", method = "GET", path = "/balloon/hinting/status", reply = "BalloonHintingStatus",
    since = "1.14", phase = "after", doc = "how far the run is; it has ended when guest_cmd is 0" },
  { name = "patch_balloon_hinting_stop", method = "PATCH", path = "/balloon/hinting/stop", since = "1.14", phase = "after",
    doc = "end the run" },
  { name = "put_boot_source", method = "PUT", path = "/boot-source", body = "BootSource", phase = "before", boots = true,
    section = "boot_source", doc = "set kernel, initrd and command line" },
  { name = "put_cpu_config", method = "PUT", path = "/cpu-config", body = "CpuConfig", since = "1.4", phase = "before",
    section = "cpu_config", doc = "set a custom CPU template" },
  { name = "put_drive", method = "PUT", path = "/drives/{drive_id}", body = "Drive", phase = "hotplug",
    hotplug_since = "1.16", boots = true, section = "drives", each = "drive_id", doc = "attach a drive, or replace it" },
  { name = "patch_drive", method = "PATCH", path = "/drives/{drive_id}", body = "PartialDrive", phase = "after",
    doc = "change a drive's file or limits, or have its size read again" },
  { name = "delete_drive", method = "DELETE", path = "/drives/{drive_id}", since = "1.16", phase = "after",
    undescribed = OMITTED, doc = "unplug a drive" },
  { name = "put_entropy", method = "PUT", path = "/entropy", body = "EntropyDevice", since = "1.4", phase = "before",
    boots = true, section = "entropy", doc = "attach the entropy device" },
  { name = "get_memory_hotplug", method = "GET", path = "/hotplug/memory", reply = "MemoryHotplugStatus", since = "1.14",
    phase = "after", doc = "how much memory is plugged" },
  { name = "put_memory_hotplug", method = "PUT", path = "/hotplug/memory", body = "MemoryHotplugConfig", since = "1.14",
    phase = "before", boots = true, section = "memory_hotplug", doc = "attach memory that can be plugged later" },
  { name = "patch_memory_hotplug", method = "PATCH", path = "/hotplug/memory", body = "MemoryHotplugSizeUpdate",
    since = "1.14", phase = "after", doc = "plug or unplug memory; the guest's driver must be up" },
  { name = "put_logger", method = "PUT", path = "/logger", body = "Logger", phase = "before", section = "logger",
    doc = "set where and what the VMM logs; a level left out becomes Info again" },
  { name = "get_machine_config", method = "GET", path = "/machine-config", reply = "MachineConfiguration", phase = "any",
    doc = "processors and memory" },
  { name = "put_machine_config", method = "PUT", path = "/machine-config", body = "MachineConfiguration", phase = "before",
    boots = true, section = "machine_config", doc = "set processors and memory; what is left out is reset" },
  { name = "patch_machine_config", method = "PATCH", path = "/machine-config", body = "MachineConfiguration",
    partial = true, phase = "before", boots = true, doc = "change some of it" },
  { name = "put_metrics", method = "PUT", path = "/metrics", body = "Metrics", phase = "before", section = "metrics",
    doc = "set where metrics go, once" },
  { name = "get_mmds", method = "GET", path = "/mmds", reply = "json", phase = "any", doc = "the guest's metadata" },
  { name = "put_mmds", method = "PUT", path = "/mmds", body = "json", phase = "any", section = "mmds",
    doc = "replace the guest's metadata" },
  { name = "patch_mmds", method = "PATCH", path = "/mmds", body = "json", phase = "any",
    doc = "merge into the guest's metadata; null deletes" },
  { name = "put_mmds_config", method = "PUT", path = "/mmds/config", body = "MmdsConfig", phase = "before", boots = true,
    section = "mmds_config", doc = "set how the guest reaches its metadata; its interfaces come first" },
  { name = "put_network_interface", method = "PUT", path = "/network-interfaces/{iface_id}", body = "NetworkInterface",
    phase = "hotplug", hotplug_since = "1.16", boots = true, section = "network_interfaces", each = "iface_id",
    doc = "attach a network interface, or replace it" },
  { name = "patch_network_interface", method = "PATCH", path = "/network-interfaces/{iface_id}",
    body = "PartialNetworkInterface", phase = "after", doc = "change an interface's limits" },
  { name = "delete_network_interface", method = "DELETE", path = "/network-interfaces/{iface_id}", since = "1.16",
    phase = "after", undescribed = OMITTED, doc = "unplug an interface" },
  { name = "put_pmem", method = "PUT", path = "/pmem/{id}", body = "Pmem", since = "1.14", phase = "hotplug",
    hotplug_since = "1.16", boots = true, section = "pmem", each = "id",
    doc = "attach persistent memory, or replace it" },
  { name = "patch_pmem", method = "PATCH", path = "/pmem/{id}", body = "PartialPmem", since = "1.16", phase = "after",
    doc = "change its limits" },
  { name = "delete_pmem", method = "DELETE", path = "/pmem/{id}", since = "1.16", phase = "after",
    undescribed = OMITTED, doc = "unplug persistent memory" },
  { name = "put_serial", method = "PUT", path = "/serial", body = "SerialDevice", since = "1.14", phase = "before",
    section = "serial", doc = "set where the guest's serial port goes" },
  { name = "put_snapshot_create", method = "PUT", path = "/snapshot/create", body = "SnapshotCreateParams",
    phase = "paused", doc = "write a snapshot" },
  { name = "put_snapshot_load", method = "PUT", path = "/snapshot/load", body = "SnapshotLoadParams", phase = "before",
    moves = { "resume_vm", [true] = "running", [false] = "paused" },
    doc = "load a snapshot into a fresh VMM; a failure ends the VMM" },
  { name = "get_version", method = "GET", path = "/version", reply = "FirecrackerVersion", phase = "any",
    doc = "the VMM's release" },
  { name = "patch_vm", method = "PATCH", path = "/vm", body = "Vm", phase = "after",
    moves = { "state", Paused = "paused", Resumed = "running" }, doc = "pause the guest or let it go on" },
  { name = "get_vm_config", method = "GET", path = "/vm/config", reply = "FullVmConfiguration", phase = "any",
    doc = "the whole configuration" },
  { name = "put_vsock", method = "PUT", path = "/vsock", body = "Vsock", phase = "before", boots = true, section = "vsock",
    doc = "attach the socket between host and guest; it is bound at once" },
}
