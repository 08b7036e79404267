--- The last words of a VMM that ended, and the error made of them.
-- @module firecracker.machine.last_words

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local process = require "firecracker.machine.process"

local files = core.files
local last_words = {}

local TAIL <const> = 2048   -- bytes of the VMM's last words kept in an error

local function tail (path)
  local text = path and files.tail(path, TAIL)
  return text and text:match "^%s*(.-)%s*$" or ""
end

-- The end of its log: of the one that was asked for, else of the one it starts with. Bodies of requests may be secret.
local function log_words (self)
  local words = self.readers and require "firecracker.intake".last_lines(self) or ""
  local path = self.config.logger and self.config.logger.log_path
  if words == "" and path then
    words = tail(path)
  end
  words = words ~= "" and words or tail(self.vmm_log_path or self.log_path)
  return words:gsub(' with body "[^\n]*', ""), not self.config.logger
end

-- Of these the last that tells of something wrong. Without a level its words do; `warnings`: every line does.
local function last_warning (words, warnings)
  local logs, last = require "firecracker.logs", ""
  for line in words:gmatch "[^\n]+" do
    local record = logs.parse(line)
    local level, message = record.level, record.message
    if level == "error" or level == "warn" or not level and (warnings or message:find "rror"
        or message:find "panicked" or message:find "intercepting") then
      last = line
    end
  end
  return last
end

--- The error of a VMM that ended.
-- @tparam table self the machine
-- @tparam table exit `exited`, `signal` or `unknown`
-- @tparam[opt="the VMM"] string who ended, unless its last words are the jailer's
-- @treturn table err code "exited"
function last_words.error (self, exit, who)
  local words, log, warnings = tail(self.stderr_path), log_words(self)
  local how = exit.exited and "exited with status " .. exit.exited or exit.signal and "was ended by signal " .. exit.signal
    or "ended, and somebody else took its exit status"
  local jailer = words:match "Jailer error: ([^\n]*)"
  -- its log has for people what standard error has for its developers
  local last = log:match "Run%w+Error error: ([^\n]*)" or jailer or words ~= "" and words:match "[^\n]*$"
    or last_warning(log, warnings)
  words = words ~= "" and words or log
  return errors.new {
    code = "exited", exited = exit.exited, signal = exit.signal, stderr = words ~= "" and words or nil,
    message = ("%s %s%s"):format(jailer and "the jailer" or who or "the VMM", how, last ~= "" and ": " .. last or ""),
    hint = self.hung or exit.reason ~= process.UNKNOWN and exit.reason or nil,
  }
end

return last_words
