-- sh(command) -> what it wrote (stdout and stderr), exit status (128 + N for signal N)
-- sh.quote(word), sh.tmpdir(fn): fn(dir) with a fresh directory that is gone afterwards, whatever fn does

local sh = {}

function sh.quote (word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

function sh.run (command)
  command = "{ " .. command .. "\n} 2>&1"
  local pipe = assert(io.popen(command))
  local out = pipe:read "a"
  local _, how, status = pipe:close()
  return out, how == "signal" and 128 + status or status
end

function sh.tmpdir (fn)
  local dir = assert(sh.run "mktemp -d":match "^(/%S+)\n$", "mktemp failed")
  local _ <close> = setmetatable({}, { __close = function () sh.run("rm -rf " .. sh.quote(dir)) end })
  return fn(dir)
end

return setmetatable(sh, { __call = function (_, command) return sh.run(command) end })
