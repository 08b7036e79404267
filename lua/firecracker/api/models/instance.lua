--- Models of the machine as a whole: what it is, what it is told to do.
-- @module firecracker.api.models.instance

return {
  InstanceInfo = { doc = "Who the VMM is.", fields = {
    { name = "id", type = "string", required = true, doc = "the machine's name" },
    { name = "state", type = "string", required = true, enum = { "Not started", "Running", "Paused" },
      doc = "of the guest" },
    { name = "vmm_version", type = "string", required = true, doc = "the VMM's release" },
    { name = "app_name", type = "string", required = true, doc = "Firecracker" },
  } },

  FirecrackerVersion = { doc = "The VMM's release.", fields = {
    { name = "firecracker_version", type = "string", required = true, doc = "without a leading v" },
  } },

  InstanceActionInfo = { doc = "An action.", fields = {
    { name = "action_type", type = "string", required = true,
      enum = { "FlushMetrics", "InstanceStart", "SendCtrlAltDel" }, doc = "SendCtrlAltDel on x86 alone" },
  } },

  Vm = { doc = "Whether the guest runs.", fields = {
    { name = "state", type = "string", required = true, enum = { "Paused", "Resumed" }, doc = "what it is to become" },
  } },

  Error = { doc = "A refusal.", fields = {
    { name = "fault_message", type = "string", doc = "what was wrong" },
  } },
}
