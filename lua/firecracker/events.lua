--- What happens, told to `config.log` as tables.
-- An event has `event` (its kind), `level`, `id` (the machine's), `time` (seconds of core.now()) and what fits its kind:
--
-- - `step` (info): `phase` "begin", "end" or "fail", `name`, `list`, `elapsed` seconds, `err`
-- - `staging` (debug): a file enters a jail: `path`, `way`, `jail` (its name there); of a copy on the way `done`, `size` bytes
-- - `spawn` (debug): `pid`, `argv`
-- - `request` (debug): `operation`, `status`, `elapsed`, `err`; at trace also `body` and `reply`, secrets included
-- - `warning` (warn): `message`; the VMM's `release` is known to do wrong what `operation` asks for
-- - `exit` (info): `exited`, `signal` or `unknown`
-- - `undo` (debug; error when one failed): `undone` names, `errors`
-- - `log` (as the line's): a line of the VMM's log that comes through us: `message` (request bodies at trace alone), `stamp`
--   (the VMM's local time), `thread`, `module`, `file`, `line`
-- - `signal` (debug): `signal` was forwarded
-- - `console`, `logger`, `metrics` (error): a function or file of the user's failed, `err`; (warn) it is slow, `dropped` lines
--
-- `config.log_level` says down to which level. A log function that raises fails the step of a start that it is told of; at any
-- other time it fails alone, which is a warning of Lua's: a machine goes on, and ends as it should.
-- Who tells needs no machine: a task that outlives its machine's last reference must not hold it.
-- @module firecracker.events

local core = require "firecracker.core"
local errors = require "firecracker.errors"

local events = {}

local LEVELS <const> = { error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

--- Make the function that tells.
-- @tparam table config with `log` and `log_level`
-- @tparam string id the machine's
-- @treturn function called with an event; without a level it is an info
function events.teller (config, id)
  local log, last = config.log, LEVELS[config.log_level]
  return function (event)
    event.level = event.level or "info"
    if log and LEVELS[event.level] <= last then
      event.id, event.time = id, core.now()
      log(event)
    end
  end
end

--- Make one that does not raise, whatever the log function does; but for a cancel and Ctrl-C.
-- @tparam table config as of @{teller}
-- @tparam string id the machine's
-- @treturn function as of @{teller}; returns whether the log function has not failed
function events.unfailing (config, id)
  local tell = events.teller(config, id)
  return function (event)
    local ok, problem = errors.pcall(tell, event)
    if not ok and errors.is_stop(problem) then
      error(problem, 0)
    elseif not ok then
      warn("firecracker: config.log failed: " .. tostring(problem))
    end
    return ok
  end
end

return events
