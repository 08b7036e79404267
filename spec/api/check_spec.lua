-- The comparison with a swagger file, on one that is made of the table itself and then changed.

local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"
local sh = require "spec.support.sh"

local TYPES <const> = { path = "string", table = "object", list = "array", map = "object" }

local function reference (name)
  return ('"#/definitions/%s"'):format(name)
end

-- A swagger file that says what the table says at its newest; its corrections apply to it as to the real ones.
local function swagger ()
  local lines = { 'swagger: "2.0"', "info:", "  version: 1.17.0", "paths:" }
  local function add (format, ...)
    lines[#lines + 1] = format:format(...)
  end
  local paths = {}
  for _, operation in ipairs(operations) do
    if not operation.undescribed then
      paths[operation.path] = paths[operation.path] or {}
      table.insert(paths[operation.path], operation)
    end
  end
  for path, list in pairs(paths) do
    add("  %s:", path)
    for _, operation in ipairs(list) do
      add("    %s:", operation.method:lower())
      if operation.body then
        add "      parameters:\n      - name: body\n        in: body"
        add("        required: %s\n        schema:\n          $ref: %s", not operation.optional,
          reference(operation.body == "json" and "Anything" or operation.body))
      end
      add "      responses:"
      if operation.reply then
        add("        200:\n          description: prose: with a colon\n          schema:\n            $ref: %s",
          reference(operation.reply == "json" and "Anything" or operation.reply))
      else
        add "        204:\n          description: done"
      end
    end
  end
  add "definitions:\n  Anything:\n    type: object\n    additionalProperties: true"
  for name, model in pairs(models) do
    add("  %s:\n    type: object\n    required:", name)
    for _, field in ipairs(model.fields) do
      if field.required and not name:find "^MemoryHotplug" then
        add("    - %s", field.name)
      end
    end
    add "    properties:"
    for _, field in ipairs(model.fields) do
      if not field.removed then
        add("      %s:", field.name)
        if field.model then
          add("        $ref: %s", reference(field.model))
        else
          add("        type: %s", TYPES[field.type] or field.type)
          if field.enum then
            local values = {}
            for _, value in ipairs(field.enum) do
              values[#values + 1] = value ~= "Warn" and value or nil
            end
            add("        enum: [%s]", table.concat(values, ", "))
          end
          if field.type == "list" then
            add("        items:\n          %s: %s", field.item.model and "$ref" or "type",
              field.item.model and reference(field.item.model) or field.item.type)
          elseif field.width then
            add(field.name ~= "mem_size_mib" and "        minimum: %d" or "", field.min)
            add(field.max and field.name ~= "refill_time" and "        maximum: %d" or "", field.max)
          end
        end
      end
    end
  end
  return (table.concat(lines, "\n"):gsub("enum: %[Not started, Running, Paused%]",
    "enum:\n          - Not started\n          - Running\n          - Paused"))
end

describe("api-check", function ()
  local function check (text)
    return sh.tmpdir(function (dir)
      local file <close> = assert(io.open(dir .. "/swagger.yaml", "w"))
      file:write(text):close()
      return sh("lua5.4 scripts/api-check " .. dir .. "/swagger.yaml 2>&1")
    end)
  end

  it("finds no difference to what says the same", function ()
    local out, status = check(swagger())
    assert.equal("1.17.0: 41 operations, 155 fields, 0 differences\n", out)
    assert.equal(0, status)
  end)

  for what, change in pairs {
    ["InstanceInfo.id: type: swagger integer, table string"] = { "(  InstanceInfo:.-      id:\n        type: )string", "%1integer" },
    ["NetworkInterface.mtu: min: swagger 69, table 68"] = { "minimum: 68", "minimum: 69" },
    ["Vm.state: enum: swagger Halted Paused, table Paused Resumed"] = { "%[Paused, Resumed%]", "[Paused, Halted]" },
    ["Vm.bogus: not in the table"] = { "(  Vm:.-    properties:\n)", "%1      bogus:\n        type: string\n" },
    ["Metrics.emit_id: not in the swagger"] = { "      emit_id:\n        type: boolean\n", "" },
    ["Drive.drive_id: required: swagger false, table true"] = { "    %- drive_id\n    %- is_root", "    - is_root" },
    ["PUT /vsock.body: model: swagger Vm, table Vsock"] = { '("#/definitions/)Vsock"\n      responses', '%1Vm"\n      responses' },
    ["PUT /entropy: not in the swagger"] = { "  /entropy:", "  /entropie:" },
    ["PUT /entropie: not in the table"] = { "  /entropy:", "  /entropie:" },
    ["Logger.level: enum: the correction holds no more: the server takes Warn as well"] = { "(enum: %[Off[^%]]*)%]", "%1, Warn]" },
  } do
    it("finds: " .. what, function ()
      local text, count = swagger():gsub(change[1], change[2], 1)
      assert.equal(1, count)
      local out, status = check(text)
      assert.equal(1, status, out)
      assert.is_truthy(("\n" .. out):find("\n" .. what .. "\n", 1, true), out)
    end)
  end
end)
