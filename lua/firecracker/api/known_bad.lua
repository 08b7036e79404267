--- Releases that have what is asked for, and have it wrong. A warning names them, once for each client.
-- One record each: `operation`, `releases`, `what` goes wrong, `fixed` by which release; perhaps `field` of the request that is
-- `value` then.
-- @module firecracker.api.known_bad

return {
  { operation = "put_snapshot_load", releases = { "1.16.0" }, fixed = "1.16.1",
    what = "vsock does not work after a restore" },
  { operation = "put_snapshot_create", field = "snapshot_type", value = "Diff", releases = { "1.14.0", "1.14.1" }, fixed = "1.14.2",
    what = "a diff snapshot of more than 3 GiB, or of memory that was plugged, has pages at wrong places" },
}
