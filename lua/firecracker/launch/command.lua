--- What a configuration comes to: the command line, and for a jailed machine the files that would be brought in.
-- @module firecracker.launch.command

local cgroups = require "firecracker.launch.cgroups"
local direct = require "firecracker.launch.direct"
local jail = require "firecracker.launch.jail"
local jailer = require "firecracker.launch.jailer"
local machine = require "firecracker.machine"
local staging = require "firecracker.launch.staging"

local command = {}

local metatable = { __name = "firecracker.command" }

local function quote (word)
  return word:find "^[%w_@%%+=:,./-]+$" and word or "'" .. word:gsub("'", [['\'']]) .. "'"
end

function metatable:__tostring ()
  local words, lines = {}, {}
  for i, word in ipairs(self.argv) do
    words[i] = quote(word)
  end
  lines[1] = table.concat(words, " ")
  for _, item in ipairs(self.staging or {}) do
    lines[#lines + 1] = ("%s -> %s (%s: %s)"):format(item.path, item.jail, item.use,
      #item.ways > 0 and table.concat(item.ways, ", ") or "inside")
  end
  return table.concat(lines, "\n")
end

local function jailed (vm)
  local binary, err = jailer.program(vm.config)
  local place, groups
  if binary then
    place, err = jail.place(vm)
  end
  if place then
    groups, err = cgroups.plan(vm, place)
  end
  if not groups then
    return nil, err
  end
  local plan = staging.plan(vm)
  local filter
  for _, item in ipairs(plan) do
    filter = item.path == vm.config.vmm.seccomp_filter and item.jail or filter
  end
  return { argv = jailer.command(vm, binary, place, groups, filter), staging = plan, root = place.root }
end

--- Show the command that a configuration starts; nothing is started or made.
-- @tparam table config
-- @treturn[1] table `argv`; of a jailed machine `root` (the jail's directory) and `staging`, a list of `path`, `jail`, `use`,
-- `ways`. It prints as a line for a shell and one for each file
-- @return[2] nil
-- @treturn[2] err a program is not there, no hierarchy has the cgroups
function command.show (config)
  local vm, err = machine.new(config)
  if not vm then
    return nil, err
  end
  vm.directory = ("%s/%s"):format(vm.config.run_dir, vm.id)
  vm.log_path = vm.directory .. "/vmm.log"
  local shown, binary
  if vm.config.jailer then
    shown, err = jailed(vm)
  else
    binary, err = direct.find(vm.config)
    shown = binary and { argv = direct.command(vm, binary) }
  end
  if not shown then
    return nil, err
  end
  return setmetatable(shown, metatable)
end

return command
