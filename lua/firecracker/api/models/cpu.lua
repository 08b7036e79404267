--- Models of custom CPU templates.
-- @module firecracker.api.models.cpu

local BITMAP <const> = "characters 0, 1 and x behind an optional 0b; _ is skipped"
local NUMBER <const> = "a number with the prefix 0x or 0b"

return {
  CpuConfig = { doc = "A custom CPU template.", fields = {
    { name = "kvm_capabilities", type = "list", item = { type = "string", rules = { { "capability" } } }, since = "1.5",
      doc = "KVM capabilities by decimal number; a leading ! takes one away" },
    { name = "cpuid_modifiers", type = "list", item = { type = "table", model = "CpuidLeafModifier" }, arch = "x86",
      doc = "changes of CPUID" },
    { name = "msr_modifiers", type = "list", item = { type = "table", model = "MsrModifier" }, arch = "x86",
      doc = "changes of model specific registers" },
    { name = "reg_modifiers", type = "list", item = { type = "table", model = "ArmRegisterModifier" }, arch = "arm",
      doc = "changes of registers" },
    { name = "vcpu_features", type = "list", item = { type = "table", model = "VcpuFeatures" }, arch = "arm", since = "1.5",
      doc = "changes of vCPU features" },
  } },

  CpuidLeafModifier = { doc = "Changes of one leaf of CPUID.", fields = {
    { name = "leaf", type = "string", rules = { { "number", 32 } }, required = true, doc = NUMBER },
    { name = "subleaf", type = "string", rules = { { "number", 32 } }, required = true, doc = NUMBER },
    { name = "flags", type = "integer", width = "u32", required = true, doc = "KVM's flags of the leaf" },
    { name = "modifiers", type = "list", item = { type = "table", model = "CpuidRegisterModifier" }, required = true,
      doc = "changes by register" },
  } },

  CpuidRegisterModifier = { doc = "Changes of one register of a leaf.", fields = {
    { name = "register", type = "string", enum = { "eax", "ebx", "ecx", "edx" }, required = true, doc = "which" },
    { name = "bitmap", type = "string", rules = { { "bitmap", 32 } }, required = true, doc = BITMAP },
  } },

  MsrModifier = { doc = "Changes of a model specific register.", fields = {
    { name = "addr", type = "string", rules = { { "number", 32 } }, required = true, doc = NUMBER },
    { name = "bitmap", type = "string", rules = { { "bitmap", 64 } }, required = true, doc = BITMAP },
  } },

  ArmRegisterModifier = { doc = "Changes of a register.", fields = {
    { name = "addr", type = "string", rules = { { "number", 64 } }, required = true, doc = NUMBER },
    { name = "bitmap", type = "string", rules = { { "bitmap", 128 } }, required = true, doc = BITMAP },
  } },

  VcpuFeatures = { doc = "A change of vCPU features.", fields = {
    { name = "index", type = "integer", width = "u32", required = true, doc = "in kvm_vcpu_init.features" },
    { name = "bitmap", type = "string", rules = { { "bitmap", 32 } }, required = true, doc = BITMAP },
  } },
}
