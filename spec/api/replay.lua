--- The recorded exchanges with real VMMs, for the specs of the fake one.
-- replay.rows(release): the recording, in its order. A row of one session: `method`, `path`, `body`, `status`, `reply`,
-- `deprecated`, `exit`; of raw bytes: `case`, `raw`, `reply`, `closed`, `then_raw`, `then_reply`
-- replay.world(release): what the recorded host was like, for the fake
-- replay.left_out(row): why a row is not replayed; nil when it is

local deserialize = require "firecracker.testing.deserialize"
local json = require "firecracker.testing.json"

local replay = {}

-- Long runs of one character are shortened in the files.
local function long (value)
  return type(value) == "string" and value:gsub("«(.)%*(%d+)»", function (c, n) return c:rep(tonumber(n)) end) or value
end

-- Raw bytes stand in the files as the characters of their numbers.
local function bytes (text)
  local codes = {}
  for _, code in utf8.codes(text) do
    codes[#codes + 1] = string.char(code)
  end
  return table.concat(codes)
end

function replay.rows (release)
  local rows = {}
  for line in io.lines(("spec/api/exchanges/%s.jsonl"):format(release)) do
    local row = assert(deserialize(line, "json", nil, {}))
    for key, value in pairs(row) do
      row[key] = value ~= json.null and long(value) or nil
    end
    for _, key in ipairs { "raw", "reply", "then_raw", "then_reply" } do
      row[key] = row.case and row[key] and bytes(row[key]) or row[key]
    end
    rows[#rows + 1] = row
  end
  return rows
end

local ABSENT <const> = "No such file or directory (os error 2)"
local DIRECTORY <const> = "Is a directory (os error 21)"
local TAP <const> = "Error while creating ifreq structure: Invalid argument (os error 22). Invalid TUN/TAP Backend provided " ..
  "by tapmq. Check our documentation on setting up the network devices."
local KERNEL <const> = "System configuration error: Cannot load kernel due to invalid memory configuration or invalid " ..
  "kernel image: Kernel Loader: failed to load ELF kernel image: Kernel Loader: "

-- Files and taps of the recorded host, by what the system says of them. Those that were usable need no entry.
function replay.world (release)
  local old = release == "1.12.1"
  return {
    [""] = ABSENT, ["run/absent.elf"] = ABSENT, ["run/absent/s"] = { serial = ABSENT },
    ["run/absent.img"] = { drive = ABSENT, initrd = ABSENT, pmem = "Error accessing backing file: " .. ABSENT },
    ["run/absent.sock"] = ABSENT, ["run/absent/v.sock"] = ABSENT, ["run/absent/l"] = ABSENT, ["run/absent/m"] = ABSENT,
    ["run/absent.vm"] = "Failed to open snapshot file: " .. ABSENT,
    ["run/absent.mem"] = "Failed to load guest memory: " .. ABSENT,
    ["run/absent/s.vm"] = ABSENT, ["run/absent/s.mem"] = ABSENT,
    ["run/vhost.sock"] = "Connection refused (os error 111)",
    ["run/dir"] = { drive = DIRECTORY, log = DIRECTORY, start = KERNEL .. "Unable to read elf header" },
    ["run/notelf.bin"] = { start = KERNEL .. "Invalid Elf magic number", snapshot = "Failed to load snapshot state from file: " ..
      (old and "CRC64 validation failed: 5466478617301456767"
      or "An error occurred during bitcode serialization: bitcode error") },
    ["run/empty.img"] = { start = KERNEL .. "Unable to read elf header", pmem = "Error backing file size is 0",
      snapshot = "Failed to load snapshot state from file: " ..
      (old and "Snapshot file is smaller than CRC length." or "IO Error: File too short to contain CRC") },
    ["run/root.img"] = { memory = "Failed to restore guest memory: " .. (old and
      "Cannot create mmap region: The specified file offset and length is greater then file length" or
      "Total sum of memory regions exceeds largest possible file offset"),
      vsock = old and "Address in use (os error 98)" or "Address already in use (os error 98)" },
    ["run/log.new"] = old and ABSENT or nil, ["run/m.new"] = old and ABSENT or nil,
    tapmq = TAP,
    busy = old and "Resource busy" or nil,
  }
end

-- Why lines are left out: by session or case, and what of the row.
local HOST <const> = "depends on the host's memory, processor or files"
local LEFT_OUT <const> = {
  { "start memory 16 TiB", HOST }, { "start memory 1 MiB", HOST }, { "start 2M pages without a pool", HOST },
  { "start initrd larger than memory", HOST }, { "start cpu_template of another CPU", HOST },
  { "start bad capability number", HOST },
}
local STALE <const> = "run/vm.vsock"

for _, each in ipairs(LEFT_OUT) do
  LEFT_OUT[each[1]] = each[2]
end

function replay.left_out (row)
  local starts = row.path == "/actions" or row.path == "/"
  if row.session and LEFT_OUT[row.session] and starts then
    return LEFT_OUT[row.session]
  elseif row.path == "/drives/h28" or row.path == "/drives/h0" then
    return "the thirty drives before it are not in the recording"
  elseif row.raw and (row.raw:find("bytes)...", 1, true) or (row.reply .. (row.then_raw or "")):find("bytes)...", 1, true)) then
    return "recorded shortened"
  elseif row.raw and row.case:find "^half%-close" then
    return "whether a request runs whose sender leaves is a race"
  elseif row.case == "big numbers in the store" then
    return "shows what a shortened one stored"
  elseif row.case == "chunked, body later" then
    return "sent in two pieces, which the recording does not tell apart"
  elseif row.raw and row.case:find "^11th" then
    return "concerns connections; testing_spec has it"
  end
end

--- The fake VMM of a session: what is peculiar to it.
function replay.options (release, session, snapshots)
  local world = replay.world(release)
  local address = release == "1.12.1" and "Address in use (os error 98)" or "Address already in use (os error 98)"
  if session == "load-stale-vsock" then
    world[STALE] = { restore = (release == "1.12.1" and "Failed to restore MMIO device: Cannot restore devices: "
      or "Failed to restore devices: Error restoring MMIO devices: ") ..
      "VsockUnixBackend: Error binding to the host-side Unix socket: " .. address }
  end
  local ids = { pre = "probe-1", running = "probe-2", http = "probe-http" }
  return {
    release = release, world = world, snapshots = snapshots, pci = session == "pci", drivers = session ~= "running-bare",
    id = ids[session] or session:find "^start" and "probe-start" or session:find "^load" and "probe-load"
      or session == "restored" and "probe-load" or "probe",
    limit = session == "limits" and 100 or 51200, mmds_limit = session == "limits" and 50 or 51200,
  }
end

return replay
