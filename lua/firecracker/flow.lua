--- The boot as two lists of steps, `validation` and `fcinit`, which the user reads, edits and runs; and its scripts.
-- A flow has the verbs of its lists (@{firecracker.editing}). `flow.validation` and `flow.fcinit` are the lists.
-- @module firecracker.flow

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"
local steps = require "firecracker.steps"

local editing = lazy "firecracker.editing"
local text = lazy "firecracker.text"

local flow = {}

local LISTS <const> = { "validation", "fcinit" }

local methods = {}
local metatable = { __name = "firecracker.flow" }

function metatable.__index (_, key)
  return methods[key] or key ~= "path" and editing.of_flow[key] or nil
end

--- Make a handler, @{firecracker.handler.new}.
-- @function flow.handler
flow.handler = handler.new

local function refuse (message, ...)
  errors.raise(2, { code = "flow", message = message:format(...) })
end

local function is_list (name)
  return name == "validation" or name == "fcinit"
end

--- Make a flow.
-- @tparam table lists `{ validation = {…}, fcinit = {…} }`; an absent one is empty
-- @treturn table flow
function flow.new (lists)
  if type(lists) ~= "table" then
    refuse("flow: table expected, got %s", type(lists))
  end
  for key in pairs(lists) do
    if not is_list(key) then
      refuse("flow.%s: unknown list%s", key, text.suggest(key, LISTS))
    end
  end
  local self = setmetatable({}, metatable)
  for _, name in ipairs(LISTS) do
    self[name] = steps.new(name, lists[name] or {})
  end
  return self
end

--- Tell a flow from other values; one of another copy of this library is one: scripts require what is loaded now.
-- @param value anything
-- @treturn boolean
function flow.is (value)
  return (getmetatable(value) or {}).__name == metatable.__name
end

--- Copy a flow: the two share steps but no list.
-- @function flow:copy
-- @treturn table flow
function methods:copy ()
  local copy = flow.new { validation = self.validation, fcinit = self.fcinit }
  copy.path = self.path
  return copy
end

--- Run the flow: `validation`, unless the config says `disable_validation`, then `fcinit`.
-- What was pushed on the machine's undo stack since is taken back when a step fails.
-- @function flow:run
-- @param vm the machine
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table err, as @{firecracker.handler.run} completes it
function methods:run (vm)
  local skip = type(vm) == "table" and vm.config and vm.config.disable_validation
  return handler.run(skip and { self.fcinit } or { self.validation, self.fcinit }, vm)
end

function metatable.__tostring (self)
  return editing.flow_text(self)
end

-- Scripts ----------------------------------------------------------------------------------------------------------

local function environment ()
  return setmetatable({}, {
    __index = _G,
    __newindex = function (_, name)
      refuse("assignment to global '%s' (make it local)", name)
    end,
  })
end

local function read (path)
  local file <close>, problem = io.open(path, "rb")
  if not file then
    return nil, problem
  end
  local script, unreadable = file:read "a"
  return script, unreadable and ("%s: %s"):format(path, unreadable)
end

local compiled = {}   -- by path: `chunk`, of `script` as it was read, and how the file looked

local SETTLED <const> = 2   -- seconds after which a file that is written again has another time

-- Whether a file is the one that was read.
local function is_same (known, look)
  return look and known.settled and look.inode == known.look.inode and look.mtime == known.look.mtime
    and look.size == known.look.size and look.device == known.look.device
end

-- As loadfile(path, "t", env), but `return fc.flow {…}` is no tail call in the scope of a variable to be closed: the
-- script stays on the stack, and what is wrong with its lists is reported at its line. A script that reads the same as
-- before is not compiled again: its chunk keeps nothing from one run to the next.
local function load_script (path)
  local known, look = compiled[path], core.files.look(path, true)
  if known and is_same(known, look) then
    return known.chunk
  end
  local script, problem = read(path)
  if not script then
    return nil, problem
  end
  local settled = look and os.time() - look.mtime > SETTLED
  if known and known.script == script then
    known.look, known.settled = look, settled
    return known.chunk
  end
  local text_of = script:gsub("^\xef\xbb\xbf", ""):gsub("^#[^\n]*", "")
  local keep_frame = text_of:sub(1, 1) == "\27" and "" or "local _ <close> = nil "
  local chunk
  chunk, problem = load(keep_frame .. text_of, "@" .. path, "t", environment())
  compiled[path] = chunk and { script = script, chunk = chunk, look = look, settled = settled }
  return chunk, problem
end

local found = {}   -- by name: `path`, where it was found by `templates`

local function find (name)
  local known = found[name]
  if known and known.templates == package.path then
    return known.path
  end
  local path = package.searchpath("firecracker.flows." .. name, package.path)
  found[name] = path and { path = path, templates = package.path }
  return path
end

--- Run a script that returns a flow, anew at each call. It reads globals and makes none.
-- @tparam string name a path (with a slash, or ending in `.lua`), or the name of an installed flow: `boot`
-- @tparam[opt={}] table args what `...` is in the script
-- @treturn[1] table flow; `flow.path` is the script
-- @return[2] nil
-- @treturn[2] table err; code `flow`, `where` the line of the script, `path`
function flow.load (name, args)
  if type(name) ~= "string" then
    refuse("name or path of a flow expected, got %s", type(name))
  elseif args ~= nil and type(args) ~= "table" then
    refuse("arguments of flow '%s': table expected, got %s", name, type(args))
  end
  local path = name
  if not (name:find("/", 1, true) or name:find "%.lua$") then
    path = find(name)
    if not path then
      return nil, errors.new {
        code = "flow",
        message = ("no flow '%s'"):format(name),
        hint = "a script of your own is named by a path with a slash, or ending in .lua",
      }
    end
  end
  local chunk, problem = load_script(path)
  if not chunk and found[name] and not core.files.look(path) then   -- gone since it was found
    found[name] = nil
    return flow.load(name, args)
  elseif not chunk then
    local line, message = problem:match "^[^\n]-:(%d+): (.*)$"
    local where = line and ("%s:%s"):format(path, line)
    return nil, errors.new { code = "flow", message = message or problem, where = where, path = path }
  end
  local ok, result = errors.pcall(chunk, args or {})
  if ok and flow.is(result) then
    result.path = path
    return result
  elseif ok then
    local message = ("a flow expected, the script returned %s"):format(type(result))
    result = errors.new { code = "flow", message = message, where = path }
  elseif errors.is_stop(result) then
    error(result, 0)
  elseif result.code == "raised" then
    result.code = "flow"
  end
  result.path = result.path or path
  return nil, result
end

return flow
