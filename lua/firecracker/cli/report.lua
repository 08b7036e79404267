--- What `fclua` says. On standard error: a line a step with its time, how it ended, what failed.
-- Standard output is the guest's, or what was asked for. No colours.
-- @module firecracker.cli.report

local report = {}

local function say (format, ...)
  io.stderr:write(format:format(...), "\n")
end

-- Texts of the VMM's reach a terminal through here.
local function plain (text)
  return (text:gsub("[^\t\n\x20-\x7e\x80-\xff]", function (c) return ("\\x%02x"):format(c:byte()) end))
end

local function detail (name, text)
  if text and text ~= "" then
    say("  %-7s %s", name, (plain(text):gsub("\n", "\n          ")))
  end
end

--- Write a text to a file now: of one that stays in a buffer nobody is told when the disk is full.
-- @tparam file file
-- @tparam string text
-- @treturn[1] file
-- @return[2] nil
-- @treturn[2] string what is wrong
function report.write (file, text)
  local ok, problem = file:write(text)
  if ok then
    ok, problem = file:flush()
  end
  return ok, problem
end

--- Write a text to the standard output, and tell of one that does not take it.
-- @tparam string text
-- @treturn int exit status
function report.output (text)
  local ok, problem = report.write(io.stdout, text)
  if not ok then
    report.failure("standard output: " .. problem)
    return 1
  end
  return 0
end

--- Say what is wrong with a command line.
-- @tparam string message
-- @tparam[opt] table command whose help is pointed at
function report.usage (message, command)
  say("fclua: %s", message)
  detail("help", command and ("fclua %s --help"):format(command.name) or "fclua --help")
end

--- Say what failed: one line, then what is known of it.
-- @param err an error object, which is changed, or a string
-- @tparam[opt] boolean debug with its traceback
function report.failure (err, debug)
  if type(err) ~= "table" then
    return say("fclua: %s", plain(tostring(err)))
  end
  local hint = err.hint
  err.hint = nil                        -- it gets a line of its own
  if err.where and err.where:match "^(.*):%d+$" == arg[0] then
    err.where = nil                     -- the launcher is no line of the user's
  end
  say("fclua: %s", tostring(err))
  detail("hint", hint)
  detail("done", table.concat(err.done or {}, ", "))
  detail("undone", table.concat(err.undone or {}, ", "))
  detail("stderr", err.stderr)
  report.leftovers(err.undo_errors)
  if debug then
    detail("trace", err.traceback and err.traceback:gsub("^%s*stack traceback:%s*", ""))
  end
end

--- Say what could not be taken back.
-- @tparam ?{table,...} list one `{ name =, err = }` each
function report.leftovers (list)
  for _, each in ipairs(list or {}) do
    say("fclua: not taken back: %s: %s", each.name, tostring(each.err))
  end
end

--- Say something with the time it took.
-- @tparam number seconds
-- @tparam string text
function report.timed (seconds, text)
  say("%9.1f ms  %s", seconds * 1e3, text)
end

--- Say that something goes on.
-- @tparam string text
function report.note (text)
  say("%12s  %s", "", text)
end

local SHOWN_OTHERWISE <const> = { event = true, elapsed = true, id = true, time = true, level = true, errors = true }

--- Show an event of a machine whole.
-- @tparam table event
function report.event (event)
  local words = {}
  for key, value in pairs(event) do
    local is_list = type(value) == "table" and not getmetatable(value)
    if not SHOWN_OTHERWISE[key] and not (is_list and #value == 0) then
      words[#words + 1] = ("%s=%s"):format(key, is_list and table.concat(value, ",") or tostring(value))
    end
  end
  table.sort(words)
  local text = plain(event.event .. " " .. table.concat(words, " "))
  if event.elapsed then
    report.timed(event.elapsed, text)
  else
    report.note(text)
  end
end

return report
