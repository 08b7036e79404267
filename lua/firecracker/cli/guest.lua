--- `fclua guest build`: make a Linux guest out of Debian packages.
-- The work is a script's, `firecracker/guest/build`, which is installed beside the modules.
-- @module firecracker.cli.guest

local report = require "firecracker.cli.report"

local DEFAULT <const> = "build/guest"

local guest = {
  name = "guest",
  summary = "Make a Linux guest: a kernel, an initrd and a root drive.",
  description = "Makes a Linux guest out of Debian packages: vmlinux, initrd and rootfs.ext4 in a directory. Boot it by\n" ..
    "fclua run --kernel DIR/vmlinux --initrd DIR/initrd",
  usage = "build [DIR]",
}

function guest.define (command)
  command:argument("action", "what to do"):choices { "build" }
  command:argument("directory", "where to; default: " .. DEFAULT):args "?"
end

local function quote (word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- Run the sub-command.
-- @tparam table options what was parsed
-- @treturn int exit status: the script's
function guest.main (options)
  local script, problem = package.searchpath("firecracker.guest.build", (package.path:gsub("%?%.lua", "?")))
  if not script then
    report.failure("the script that builds guests is not installed:" .. problem)
    return 1
  end
  local directory = options.directory or DEFAULT
  if directory == "" then
    report.usage("a directory expected, got an empty string", guest)
    return 2
  end
  if directory:sub(1, 1) == "-" then
    directory = "./" .. directory
  end
  local ok, how, status = os.execute(("exec bash %s %s"):format(quote(script), quote(directory)))
  if ok then
    io.stderr:write(("boot it by: fclua run --kernel %s/vmlinux --initrd %s/initrd\n"):format(directory, directory))
  end
  return how == "signal" and 128 + status or status
end

return guest
