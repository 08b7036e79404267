--- Snapshots on disk: reading and checking their manifests, merging diffs. Machines write them (`vm:snapshot`) and come from
-- them (`fc.restore`).
-- @module firecracker.snapshot

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local manifest = require "firecracker.snapshot.manifest"
local sparse = require "firecracker.sparse"

local files, tree = core.files, core.tree
local snapshot = {}

local CHECK_OPTIONS <const> = { hashes = "boolean", timeout = "seconds" }
local REBASE_OPTIONS <const> = { in_place = "boolean", into = true }

local function path (what, value)
  if type(value) ~= "string" or value == "" or value:find "\0" then
    errors.raise(3, { code = "usage", message = ("%s: path expected, got %s"):format(what, type(value)) })
  end
  return assert(files.absolute(value))
end

--- Read a snapshot's manifest.
-- @function snapshot.read
-- @tparam string path of its state, or of the manifest
-- @treturn[1] table as of `vm:snapshot`; prints as one line
-- @return[2] nil
-- @treturn[2] err code "system" (`errno` ENOENT: it has none), "json" or "snapshot"
function snapshot.read (where)
  return manifest.read(path("snapshot.read", where))
end

--- Check that a snapshot's files are those its manifest tells of.
-- @function snapshot.check
-- @tparam string path of its state, or of the manifest
-- @tparam[opt] table options `hashes` (true: the hashes too; it reads everything), `timeout` in seconds
-- @treturn[1] table the manifest
-- @return[2] nil
-- @treturn[2] err
function snapshot.check (where, options)
  options = loop.options("snapshot.check", options, CHECK_OPTIONS)
  local found, err = manifest.read(path("snapshot.check", where))
  local ok = found
  if found then
    ok, err = loop.under(loop.deadline(options.timeout), manifest.check_files, found, { hashes = options.hashes })
  end
  return ok and found or nil, err
end

local guard_metatable = {
  __close = function (guard)
    if guard.path then
      files.unlink(guard.path)
    end
  end,
}

-- What takes a file's place is its owner's as well; where we are not root it is ours.
local function give (name, look)
  local fd <close>, err = tree.name(name)
  if not fd then
    return nil, err
  end
  return tree.give(fd, look.uid, look.gid, look.mode)
end

-- A merged copy under a temporary name, renamed when it is whole and on the disk.
local function merge_into (target, base, diff)
  local look, err = files.look(base, true)
  if not look then
    return nil, err
  end
  local partial = ("%s.%s.partial"):format(target, assert(files.random_hex(4)))
  local guard <close> = setmetatable({ path = partial }, guard_metatable)
  local ok
  ok, err = sparse.copy(base, partial, { mode = look.mode })
  if ok then
    ok, err = sparse.merge(diff, partial, { sync = true })
  end
  if ok and target == base and files.euid() == 0 then
    ok, err = give(partial, look)
  end
  if ok then
    ok, err = os.rename(partial, target)
    err = not ok and errors.new { code = "system", path = target, message = "cannot rename: " .. err } or nil
  end
  if not ok then
    return nil, err
  end
  guard.path = nil
  return files.sync(target:match "^(.*)/" .. "/.")
end

--- Merge the memory of a diff snapshot onto that of the snapshot before it; the state that goes with the outcome is the diff's.
-- The pages that the diff holds take the place of the base's. The outcome takes the base's name when it is complete and on the
-- disk; a failure changes nothing, and a guest that runs from the base keeps it.
-- @function snapshot.rebase
-- @tparam string base_mem
-- @tparam string diff_mem stays
-- @tparam[opt] table options `into` (the outcome's name; the base stays), `in_place` (true: into the base itself, which takes
-- no space, is half done when it fails, and harms a guest that runs from it)
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function snapshot.rebase (base_mem, diff_mem, options)
  local base, diff = path("snapshot.rebase: base_mem", base_mem), path("snapshot.rebase: diff_mem", diff_mem)
  options = loop.options("snapshot.rebase", options, REBASE_OPTIONS)
  if options.in_place then
    return sparse.merge(diff, base, { sync = true })
  end
  return merge_into(options.into and path("snapshot.rebase: into", options.into) or base, base, diff)
end

return snapshot
