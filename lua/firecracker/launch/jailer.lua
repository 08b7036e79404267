--- Start Firecracker by its jailer. Plain, the jailer becomes the VMM, our child. Told to daemonize or to make a process id
-- namespace it ends at once, and says nothing by that: the VMM is found by its pid file and held if it lives in the jail.
-- @module firecracker.launch.jailer

local cgroups = require "firecracker.launch.cgroups"
local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local host = require "firecracker.host"
local jail = require "firecracker.launch.jail"
local loop = require "firecracker.loop"
local process = require "firecracker.machine.process"
local program = require "firecracker.launch.program"

local files, tree = core.files, core.tree
local jailer = {}

local SOCKET <const> = "/run/firecracker.socket"
local LOG <const> = "/vmm.log"
local MOMENT <const> = 1   -- seconds
local PAUSE_FIRST <const>, PAUSE_LAST <const> = 0.5e-3, 0.02

--- Find the VMM's program.
-- @function jailer.find
-- @tparam table config
-- @treturn[1] string absolute path
-- @return[2] nil
-- @treturn[2] err
jailer.find = direct.find

--- Find the jailer: `jailer.jailer_binary`, $JAILER, or `jailer`.
-- @tparam table config
-- @treturn[1] string absolute path
-- @return[2] nil
-- @treturn[2] err code "spawn", with a hint
function jailer.program (config)
  return program.find(config.jailer.jailer_binary, "JAILER", "jailer", "the jailer",
    "set config.jailer.jailer_binary or $JAILER, or put jailer on PATH")
end

local function is_detached (vm)
  return vm.config.jailer.daemonize or vm.config.jailer.new_pid_ns
end

