-- A program that answers as Firecracker of a release does, as far as fc.testing goes: spec.support.release makes it callable.
-- fake_firecracker.lua RELEASE [--version | --api-sock PATH [--id ID] [--config-file FILE] [--metadata FILE] [--enable-pci] …]

local root = arg[0]:match "^(.*/)spec/support/"
package.path = ("%slua/?.lua;%slua/?/init.lua;%sbuild/lua/?.lua"):format(root, root, root)
package.cpath = root .. "build/?.so"

local core = require "firecracker.core"
local file = require "firecracker.config.file"
local loop = require "firecracker.loop"
local operations = require "firecracker.api.operations"
local testing = require "firecracker.testing"

local options = {}
for i, word in ipairs(arg) do
  options[word:match "^%-%-(.*)" or ""] = arg[i + 1] or true
end
if options.version then
  io.write("Firecracker v", arg[1], "\n\n")
  os.exit(0)
end

local fake = assert(testing.fake_vmm {
  path = options["api-sock"], release = arg[1], id = options.id, pci = options["enable-pci"] ~= nil,
})

local function send (method, path, body)
  local status, reply = fake.vmm:answer(method, path, core.json.encode(body))
  if status >= 300 then
    io.stderr:write("Error: RunWithApi(BuildFromJson(", reply, "))\n")
    os.exit(1)
  end
end

if options["config-file"] then
  local config = file.from_sections(assert(file.read(options["config-file"])))
  local function send_section (operation)
    local value = config[operation.section]
    for _, body in ipairs(value and (operation.each and value or { value }) or {}) do
      if type(body) == "table" then   -- a template's path is as good as none: nothing comes of it here
        send(operation.method, (operation.path:gsub("{.*}", body[operation.each] or "")), body)
      end
    end
  end
  local last   -- names interfaces
  for _, operation in ipairs(operations) do
    if operation.section == "mmds_config" then
      last = operation
    elseif operation.section then
      send_section(operation)
    end
  end
  send_section(last)
  if options.metadata then
    send("PUT", "/mmds", assert(file.read(options.metadata)))
  end
  send("PUT", "/actions", { action_type = "InstanceStart" })
end

while not fake.closed do
  loop.park(math.huge, fake)
end
os.exit(1)   -- as after a snapshot that cannot be loaded
