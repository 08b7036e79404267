-- Prometheus' text format (version 0.0.4), read strictly and on its own: exposition(text) gives the samples, `name{labels}` ->
-- value, and the families' types; it raises at what the format does not allow.

local NAME <const>, LABEL <const> = "^[%a_:][%w_:]*", "^[%a_][%w_]*"
local TYPES <const> = { counter = true, gauge = true, histogram = true, summary = true, untyped = true }

local function labels_of (text, at, fail)
  local labels, seen = {}, {}
  at = at + 1
  while text:sub(at, at) ~= "}" do
    local name = text:match(LABEL, at) or fail "a label's name"
    at = at + #name
    local _ = text:sub(at, at + 1) == '="' or fail '="'
    at = at + 2
    local parts = {}
    while text:sub(at, at) ~= '"' do
      local c = text:sub(at, at)
      if c == "\\" then
        c = ({ ["\\"] = "\\", ['"'] = '"', n = "\n" })[text:sub(at + 1, at + 1)] or fail "an escape"
        at = at + 1
      end
      parts[#parts + 1] = c ~= "" and c or fail "a quote"
      at = at + 1
    end
    at = at + 1
    local _ = not seen[name] or fail "each label once"
    seen[name] = true
    labels[#labels + 1] = name .. "=" .. table.concat(parts)
    if text:sub(at, at) == "," then
      at = at + 1
    elseif text:sub(at, at) ~= "}" then
      fail ", or }"
    end
  end
  table.sort(labels)
  return labels, at + 1
end

return function (text)
  assert(utf8.len(text), "not UTF-8")
  assert(text == "" or text:sub(-1) == "\n", "no newline at the end")
  local samples, types, done, current, helped = {}, {}, {}, nil, nil
  for line in text:gmatch "([^\n]*)\n" do
    local function fail (what)
      error(("%s expected in: %s"):format(what, line), 0)
    end
    local kind, name, rest = line:match "^# (%u+) ([%a_:][%w_:]*) (.+)$"
    if kind == "HELP" then
      local _ = not done[name] or fail "a family once"
      current, helped, done[name] = nil, name, true
    elseif kind == "TYPE" then
      local _ = (TYPES[rest] and not types[name] and helped == name) or fail "HELP, then one TYPE"
      current, types[name] = name, rest
    else
      name = line:match(NAME) or fail "a name"
      local _ = name == current or fail "samples of a family together"
      local at, labels = #name + 1, {}
      if line:sub(at, at) == "{" then
        labels, at = labels_of(line, at, fail)
      end
      local value = line:match("^ (%S+)$", at) or fail "a value"
      local number = tonumber(value) or ({ ["+Inf"] = math.huge, ["-Inf"] = -math.huge })[value] or fail "a number"
      local key = ("%s{%s}"):format(name, table.concat(labels, ","))
      local _ = not samples[key] or fail "a sample once"
      samples[key] = number
    end
  end
  return samples, types
end