-- Where the API's socket is, in the jail.
local function socket_of (vm, place)
  local path = vm.config.vmm.socket_path
  if path and path:sub(1, #place.root + 1) == place.root .. "/" then
    return path:sub(#place.root + 1)
  end
  return SOCKET
end

--- The command line.
-- @tparam table vm
-- @tparam string binary the jailer
-- @tparam table place of @{firecracker.launch.jail}
-- @tparam {string,...} groups arguments about cgroups
-- @tparam ?string filter the seccomp filter, as the VMM sees it
-- @tparam[opt] {string,...} more arguments of Firecracker's
-- @treturn {string,...} argv
function jailer.command (vm, binary, place, groups, filter, more)
  local config = vm.config.jailer
  local argv = { binary, "--id", vm.id, "--exec-file", place.program, "--uid", tostring(config.uid), "--gid",
                 tostring(config.gid), "--chroot-base-dir", place.base }
  local function add (...)
    table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
  end
  if vm.netns then
    add("--netns", vm.netns.path)
  end
  if config.daemonize then
    add "--daemonize"
  end
  if config.new_pid_ns then
    add "--new-pid-ns"
  end
  add(table.unpack(groups))
  local limits = config.resource_limits or {}
  if limits.fsize then
    add("--resource-limit", "fsize=" .. limits.fsize)
  end
  if limits.no_file then
    add("--resource-limit", "no-file=" .. limits.no_file)
  end
  add "--"
  add(table.unpack(direct.arguments(vm, { socket = socket_of(vm, place), log = LOG, filter = filter }, more)))
  return argv
end

-- The directory of the socket, which is watched, and the log, which a release before 1.14 must find.
local function prepare (vm, place)
  local owner = vm.config.jailer
  local root <close>, err = tree.name(place.root)
  local socket = socket_of(vm, place)
  local directory, ok = socket:match "^/(.+)/", nil
  if root then
    ok, err = true, nil
    if directory == "run" then
      ok, err = tree.mkdir(root, directory, 448)   -- 0700
    elseif directory then
      ok, err = tree.mkdir(root, directory, 448, owner.uid, owner.gid)
    end
  end
  local log
  if ok then
    log, err = tree.create(root, LOG:sub(2))
  end
  if log then
    ok, err = tree.give(log, owner.uid, owner.gid)
    log:close()
  end
  if not log or not ok then
    return nil, err
  end
  vm.vmm_log_path = place.root .. LOG
  vm.stderr_path = owner.stderr or vm.directory .. "/stderr.log"
  vm.socket_path = ("%s//%s"):format(place.root, socket:sub(2))
  return ok, err
end

-- A link for whoever looks for the socket where the configuration says.
local function link_socket (vm, place)
  local path = vm.config.vmm.socket_path
  if not path or socket_of(vm, place) ~= SOCKET then
    return true
  end
  local ok, err = files.symlink(place.root .. SOCKET, path)
  if not ok then
    err.code, err.field = "config", "vmm.socket_path"
    return nil, errors.context(err, "config.vmm.socket_path")
  end
  vm:defer("api socket's link", function ()
    return files.unlink(path)
  end, { path = path })
  return true
end

-- The jailer that will not become the VMM: ended if it has not by then.
local function own_jailer (vm, child, argv)
  vm.jailer_process = child
  vm:defer("jailer", function ()
    vm.jailer_process = nil
    child:signal "KILL"
    local deadline = core.now() + process.REAP
    while not child:poll() and loop.park(deadline, child:key()) do end
    child:close()
    jail.evict(vm.jail.root, core.now() + vm.config.timeouts.stop)   -- now: its cgroup goes next
  end, { pid = child:pid() })
  vm:emit { event = "spawn", level = "debug", pid = child:pid(), argv = argv }
end

-- Files in the places of standard input and output, where some are named; what they replace is closed with them.
local function name_stdio (vm, stdio)
  for i, named in ipairs { { vm.config.jailer.stdin, "r" }, { vm.config.jailer.stdout, "a" } } do
    if named[1] then
      local file, err = files.open(named[1], named[2])
      if not file then
        return nil, err
      end
      stdio[-i], stdio[i] = stdio[i], file
    end
  end
  return true
end

local function spawn (vm, argv)
  local stdio <close>, problem = direct.open_stdio(vm)
  if not stdio then
    return nil, problem
  end
  local named, watch, child, err
  named, err = name_stdio(vm, stdio)
  if named then   -- now: the jail's user can change the directory later
    watch, err = core.watch.open(vm.socket_path:gsub("//", "/"):match "^(.*)/([^/]+)$")
    stdio.watch = watch
  end
  if not watch then
    return nil, err
  end
  child, err = (vm.config.vmm.spawn or core.process.spawn)({
    path = argv[1], argv = argv, environment = {}, cwd = "/", stdio = stdio,
    kill_when_dropped = vm.config.when_dropped == "kill",
  }, core.process.spawn)
  if not child then
    return nil, errors.new { code = "spawn", message = errors.is(err) and err.message or tostring(err), path = argv[1],
                             errno = errors.is(err) and err.errno or nil }
  end
  if is_detached(vm) then
    own_jailer(vm, child, argv)
  else
    vm:own_process(child, argv)
  end
  stdio.watch = nil
  return watch
end

--- Start the jailer; @{await} waits for the VMM's API. The machine's directory in the host and its jail are made if they
-- are not there.
-- @tparam table vm gets `process` (or `jailer_process`), `socket_path`, `vmm_log_path`, `stderr_path`
-- @tparam[opt] {string,...} more arguments for Firecracker's command line
-- @treturn[1] watch on its API's socket, to be closed
-- @return[2] nil
-- @treturn[2] err code "spawn", "config", "jailer" or "system"
function jailer.start (vm, more)
  local binary, err = jailer.program(vm.config)
  local place, ok, groups, directories
  if binary then
    place, err = jail.open(vm)
  end
  if place and place.launched then
    ok, err = jail.reset(vm)
    place = ok and place
  end
  if place then
    groups, directories = cgroups.plan(vm, place)
    err = directories
  end
  local filter = vm.config.vmm.seccomp_filter
  if groups and filter then
    filter, err = vm:vmm_path(filter, "read", "seccomp")
  end
  if not groups or vm.config.vmm.seccomp_filter and not filter then
    return nil, err
  end
  place.launched = true
  ok, err = prepare(vm, place)
  if ok then
    ok, err = link_socket(vm, place)
  end
  if ok then
    ok, err = cgroups.own(vm, directories)
  end
  if not ok then
    return nil, err
  end
  return spawn(vm, jailer.command(vm, binary, place, groups, filter, more))
end

local function refuse (message, ...)
  return nil, errors.new { code = "jailer", message = message:format(...) }
end

-- Gives up the handle of a process that did not prove to be the jail's, which goes on.
local unproved = { __close = function (held)
  if held.child then
    held.child:close()
  end
end }

-- Hold the process that the pid file names, if it is the jail's: its user can write there what he likes.
local function hold (vm, place, text, began)
  local pid = #text <= 9 and math.tointeger(tonumber(text:match "^[1-9]%d*$"))   -- the kernel's have 7 digits
  local child, err
  if pid then
    child, err = core.process.adopt(pid, vm.config.when_dropped == "kill")
  end
  if not pid then
    return refuse("the jail's pid file holds no process id")
  elseif not child and err.errno == "ESRCH" then
    return nil, vm:ended_error({ unknown = true })
  elseif not child then
    return nil, err
  end
  local held <close> = setmetatable({ child = child }, unproved)
  local look, here = files.look(("/proc/%d/root/."):format(pid)), files.look(place.root)
  local _, _, started = host.process(pid)
  if not look then   -- it is about to end
    loop.park(core.now() + MOMENT, child:key())
  end
  local how, n = child:poll()
  if how then   -- it is gone already, and never signalled: whose it was does not matter
    return nil, vm:ended_error { exited = how == "exited" and n or nil, signal = how == "signaled" and n or nil,
                                 unknown = how == "unknown" or nil }
  elseif not look or not here or look.inode ~= here.inode or look.device ~= here.device or not started or started < began then
    return refuse("the jail's pid file names process %d, which does not live in the jail", pid)
  end
  held.child = nil
  return child
end

-- The jailer's own end: with status 0 it has left the VMM behind.
local function await_jailer (vm, deadline)
  local child = vm.jailer_process
  while true do
    local how, n = child:poll()
    if how == "exited" and n == 0 or how == "unknown" then
      return true
    elseif how then
      return nil, vm:ended_error({ exited = how == "exited" and n or nil, signal = how == "signaled" and n or nil }, "the jailer")
    elseif not loop.park(deadline, child:key()) and not child:poll() then
      return nil, errors.new { code = "timeout", message = "the jailer does not end" }
    end
  end
end

-- The pid file can come after the API.
local function find (vm, place, began, deadline)
  local pause = PAUSE_FIRST
  while true do
    local root <close> = assert(tree.name(place.root))
    local text, err = tree.read(root, place.name .. ".pid")
    if text and text ~= "" then
      return hold(vm, place, text, began)
    elseif not text and err.errno ~= "ENOENT" then
      return nil, err
    elseif core.now() >= deadline then
      return nil, errors.new { code = "timeout", path = place.root, message = "the jailer left no pid file behind" }
    end
    loop.park(math.min(core.now() + pause, deadline))
    pause = math.min(2 * pause, PAUSE_LAST)
  end
end

--- Wait for the API of the VMM that was started; one that is no child of ours is found before.
-- @tparam table vm
-- @tparam watch watch of @{start}
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "exited", "jailer" or "timeout"
function jailer.await (vm, watch)
  if not is_detached(vm) then
    return direct.await(vm, watch)
  end
  local deadline = loop.deadline(vm.config.timeouts.start)
  local began = select(3, host.process(vm.jailer_process:pid())) or 0
  local ok, err = await_jailer(vm, deadline)
  local child
  if ok then
    child, err = find(vm, vm.jail, began, deadline)
  end
  if not child then
    return nil, err
  end
  vm:own_process(child, { "/" .. vm.jail.name })
  return direct.await(vm, watch)
end

return jailer
