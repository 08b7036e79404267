-- Runs the specs under the interpreter at hand: scripts/test, `make asan` and `luarocks test` all come here.
require "busted.runner" { standalone = false }
