--- Where the VMM's log and metrics go: FIFOs, and files.
-- A FIFO is opened for reading and writing before the VMM starts: so nobody waits for a peer and no reader's end can
-- hang the VMM. A file must exist, or releases before 1.14 refuse it. No link is followed.
-- @module firecracker.intake.places

local errors = require "firecracker.errors"
local files = require "firecracker.core".files

local places = {}

local function refuse (field, path, fault, hint)
  return nil, errors.new { code = "config", field = field, path = path, message = ("config.%s: %s %s"):format(field, path, fault),
                           hint = hint }
end

local function same_file (path, look)
  local there = files.look(path)
  return there and there.inode == look.inode and there.device == look.device, there
end

--- Make a section's FIFO and hold it open, `vm.fifos[section]`; both are gone with the machine.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @tparam string path
-- @treturn[1] fd
-- @return[2] nil
-- @treturn[2] err
function places.make_fifo (vm, section, path)
  local field = section .. (vm.config[section].fifo and ".fifo" or "")
  local there = files.look(path)
  if there then
    return refuse(field, path, ("exists already (a %s)"):format(there.type), "it is made, and removed at the end")
  end
  local ok, err = files.mkfifo(path)
  if not ok then
    return nil, err
  end
  local fd, problem = files.open(path, "r+", true)
  local look = fd and files.look("/proc/self/fd/" .. fd:number(), true)
  if not fd and problem.errno ~= "ELOOP" and problem.errno ~= "ENOENT" then
    files.unlink(path)
    return nil, errors.context(problem, "config." .. field)
  elseif not look or look.type ~= "fifo" then
    return refuse(field, path, "was replaced as soon as it was made")
  end
  vm.fifos = vm.fifos or {}
  vm.fifos[section] = { path = path, field = field, look = look, fd = fd }
  vm:defer(section .. " FIFO", function ()
    fd:close()   -- unless a reader has it
    local same, other = same_file(path, look)
    if other and not same then
      return refuse(field, path, "was replaced: it is left alone")
    end
    return files.unlink(path)
  end, { path = path })
  return fd
end

--- Check that a section's FIFO is still the one that was made: the VMM writes into whatever it finds there.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config"
function places.check (vm, section)
  local fifo = vm.fifos and vm.fifos[section]
  if not fifo then
    return true
  end
  local same, other = same_file(fifo.path, fifo.look)
  if not same then
    return refuse(fifo.field, fifo.path, other and ("was replaced by a %s"):format(other.type) or "is gone")
  end
  return true
end

--- Make a section's file where it is missing. One that nobody wrote to is taken back.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @tparam string path
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function places.make_file (vm, section, path)
  local there = files.look(path, true)
  if section == "metrics" and not (there and there.type == "fifo") then     -- who reads that is somebody else
    vm.readers = vm.readers or {}
    vm.readers.metrics = require "firecracker.intake.metrics".of_file(path, there and there.mtime * 1000 or 0)
  end
  if there then
    return true
  end
  local ok, err = files.create(path)
  if not ok then
    return nil, err
  end
  vm:defer(section .. " file", function ()
    local look = files.look(path)
    if not look or look.size > 0 then
      return true
    end
    return files.unlink(path)
  end, { path = path })
  return true
end

--- Open a file of the user's to append to. The name is opened once, and through it no other file: a link may have been planted.
-- @tparam string field that names it, for errors
-- @tparam string path
-- @treturn[1] file
-- @return[2] nil
-- @treturn[2] err
function places.open (field, path)
  local fd <close>, err = files.open(path, "a", true)
  if not fd then
    if err.errno == "ELOOP" then
      return refuse(field, path, "is a symbolic link", "name what it leads to")
    end
    return nil, errors.context(err, "config." .. field)
  end
  local name = "/proc/self/fd/" .. fd:number()
  local look = files.look(name, true)
  if look and look.type ~= "file" and look.type ~= "character" then
    return refuse(field, path, ("is a %s, no file"):format(look.type))
  end
  local file, problem = io.open(name, "a")
  if not file then
    return refuse(field, path, "cannot be written: " .. problem)
  end
  return file
end

return places
