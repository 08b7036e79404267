--- Names that one machine has at a time, whichever process it belongs to: addresses of a subnet.
-- They stand in one file of the directory of run directories, a line each, changed only under its lock. A lease ends
-- with its machine; one whose owner and whose VMM are both gone is nobody's.
-- @module firecracker.network.lease

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local host = require "firecracker.host"
local loop = require "firecracker.loop"

local files = core.files
local lease = {}

local PATIENCE <const> = 10   -- seconds; the lock is held for less than a millisecond

-- Identity of a process: its number and when it started, in clock ticks since the boot; nil when it is gone.
local function identity (pid)
  local number, state, began = host.process(pid)
  return number and state ~= "Z" and ("%d:%d"):format(number, began) or nil
end

local function lives (owner)
  return identity(owner:match "^(%d+):") == owner
end

local function read (path)
  local file <close>, problem, number = io.open(path)
  if not file then
    return number == 2 and {} or nil, errors.new { code = "system", path = path, message = problem }
  end
  local entries, living = {}, {}
  for line in file:lines() do
    local name, id, owner, vmm = line:match "^(%S+) (%S+) (%d+:%d+) (%S+)$"
    if name and living[owner] == nil then   -- one process may own thousands
      living[owner] = lives(owner)
    end
    if name and (living[owner] or (vmm ~= "-" and lives(vmm))) then
      entries[#entries + 1] = { name = name, id = id, owner = owner, vmm = vmm }
    end
  end
  return entries
end

-- In one step, and the file goes with its last line.
local function write (path, entries)
  if #entries == 0 then
    return files.unlink(path)
  end
  local lines = {}
  for i, entry in ipairs(entries) do
    lines[i] = ("%s %s %s %s\n"):format(entry.name, entry.id, entry.owner, entry.vmm)
  end
  local fresh = path .. ".new"
  local file <close>, problem = io.open(fresh, "w")
  local ok = file
  if ok then
    ok, problem = file:write(table.concat(lines))
  end
  if ok then
    ok, problem = file:close()
  end
  if ok then
    ok, problem = os.rename(fresh, path)
  end
  if not ok then
    files.unlink(fresh)
    return nil, errors.new { code = "system", path = path, message = ("cannot write %s: %s"):format(path, problem) }
  end
  return true
end

-- What could not be given back, of a full disk, by "PATH NAME ID": it goes with the next change.
local owed = {}

local function debt (path, name, id)
  return ("%s %s %s"):format(path, name, id)
end

-- Take the debts out of the list; they are to be forgotten when it is written.
local function pay (path, entries)
  local paid, owner = {}, next(owed) and identity "self"
  for i = owner and #entries or 0, 1, -1 do
    local entry = entries[i]
    local key = debt(path, entry.name, entry.id)
    if owed[key] and entry.owner == owner then
      table.remove(entries, i)
      paid[#paid + 1] = key
    end
  end
  return paid
end

-- Change the list under its lock: `change(entries)` edits it and returns a result, or nil and an error, which keeps it.
local function edit (run_dir, change)
  local path = run_dir .. "/leases"
  local deadline, pause = loop.deadline(PATIENCE), 1e-4
  local lock, err = files.lock(path)
  while lock == false and core.now() < deadline do
    loop.park(math.min(core.now() + pause, deadline))
    pause = math.min(2 * pause, 0.01)
    lock, err = files.lock(path)
  end
  if not lock then
    return nil, err or errors.new { code = "timeout", path = path, message = "somebody keeps the lock of " .. path }
  end
  local _ <close> = lock
  local entries, result, ok
  entries, err = read(path)
  local paid = entries and pay(path, entries)
  if entries then
    result, err = change(entries)
  end
  if result == nil then
    return nil, err
  end
  ok, err = write(path, entries)
  for _, key in ipairs(ok and paid or {}) do
    owed[key] = nil
  end
  return ok and result, err
end

--- Take the first free name.
-- @tparam string run_dir
-- @tparam string id of the machine
-- @tparam function names called once for each try, gives one more name, or nil at the end
-- @tparam string what the names are of, for the error
-- @treturn[1] string the name
-- @return[2] nil
-- @treturn[2] err code "lease" when none is free
function lease.take (run_dir, id, names, what)
  local ok, err = files.mkdir_private(run_dir)
  if not ok then
    return nil, err
  end
  local taken_name
  taken_name, err = edit(run_dir, function (entries)
    local taken = {}
    for _, entry in ipairs(entries) do
      taken[entry.name] = entry.id
    end
    local last
    for name in names do
      if not taken[name] then
        entries[#entries + 1] = { name = name, id = id, owner = identity "self", vmm = "-" }
        return name
      end
      last = name
    end
    return nil, errors.new { code = "lease", message = last and ("%s: none is free; %s is machine %s's"):format(what, last, taken[last])
      or what .. ": it has none" }
  end)
  if taken_name then
    owed[debt(run_dir .. "/leases", taken_name, id)] = nil   -- it is taken anew
  end
  return taken_name, err
end

--- Note the VMM that uses a machine's leases, so that they outlive this process with it.
-- @tparam string run_dir
-- @tparam string id
-- @tparam int pid
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function lease.hand_over (run_dir, id, pid)
  local owner, vmm = identity "self", identity(pid)
  return edit(run_dir, function (entries)
    for _, entry in ipairs(entries) do
      if entry.id == id and entry.owner == owner then
        entry.vmm = vmm or "-"
      end
    end
    return true
  end)
end

--- Give a name back; one that is not there is no error.
-- @tparam string run_dir
-- @tparam string id
-- @tparam string name
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function lease.give_back (run_dir, id, name)
  local owner = identity "self"
  local ok, err = edit(run_dir, function (entries)
    for i = #entries, 1, -1 do
      if entries[i].name == name and entries[i].id == id and entries[i].owner == owner then
        table.remove(entries, i)
      end
    end
    return true
  end)
  if not ok then
    owed[debt(run_dir .. "/leases", name, id)] = true
  end
  return ok, err
end

return lease
