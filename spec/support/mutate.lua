-- mutate.lua MUTATIONS: in the tree that is the working directory (a copy: its files are changed), applies one change
-- after another, builds, and runs the specs named with it. Exit status 1 when one survives, or cannot be made.

local PATIENCE <const> = 60    -- seconds for the specs of one change; a hang is noticed too

local function read (path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function write (path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

local function succeeds (command, ...)
  return (os.execute(command:format(...) .. " >mutate.log 2>&1"))
end

-- What a hanging spec started goes with it.
local confined = "unshare --mount --mount-proc --pid --fork --kill-child=KILL "
confined = succeeds(confined .. "true") and confined or ""

local function run (specs)
  return succeeds("timeout -k 5 %d %slua5.4 spec/run.lua %s", PATIENCE, confined, specs)
end

-- "noticed", or what is wrong
local function try (path, old, new, specs)
  local text = read(path)
  local first, last = text:find(old, 1, true)
  if not first then
    return "old text not found"
  elseif text:find(old, last + 1, true) then
    return "old text found twice"
  end
  write(path, text:sub(1, first - 1) .. new .. text:sub(last + 1))
  local built = succeeds "make -s all"
  local passed = built and run(specs)
  write(path, text)
  return not built and "does not build" or passed and "SURVIVED" or "noticed"
end

local list = assert(dofile(arg[1]))
local specs, seen = {}, {}
for _, mutation in ipairs(list) do
  for spec in mutation[5]:gmatch "%S+" do
    specs[#specs + 1] = not seen[spec] and spec or nil
    seen[spec] = true
  end
end
if not (succeeds "make -s -j2 all support" and succeeds("timeout 300 lua5.4 spec/run.lua %s", table.concat(specs, " "))) then
  io.write(read "mutate.log", "the specs fail without any change\n")
  os.exit(1)
end

local bad = 0
for _, mutation in ipairs(list) do
  local what, path = mutation[1], mutation[2]
  local verdict = try(path, table.unpack(mutation, 3))
  bad = bad + (verdict == "noticed" and 0 or 1)
  print(("%-18s %-44s %s"):format(verdict, what, path))
end
print(("%d of %d noticed"):format(#list - bad, #list))
os.exit(bad == 0)
