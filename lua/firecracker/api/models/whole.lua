--- The model of a whole configuration.
-- @module firecracker.api.models.whole

return {
  FullVmConfiguration = { doc = "The whole configuration, as a configuration file has it. What is not set is null.", fields = {
    { name = "balloon", type = "table", model = "Balloon", doc = "the balloon" },
    { name = "drives", type = "list", item = { type = "table", model = "Drive" }, doc = "from 1.16 in no fixed order" },
    { name = "boot-source", type = "table", model = "BootSource", doc = "what the guest boots" },
    { name = "cpu-config", type = "table", model = "CpuConfig", since = "1.4", doc = "always null" },
    { name = "logger", type = "table", model = "Logger", doc = "always null" },
    { name = "machine-config", type = "table", model = "MachineConfiguration", doc = "processors and memory" },
    { name = "metrics", type = "table", model = "Metrics", doc = "always null" },
    { name = "mmds-config", type = "table", model = "MmdsConfig", doc = "how the guest reaches its metadata" },
    { name = "network-interfaces", type = "list", item = { type = "table", model = "NetworkInterface" },
      doc = "network devices" },
    { name = "vsock", type = "table", model = "Vsock", doc = "the socket between host and guest" },
    { name = "entropy", type = "table", model = "EntropyDevice", since = "1.4", doc = "the entropy device" },
    { name = "pmem", type = "list", item = { type = "table", model = "Pmem" }, since = "1.14", doc = "persistent memory" },
    { name = "memory-hotplug", type = "table", model = "MemoryHotplugConfig", since = "1.14", doc = "memory to be plugged" },
  } },
}
