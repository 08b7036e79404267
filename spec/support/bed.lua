-- The real VMM with the guests of build/guest/test: what the integration specs share.
local core = require "firecracker.core"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

local bed = {}

local root = assert(core.files.absolute ".")

--- Path of a guest: hello exit fault hang idle tick echo cad.
function bed.guest (name)
  return ("%s/build/guest/%s%s.elf"):format(root, name == "hello" and "" or "test/", name)
end

--- A configuration that boots a guest in the specs' own run directory; fields of `more` go on top.
function bed.config (name, more)
  local config = {
    run_dir = leaks.run_dir,
    boot_source = { kernel_image_path = bed.guest(name) },
    timeouts = { shutdown = 0 },   -- most of these guests hear no Ctrl-Alt-Del
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return config
end

bed.scratch = require "spec.support.scratch"

--- Write a file and return its path.
function bed.write (path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
  return path
end

--- Whole content of a file.
function bed.read (path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

--- A console that collects: a function for `config.console`, and one that gives the text so far.
function bed.collector ()
  local parts = {}
  return function (bytes) parts[#parts + 1] = bytes end, function () return table.concat(parts) end
end

--- Call a function again and again: each time what it opened is closed at its end, whatever the collector does.
function bed.closes_all (fn)
  local function open ()
    return #core.files.list "/proc/self/fd"
  end
  fn()   -- the first makes what stays
  collectgarbage()
  collectgarbage "stop"
  local before = open()
  local ok, err = pcall(function ()
    fn()
    fn()
  end)
  local after = open()
  collectgarbage "restart"
  assert(ok, err)
  assert(before == after, ("%d descriptors were open, then %d"):format(before, after))
end

--- Wait until a condition holds; fails after ten seconds, or as many as given.
function bed.eventually (condition, what, seconds)
  local loop = require "firecracker.loop"
  local deadline = core.now() + (seconds or 10)
  repeat
    local value = condition()
    if value then
      return value
    end
    loop.sleep(0.005)
  until core.now() > deadline
  error("never came: " .. what, 2)
end

--- Stop all threads of a process; from then on it hears SIGKILL only.
function bed.freeze (pid)
  sh("kill -STOP " .. pid)
  bed.eventually(function ()
    for stat in sh("cat /proc/" .. pid .. "/task/*/stat"):gmatch "[^\n]+" do
      if not stat:find "%) T " then
        return false
      end
    end
    return true
  end, "every thread to stop")
end

-- fn(timeout) with more and more seconds, until it says that what is to come before their end came.
function bed.patiently (fn)
  for _, timeout in ipairs { 0.25, 1, 4, 16 } do
    if fn(timeout) then
      return
    end
  end
  error("16 s were not enough", 2)
end

return bed
