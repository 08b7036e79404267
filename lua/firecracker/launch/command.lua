--- What a start comes to: the command line, and the files that would be brought into a jail.
-- @module firecracker.launch.command

local direct = require "firecracker.launch.direct"
local lazy = require "firecracker.lazy"

local cgroups = lazy "firecracker.launch.cgroups"
local jail = lazy "firecracker.launch.jail"
local jailer = lazy "firecracker.launch.jailer"
local staging = lazy "firecracker.launch.staging"

local command = {}

local metatable = { __name = "firecracker.command" }

local function quote (word)
  return word:find "^[%w_@%%+=:,./-]+$" and word or "'" .. word:gsub("'", [['\'']]) .. "'"
end

function metatable:__tostring ()
  local words, lines = {}, {}
  for i, word in ipairs(self) do
    words[i] = quote(word)
  end
  lines[1] = table.concat(words, " ")
  for _, item in ipairs(self.staging or {}) do
    lines[#lines + 1] = ("%s -> %s (%s: %s)"):format(item.path, item.jail, item.use,
      #item.ways > 0 and table.concat(item.ways, ", ") or "inside")
  end
  return table.concat(lines, "\n")
end

--- The command line of a machine without a jail; nothing is started or made.
-- @tparam table vm
-- @treturn[1] {string,...} argv; it prints as a line for a shell
-- @return[2] nil
-- @treturn[2] err the program is not there
function command.plain (vm)
  local binary, err = direct.find(vm.config)
  if not binary then
    return nil, err
  end
  return setmetatable(direct.command(vm, binary), metatable)
end

--- The command line of a jailed machine; nothing is started or made.
-- @tparam table vm
-- @treturn[1] {string,...} argv, with `root` (the jail's directory) and `staging`, a list of `path`, `jail`, `use`, `ways`. It
-- prints as a line for a shell and one for each file
-- @return[2] nil
-- @treturn[2] err a program is not there, no hierarchy has the cgroups
function command.jailed (vm)
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
  local argv = jailer.command(vm, binary, place, groups, filter)
  argv.staging, argv.root = plan, place.root
  return setmetatable(argv, metatable)
end

return command
