--- The network namespace of a machine: one that is there, or one that goes with the machine.
-- @module firecracker.network.namespace

local core = require "firecracker.core"
local names = require "firecracker.network.names"
local network = require "firecracker.network"
local tap = require "firecracker.network.tap"

local files = core.files
local namespace = {}

-- Whether its name is still that of the namespace that was made.
local function is_ours (path, made)
  local there = files.look(path, true)
  return there and there.inode == made.inode and there.device == made.device
end

--- Open the machine's namespace, or make it. It becomes `vm.netns`: `name`, `path`, `fd`, and `own` where it was made.
-- @tparam table vm
-- @tparam string|boolean wanted a name; true: one derived from the machine's id
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function namespace.enter (vm, wanted)
  local name, own = wanted, false
  local found, err
  if wanted == true then
    name = names.namespace(vm.id)
  else
    found, err = network.open_namespace(name)
  end
  if not found and (wanted == true or err.errno == "ENOENT") then
    found, err = network.create_namespace(name)
    own = found ~= nil
  end
  if not found and wanted ~= true and err.errno == "EEXIST" then   -- somebody has made it in this moment
    found, err = network.open_namespace(name)
  end
  if not found then
    if err.errno == "EEXIST" then
      err.hint = "a machine that is gone left it: ip netns delete " .. name
    end
    return tap.refuse("netns", err.message, err)
  end
  local made = own and assert(files.look(found.path, true))
  vm.netns = { name = name, path = found.path, fd = found.fd, own = own }
  vm:defer("namespace " .. name, function ()
    vm.netns = nil
    if not own or not is_ours(found.path, made) then   -- the name is gone, or somebody else's
      return found:close()
    end
    local ok, problem = found:delete()
    if not ok and problem.errno ~= "ENOENT" then
      return nil, problem
    end
    return true
  end, { netns = name, own = own })
  if not own then
    return true
  end
  local net <close>, problem = network.open(found)
  local ok
  if net then
    ok, problem = net:set_link("lo", { up = true })
  end
  return ok or nil, problem
end

return namespace
