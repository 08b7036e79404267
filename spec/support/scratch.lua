--- scratch(name) -> a path that is taken by nothing, in the directory for temporary files.
local core = require "firecracker.core"

return function (name)
  return ("%s/firecracker-lua-spec-%s-%s"):format(os.getenv "TMPDIR" or "/tmp", core.files.random_hex(4), name)
end
