--- Start Firecracker without the jailer: its own session, no inherited descriptor, its run directory as working
-- directory. The API socket appearing races the death of the process.
-- @module firecracker.launch.direct

local console = require "firecracker.launch.console"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"
local program = require "firecracker.launch.program"

local host = lazy "firecracker.host"

local files = core.files
local direct = {}

-- Large limits make Firecracker grow its descriptor table at start; the jailer's default serves.
local NO_FILE <const> = 2048
local SOCKET_NAME <const> = "api.sock"
local RETRY_FIRST <const>, RETRY_LAST <const> = 20e-6, 1e-3   -- seconds
local SUN_PATH <const> = 107   -- bytes of a path that fit into a socket address

--- Find the program: `vmm.binary`, $FIRECRACKER, or `firecracker`; a name without a slash is looked for on PATH.
-- @tparam table config
-- @treturn[1] string absolute path
-- @return[2] nil
-- @treturn[2] err code "spawn", with a hint
function direct.find (config)
  return program.find(config.vmm.binary, "FIRECRACKER", "firecracker", "the VMM",
    "set config.vmm.binary or $FIRECRACKER, or put firecracker on PATH")
end

--- What Firecracker is told on its command line, but for its id.
-- @tparam table vm
-- @tparam table paths as the VMM sees them: `socket`, `log`, `filter`
-- @tparam[opt={}] {string,...} more arguments, before those of the configuration
-- @treturn {string,...}
function direct.arguments (vm, paths, more)
  local config = vm.config.vmm
  local argv = { "--api-sock", paths.socket, "--log-path", paths.log, "--level", "Warning" }
  if paths.filter then
    table.move({ "--seccomp-filter", paths.filter }, 1, 2, #argv + 1, argv)
  elseif config.no_seccomp then
    argv[#argv + 1] = "--no-seccomp"
  end
  table.move(more or {}, 1, #(more or {}), #argv + 1, argv)
  return table.move(config.arguments, 1, #config.arguments, #argv + 1, argv)
end

--- The command line. The socket's default is named relative to the working directory, so that a deep run directory
-- does not exceed the length of a socket address.
-- @tparam table vm
-- @tparam string binary
-- @tparam[opt={}] {string,...} more arguments, before those of the configuration
-- @treturn {string,...} argv
function direct.command (vm, binary, more)
  local config = vm.config.vmm
  local arguments = direct.arguments(vm, { socket = config.socket_path or SOCKET_NAME,
    log = vm.vmm_log_path or ("%s/%s/vmm.log"):format(vm.config.run_dir, vm.id),
    filter = config.seccomp_filter }, more)
  return table.move(arguments, 1, #arguments, 4, { binary, "--id", vm.id })
end

local function environment_list (environment)
  local list = {}
  for name, value in pairs(environment or {}) do
    list[#list + 1] = name .. "=" .. value
  end
  table.sort(list)
  return list
end

-- Whether a socket is somebody's: its file stays when it is nobody's any more. Between bind and listen it refuses.
-- @see proc(5), /proc/net/unix: those of this network namespace
local function is_served (path)
  if files.listens(path) then
    return true
  end
  for line in io.lines "/proc/net/unix" do
    if line:sub(-#path - 1) == " " .. path then
      return true
    end
  end
  return false
end

-- A stale socket would make the VMM exit; a foreign one would be taken for ours.
local function prepare_socket (vm)
  local path = vm.config.vmm.socket_path
  if not path then
    local before, ok, err = vm.socket_path, true, nil
    vm.socket_path = vm.directory .. "/" .. SOCKET_NAME
    if before then   -- of a VMM that failed; this is another try
      ok, err = files.unlink(before)
    end
    return ok and vm.directory, ok and SOCKET_NAME or err
  end
  if #path > SUN_PATH then
    return nil, errors.new {
      code = "config", field = "vmm.socket_path", path = path,
      message = ("config.vmm.socket_path: %d bytes, a socket's path has at most %d"):format(#path, SUN_PATH),
      hint = "leave it out: the default has no such limit",
    }
  elseif files.look(path) then
    return nil, errors.new {
      code = "config", field = "vmm.socket_path", path = path, errno = "EEXIST",
      message = ("config.vmm.socket_path: %s exists already"):format(path),
      hint = "another VMM uses it, or one that is gone left it: remove it then",
    }
  end
  vm.socket_path = path
  vm:defer("api socket", function ()
    if is_served(path) then   -- who came to serve it meanwhile keeps it
      return true
    end
    return files.unlink(path)
  end, { path = path })
  local above, name = path:match "^(.*)/([^/]+)$"
  return above == "" and "/" or above, name
end

-- What is closed together.
local stdio_metatable = {
  __close = function (stdio)
    for _, fd in pairs(stdio) do
      fd:close()
    end
  end,
}

--- Open standard input, output and error, for a variable to be closed once the VMM has them.
-- @tparam table vm
-- @treturn[1] {fd,fd,fd}
-- @return[2] nil
-- @treturn[2] err
function direct.open_stdio (vm)
  local null, err = files.open("/dev/null", "r+")
  local stdio = setmetatable({ null }, stdio_metatable)
  if stdio[1] then
    stdio[3], err = files.open(vm.stderr_path, "w")
  end
  if stdio[3] then
    local input
    stdio[2], input = console.open(vm, stdio[1])
    if stdio[2] and input then
      stdio[1]:close()
      stdio[1] = input
    end
    err = input
  end
  if not stdio[2] then
    stdio_metatable.__close(stdio)
    return nil, err
  end
  return stdio
end

local function spawn (vm, argv, stdio)
  local process, err = (vm.config.vmm.spawn or core.process.spawn)({
    path = argv[1], argv = argv, environment = environment_list(vm.config.vmm.environment),
    cwd = vm.directory, stdio = stdio, no_file = NO_FILE, kill_when_dropped = vm.config.when_dropped == "kill",
    netns = vm.netns and vm.netns.fd,
  }, core.process.spawn)
  if not process then
    return nil, errors.new { code = "spawn", message = errors.is(err) and err.message or tostring(err), path = argv[1],
                             errno = errors.is(err) and err.errno or nil }
  end
  return process
end

--- Start the VMM; @{await} waits for its API.
-- @tparam table vm gets `process`, `socket_path`, `vmm_log_path`, `stderr_path`
-- @tparam[opt] {string,...} more arguments for its command line
-- @treturn[1] watch on its API's socket, to be closed
-- @return[2] nil
-- @treturn[2] err code "spawn", "config" or "system"
function direct.start (vm, more)
  local binary, err = direct.find(vm.config)
  if not binary then
    return nil, err
  end
  local directory, name = prepare_socket(vm)
  if not directory then
    return nil, name
  end
  local ok, process = true
  if vm.vmm_log_path then   -- of a try that failed
    ok, err = files.unlink(vm.vmm_log_path)
  end
  vm.vmm_log_path, vm.stderr_path = vm.directory .. "/vmm.log", vm.directory .. "/stderr.log"
  if ok then
    ok, err = files.create(vm.vmm_log_path)
  end
  if not ok then
    return nil, err
  end
  local stdio <close>, problem = direct.open_stdio(vm)
  if not stdio then
    return nil, problem
  end
  local argv = direct.command(vm, binary, more)
  process, err = spawn(vm, argv, stdio)
  if not process then
    return nil, err
  end
  vm:own_process(process, argv)
  return core.watch.open(directory, name)   -- while the VMM starts; it looks for what is there already
end

-- Whether a process is the VMM, or was started by it: its program may be a script.
local function is_vmm (vm, pid)
  local own = vm.process:pid()
  while pid and pid > 1 and pid ~= own do
    pid = select(4, host.process(pid))
  end
  return pid == own
end

-- Whether the VMM listens; false and who does in its place (the last time it could be told); nil, err. Where the user starts
-- the VMM, he knows which it is.
local function vmm_listens (vm, other)
  local listens, pid = files.listens(vm.socket_path)
  local who = listens and (pid or other)
  if who and not vm.config.vmm.spawn and not is_vmm(vm, who) then
    return false, who
  end
  return listens, pid
end

-- Between bind and listen the socket is there and refuses; asking takes a hundredth of a refused request of libcurl's time.
-- Where another VMM got the same path at the same moment, that one's answers: ours ends, and says why.
local function await_listening (vm, deadline)
  local pause = RETRY_FIRST
  local listens, other
  while true do
    listens, other = vmm_listens(vm, other)
    if listens then
      return true
    elseif vm.process:poll() then
      return nil, vm:exited_error()
    elseif listens == nil then
      return nil, other
    elseif core.now() >= deadline then
      local message = "the VMM runs, but does not listen at its API socket: " .. vm.socket_path
      return nil, errors.new {
        code = "timeout", path = vm.socket_path,
        message = other and ("%s; process %d does"):format(message, other) or message,
      }
    end
    loop.park(math.min(core.now() + pause, deadline), vm.process:key())
    pause = math.min(pause * 2, RETRY_LAST)
  end
end

--- Wait for the API of the VMM that was started.
-- @tparam table vm
-- @tparam watch watch of @{start}
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "exited" or "timeout"
function direct.await (vm, watch)
  local process = vm.process
  local deadline = loop.deadline(vm.config.timeouts.start)
  while not watch:appeared() do
    if process:poll() then
      return nil, vm:exited_error()
    elseif not loop.park(deadline, watch:key(), process:key()) and not watch:appeared() and not process:poll() then
      return nil, errors.new {
        code = "timeout", path = vm.socket_path,
        message = "the VMM runs, but its API socket did not appear in time: " .. vm.socket_path,
      }
    end
  end
  return await_listening(vm, deadline)
end

return direct
