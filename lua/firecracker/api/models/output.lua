--- Models of the VMM's log and metrics.
-- @module firecracker.api.models.output

return {
  Logger = { doc = "What the VMM logs.", fields = {
    { name = "log_path", type = "path", nullable = true, doc = "the file or FIFO the VMM logs to" },
    { name = "level", type = "string", nullable = true, ignore_case = true, absent = "Info",
      enum = { "Off", "Trace", "Debug", "Info", "Warn", "Warning", "Error" },
      enum_since = { Trace = "1.5", Off = "1.5" }, doc = "left out, it becomes Info at each request" },
    { name = "show_level", type = "boolean", nullable = true, absent = false, doc = "the level on each line" },
    { name = "show_log_origin", type = "boolean", nullable = true, absent = false, doc = "file and line on each line" },
    { name = "module", type = "string", nullable = true, since = "1.6",
      doc = "only what this part of the VMM logs, by prefix" },
  } },

  Metrics = { doc = "What the VMM counts.", lax = true, fields = {
    { name = "metrics_path", type = "path", required = true, doc = "the file or FIFO the VMM writes its metrics to" },
    { name = "emit_id", type = "boolean", absent = false, since = "1.17", doc = "the machine's id on each line" },
    { name = "properties", type = "map", item = { type = "string" }, key_pattern = "", key_expected = "string expected",
      since = "1.17", doc = "words of your own on each line" },
  } },
}
