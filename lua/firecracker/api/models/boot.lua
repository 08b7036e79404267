--- Models of what boots.
-- @module firecracker.api.models.boot

return {
  BootSource = { doc = "What the guest boots.", fields = {
    { name = "kernel_image_path", type = "path", required = true, doc = "the guest's kernel, an ELF file on x86" },
    { name = "initrd_path", type = "path", nullable = true, doc = "the initial RAM disk" },
    { name = "boot_args", type = "string", nullable = true, max_bytes = 2047,
      doc = "the kernel's command line; the VMM appends to it" },
  } },

  MachineConfiguration = { doc = "Processors and memory.",
    rules = { { "even", "vcpu_count", "smt", true, 1 }, { "even", "mem_size_mib", "huge_pages", "2M" },
              { "even", "mem_size_mib", "huge_pages", "Transparent" } },
    fields = {
    { name = "vcpu_count", type = "integer", width = "u8", min = 1, max = 32, required = true, doc = "virtual CPUs" },
    { name = "mem_size_mib", type = "integer", width = "usize", min = 1, required = true, doc = "guest memory in MiB" },
    { name = "smt", type = "boolean", absent = false, enum_arch = { [true] = "x86" }, doc = "two threads a core (x86)" },
    { name = "cpu_template", type = "string", nullable = true, absent = "None",
      enum = { "None", "C3", "T2", "T2S", "T2CL", "T2A", "V1N1" },
      enum_arch = { C3 = "x86", T2 = "x86", T2S = "x86", T2CL = "x86", T2A = "x86", V1N1 = "arm" },
      enum_since = { None = "1.1", T2S = "1.2", T2CL = "1.3", T2A = "1.3", V1N1 = "1.4" },
      deprecated = { since = "1.5", use = "cpu_config" }, doc = "a CPU template by name" },
    { name = "track_dirty_pages", type = "boolean", absent = false, doc = "needed by diff snapshots before 1.13" },
    { name = "huge_pages", type = "string", enum = { "None", "2M", "Transparent" }, absent = "None", since = "1.7",
      enum_since = { Transparent = "1.17" }, doc = "pages behind guest memory" },
  } },
}
