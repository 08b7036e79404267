-- A host program that forks while a machine runs: the child's end, of whatever kind, does not touch it.
local bed = require "spec.support.bed"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"

describe("#kvm a machine, after a fork,", function ()
  leaks.check(before_each, after_each, teardown)

  for what, child in pairs {
    ["survives the end of the child's state"] = "os.exit(0, true)",
    ["survives the collector of the child"] = "vm = nil; collectgarbage(); collectgarbage(); fork.exit(0)",
    ["survives the child's loop after its collector"] =
      "vm = nil; collectgarbage(); collectgarbage(); pcall(fc.sleep, 0.01); fork.exit(0)",
    ["survives a child that closes it"] = "pcall(vm.close, vm); fork.exit(0)",
    ["survives a child that stops it"] = "pcall(vm.stop, vm); fork.exit(0)",
  } do
    it(what, function ()
      local out = host("", ([[
        local fc, core, fork = require "firecracker", require "firecracker.core", require "spec.support.fork"
        local vm = assert(fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 } })
        local directory = vm.directory
        local pid = fork.fork()
        if pid == 0 then
          %s
        end
        io.write("child ", fork.wait(pid), "\n", "state ", assert(vm.api:get_instance_info()).state, "\n",
          "directory ", core.files.look(directory).type, "\n", "by ", assert(vm:stop()).by, "\n",
          "left ", tostring(core.files.look(directory)), "\n")
      ]]):format(leaks.run_dir, bed.guest "idle", child))
      assert.equal("child 0\nstate Running\ndirectory directory\nby term\nleft nil\n", out)
    end)
  end
end)
