-- A whole process, to be measured from outside; prints its peak of resident memory.
--   process.lua nothing   the interpreter
--   process.lua libcurl   the C core, and libcurl loaded and initialised
--   process.lua library   firecracker loaded, nothing done
--   process.lua boot      a machine booted by the default flow, to its guest's own end

local function config ()
  return {
    boot_source = { kernel_image_path = os.getenv "KERNEL" },
    drives = { { drive_id = "rootfs", path_on_host = os.getenv "DRIVE", is_root_device = true, is_read_only = false } },
    run_dir = os.getenv "WORK",
  }
end

local processes = {
  nothing = function () end,
  libcurl = function ()
    local core, http = require "firecracker.core", require "firecracker.core.http"
    assert(http.client(core.reactor(), "/nowhere"))
  end,
  library = function ()
    require "firecracker"
  end,
  boot = function ()
    local vm <close> = assert(require "firecracker".boot(config()))
    assert(vm:wait())
  end,
}

processes[arg[1]]()
for line in io.lines "/proc/self/status" do
  local peak = line:match "^VmHWM:%s*(%d+)"
  if peak then
    io.write("rss ", peak, " ")
  end
end
