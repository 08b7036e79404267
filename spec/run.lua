-- Runs the specs under the interpreter at hand: scripts/test, `make asan` and `luarocks test` all come here.
-- Without --ignore-lua busted starts itself again for .busted's `lua`, arguments unquoted.
table.insert(arg, 1, "--ignore-lua")
require "busted.runner" { standalone = false }
