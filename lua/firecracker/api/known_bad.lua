--- Releases that have what is asked for, and have it wrong. A warning names them, once for each client.
-- One record each: `operation`, `releases`, `what` goes wrong, `fixed` by which release.
-- @module firecracker.api.known_bad

return {
  { operation = "put_snapshot_load", releases = { "1.16.0" }, fixed = "1.16.1",
    what = "vsock does not work after a restore" },
}
