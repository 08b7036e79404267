--- The operations of Firecracker's API, as data. The client's methods are made from it.
-- One record each: `name` (the method), `method`, `path` (`{…}` is the method's first argument), `body` (whether one
-- is sent). Those of release 1.12; `client:request` sends any other. Source: Firecracker's swagger; the order is that
-- of the paths.
-- @module firecracker.api.operations

return {
  { name = "get_instance_info", method = "GET", path = "/" },
  { name = "put_actions", method = "PUT", path = "/actions", body = true },
  { name = "get_balloon", method = "GET", path = "/balloon" },
  { name = "put_balloon", method = "PUT", path = "/balloon", body = true },
  { name = "patch_balloon", method = "PATCH", path = "/balloon", body = true },
  { name = "get_balloon_statistics", method = "GET", path = "/balloon/statistics" },
  { name = "patch_balloon_statistics", method = "PATCH", path = "/balloon/statistics", body = true },
  { name = "put_boot_source", method = "PUT", path = "/boot-source", body = true },
  { name = "put_cpu_config", method = "PUT", path = "/cpu-config", body = true },
  { name = "put_drive", method = "PUT", path = "/drives/{drive_id}", body = true },
  { name = "patch_drive", method = "PATCH", path = "/drives/{drive_id}", body = true },
  { name = "put_entropy", method = "PUT", path = "/entropy", body = true },
  { name = "put_logger", method = "PUT", path = "/logger", body = true },
  { name = "get_machine_config", method = "GET", path = "/machine-config" },
  { name = "put_machine_config", method = "PUT", path = "/machine-config", body = true },
  { name = "patch_machine_config", method = "PATCH", path = "/machine-config", body = true },
  { name = "put_metrics", method = "PUT", path = "/metrics", body = true },
  { name = "get_mmds", method = "GET", path = "/mmds" },
  { name = "put_mmds", method = "PUT", path = "/mmds", body = true },
  { name = "patch_mmds", method = "PATCH", path = "/mmds", body = true },
  { name = "put_mmds_config", method = "PUT", path = "/mmds/config", body = true },
  { name = "put_network_interface", method = "PUT", path = "/network-interfaces/{iface_id}", body = true },
  { name = "patch_network_interface", method = "PATCH", path = "/network-interfaces/{iface_id}", body = true },
  { name = "put_snapshot_create", method = "PUT", path = "/snapshot/create", body = true },
  { name = "put_snapshot_load", method = "PUT", path = "/snapshot/load", body = true },
  { name = "get_version", method = "GET", path = "/version" },
  { name = "patch_vm", method = "PATCH", path = "/vm", body = true },
  { name = "get_vm_config", method = "GET", path = "/vm/config" },
  { name = "put_vsock", method = "PUT", path = "/vsock", body = true },
}
