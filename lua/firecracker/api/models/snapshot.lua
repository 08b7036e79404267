--- Models of snapshots.
-- @module firecracker.api.models.snapshot

return {
  SnapshotCreateParams = { doc = "Where a snapshot goes.", fields = {
    { name = "snapshot_type", type = "string", enum = { "Diff", "Full" }, absent = "Full", doc = "Diff: what has changed" },
    { name = "snapshot_path", type = "path", required = true, doc = "the machine's state" },
    { name = "mem_file_path", type = "path", required = true, doc = "the guest's memory" },
    { name = "version", type = "string", nullable = true, removed = "1.6", deprecated = { since = "1.5", use = "nothing" },
      doc = "the release to write for" },
  } },

  MemoryBackend = { doc = "Where the guest's memory comes from.", fields = {
    { name = "backend_path", type = "path", required = true, doc = "the file, or the socket of who serves the pages" },
    { name = "backend_type", type = "string", enum = { "File", "Uffd" }, required = true,
      doc = "Uffd: a process of yours serves the pages" },
  } },

  SnapshotLoadParams = { doc = "What is loaded, and how it goes on.",
    rules = { { "exactly", "mem_backend", "mem_file_path" } },
    fields = {
    { name = "snapshot_path", type = "path", required = true, doc = "the machine's state" },
    { name = "mem_file_path", type = "path", nullable = true, deprecated = { since = "1.1", use = "mem_backend" },
      doc = "the guest's memory" },
    { name = "mem_backend", type = "table", model = "MemoryBackend", nullable = true, since = "1.1",
      doc = "where the guest's memory comes from" },
    { name = "enable_diff_snapshots", type = "boolean", absent = false,
      deprecated = { since = "1.13", use = "track_dirty_pages" }, doc = "as track_dirty_pages" },
    { name = "track_dirty_pages", type = "boolean", absent = false, since = "1.13", doc = "for diff snapshots to come" },
    { name = "resume_vm", type = "boolean", absent = false, doc = "the guest runs at once" },
    { name = "network_overrides", type = "list", item = { type = "table", model = "NetworkOverride" }, since = "1.12",
      doc = "other taps for its interfaces" },
    { name = "vsock_override", type = "table", model = "VsockOverride", nullable = true, since = "1.16",
      doc = "another socket for its vsock" },
    { name = "clock_realtime", type = "boolean", absent = false, arch = "x86", since = "1.14.4", unless = { ["1.15.0"] = "1.15.1" },
      doc = "the guest's clock jumps to the present" },
    { name = "huge_pages", type = "string", enum = { "Snapshot", "None", "Transparent", "2M" }, absent = "Snapshot",
      since = "1.17", doc = "pages behind guest memory" },
  } },
}
