--- Files of the host's that become a jail's user's for as long as his machine lives, and who has which.
-- @module firecracker.launch.loans

local core = require "firecracker.core"
local errors = require "firecracker.errors"

local tree = core.tree
local loans = {}

-- Files of the host's that are lent, by "device:inode": a list of those who have one, the last of whom owns it; `before`: what
-- it was like.
local lent = {}

local function loan_of (look)
  return lent[("%d:%d"):format(look.device, look.inode)]
end

local function set_loan (look, loan)
  lent[("%d:%d"):format(look.device, look.inode)] = loan
end

local function warn (vm, path, message)
  vm:emit { event = "warning", level = "warn", path = path, message = ("%s %s"):format(path, message) }
end

-- A file that was lent, where its descriptor has been finalized before its machine, as the state closes: the path names it again,
-- unless it names another by now.
local function found_again (path, look)
  local fd, err = tree.name(path)
  local now = fd and tree.look(fd)
  if now and now.device == look.device and now.inode == look.inode then
    return fd
  elseif fd then
    fd:close()
  end
  return nil, err or errors.new { code = "jailer", path = path, message = path .. " is another file by now: its owner stays" }
end

-- Back to whoever has it still, or as it was before. What somebody else has given away meanwhile is not ours to give.
local function give_back (vm, path, source, loan, borrower)
  local held = loan[#loan] == borrower
  for i, each in ipairs(loan) do
    if each == borrower then
      table.remove(loan, i)
      break
    end
  end
  local now, err = tree.look(source)
  if not now or not held or loan_of(now) ~= loan then
    return now and true, err
  end
  local before, heir = loan.before, loan[#loan]
  if not heir then
    set_loan(now, nil)
  end
  if now.uid ~= borrower.uid then
    warn(vm, path, ("was lent to uid %d, but belongs to uid %d by now: it stays so"):format(borrower.uid, now.uid))
    return true
  elseif now.mode ~= before.mode | 384 then
    warn(vm, path, ("had mode %o when it was given back; what it had before is set again"):format(now.mode))
  end
  return tree.give(source, heir and heir.uid or before.uid, heir and heir.gid or before.gid, before.mode | (heir and 384 or 0))
end

--- Whether some machine has a file.
-- @tparam table look of it
-- @treturn boolean
function loans.has (look)
  return loan_of(look) ~= nil
end

--- The host's file becomes the user's for as long as the machine lives; of several machines, of the last one's.
-- @tparam table vm
-- @tparam table item of the staging: `path`, `source`, `look`; gets `lent`, the entry that gives it back
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function loans.lend (vm, item)
  local owner, look = vm.config.jailer, item.look
  local loan = loan_of(look)
  if not loan or loan[#loan].uid ~= look.uid then   -- or it was given to somebody else meanwhile
    loan = { before = look }
  end
  local before, borrower = loan.before, { uid = owner.uid, gid = owner.gid }
  local source = assert(tree.name("/proc/self/fd/" .. item.source:number()))
  local ok, err = tree.give(source, owner.uid, owner.gid, before.mode | 384)   -- 0600
  if not ok then
    source:close()
    return nil, err
  end
  set_loan(look, loan)
  table.insert(loan, borrower)
  item.lent = vm:defer("owner of " .. item.path, function ()
    local done, problem
    if not pcall(source.number, source) then
      source, problem = found_again(item.path, look)
      if not source then
        return nil, problem
      end
    end
    done, problem = give_back(vm, item.path, source, loan, borrower)
    source:close()
    return done, problem
  end, { path = item.path, uid = before.uid, gid = before.gid, mode = before.mode })
  return true
end

return loans
