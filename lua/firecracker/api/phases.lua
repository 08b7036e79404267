--- Which request fits which state of the guest, from the table.
-- The states are a machine's: "vmm" (not started), "running", "paused"; for any other nothing is said.
-- @module firecracker.api.phases

local phases = {}

local FITS <const> = {
  before = { vmm = true }, after = { running = true, paused = true }, paused = { paused = true },
  hotplug = { vmm = true, running = true, paused = true },
}
local WORDS <const> = { vmm = "not started", running = "running", paused = "paused" }
local RIGHT <const> = {
  before = "is possible only before the guest starts",
  after = "needs a guest that runs: start it first",
  paused = "needs a paused guest: pause it first",
}

--- The phase a request belongs to.
-- @tparam table operation
-- @param body
-- @treturn ?string nil: any
function phases.of (operation, body)
  local phase = operation.phase
  if type(phase) == "table" then
    return type(body) == "table" and phase[body[phase[1]]] or nil
  end
  return phase ~= "any" and phase or nil
end

--- The states that fit an operation, whatever its body.
-- @tparam table operation
-- @treturn ?table set of states; nil: the body decides, or any
function phases.states (operation)
  return FITS[operation.phase]
end

--- Whether a phase and a state fit.
-- @tparam string phase
-- @tparam ?string state
-- @treturn boolean
function phases.fits (phase, state)
  return WORDS[state] == nil or FITS[phase][state] == true
end

--- Say what is wrong, and what would be right.
-- @tparam table operation
-- @tparam string phase
-- @tparam string state
-- @tparam string who "machine 7f3a91"
-- @treturn string
function phases.say (operation, phase, state, who)
  return ("%s: %s is %s; this %s"):format(operation.name, who, WORDS[state], RIGHT[phase])
end

--- What would be right, for a refusal of the VMM's own.
-- @tparam string fault its words
-- @treturn ?string
function phases.hint (fault)
  local when = fault:match "not supported (%l+) starting the microVM"
  return when and "this " .. (when == "before" and RIGHT.after or RIGHT.before)
end

--- The state after a request that succeeded.
-- @tparam table operation
-- @param body
-- @param reply
-- @treturn ?string nil: this request says nothing of it
function phases.after (operation, body, reply)
  local states, said = operation.moves, body
  if operation.tells then
    states, said = operation.tells, reply
  end
  if states and type(said) == "table" then
    return states[said[states[1]] or false]
  end
end

return phases
