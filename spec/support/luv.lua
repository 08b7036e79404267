-- luv, opened once in a state: busted forgets the modules of a spec file when it ends, and a second opening crashes on the
-- loop of the first.
local registry = debug.getregistry()

registry["spec.luv"] = registry["spec.luv"] or require "luv"
return registry["spec.luv"]
