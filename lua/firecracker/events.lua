--- What happens, told to `config.log` as tables.
-- An event has `event` (its kind), `level` ("error", "warn", "info", "debug", "trace"), `id` (the machine's), `time`
-- (seconds of core.now()) and what fits its kind. Who tells needs no machine: a task that outlives its machine's last
-- reference must not hold it.
-- @module firecracker.events

local core = require "firecracker.core"

local events = {}

--- Make the function that tells.
-- @tparam ?function log `config.log`
-- @tparam string id the machine's
-- @treturn function called with an event
function events.teller (log, id)
  return function (event)
    if log then
      event.id, event.time, event.level = id, core.now(), event.level or "info"
      log(event)
    end
  end
end

return events
