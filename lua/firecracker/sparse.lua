--- Copies of large files without their holes, in pieces: the loop goes on between them.
-- @module firecracker.sparse

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local files = core.files
local sparse = {}

-- To the end, the other tasks moving between the pieces.
local function run (copy, err, what)
  local _ <close> = copy
  local done = false
  while copy and not done do
    done, err = copy:step()
    if done == nil then
      return nil, errors.context(err, what)
    elseif not done then
      local ok, late = loop.sleep(0)
      if not ok then
        return nil, errors.context(late, what)
      end
    end
  end
  return done or nil, err
end

local undo_metatable = {
  __close = function (undo)
    if undo.path then
      files.unlink(undo.path)
    end
  end,
}

--- Copy a regular file; blocks are shared where the file system can. A copy that fails or is cancelled leaves nothing.
-- @tparam string from links are followed
-- @tparam string to a name that exists is an error
-- @tparam[opt] table options `mode` (default 0600), `sync` (true: it is on the disk afterwards)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "system", or "timeout" when the caller's deadline came
function sparse.copy (from, to, options)
  options = options or {}
  local copy, err = files.copy(from, to, options.mode, options.sync)
  local undo <close> = setmetatable({ path = copy and to }, undo_metatable)
  local ok
  ok, err = run(copy, err, ("copying %s to %s"):format(from, to))
  undo.path = not ok and undo.path or nil
  return ok, err
end

--- Write what a file holds over another of the same size, at the same places.
-- @tparam string from its holes leave the other as it is
-- @tparam string onto changed in place; half changed when this fails
-- @tparam[opt] table options `sync`
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function sparse.merge (from, onto, options)
  local copy, err = files.merge(from, onto, options and options.sync)
  return run(copy, err, ("merging %s into %s"):format(from, onto))
end

return sparse
