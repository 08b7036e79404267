--- As much YAML as Firecracker's swagger files use: block mappings and sequences, flow sequences of scalars, plain and
-- quoted scalars. What is prose (descriptions) is skipped. A bare Off stays a word: it is no boolean here.
-- yaml(text): tables and strings, numbers, booleans

local PROSE <const> = { description = true, summary = true, example = true, title = true }

local function scalar (text)
  local quoted = text:match '^"(.*)"$' or text:match "^'(.*)'$"
  if quoted then
    return quoted
  elseif text == "true" or text == "false" then
    return text == "true"
  elseif text:sub(1, 1) == "[" then
    local list = {}
    for word in text:sub(2, -2):gmatch "[^,%s]+" do
      list[#list + 1] = scalar(word)
    end
    return list
  end
  return tonumber(text) or text
end

local function lines_of (text)
  local lines = {}
  for line in text:gmatch "[^\n]*" do
    local indent, rest = line:match "^( *)(.-)%s*$"
    if rest ~= "" and rest:sub(1, 1) ~= "#" then
      lines[#lines + 1] = { indent = #indent, text = rest }
    end
  end
  return lines
end

local node

local function mapping (lines, at, indent)
  local map = {}
  while lines[at] and lines[at].indent == indent and lines[at].text:sub(1, 2) ~= "- " do
    local key, value = lines[at].text:match "^(.-):%s+(.*)$"
    if not key then
      key, value = lines[at].text:match "^(.-):$", ""
    end
    assert(key, lines[at].text)
    key = scalar(key)
    at = at + 1
    local following = lines[at]
    if PROSE[key] or value:sub(1, 1) == ">" then
      while lines[at] and lines[at].indent > indent do
        at = at + 1
      end
    elseif value ~= "" then
      map[key] = scalar(value)
    elseif following and (following.indent > indent or following.indent == indent and following.text:sub(1, 2) == "- ") then
      map[key], at = node(lines, at, following.indent)
    end
  end
  return map, at
end

function node (lines, at, indent)
  if lines[at].text:sub(1, 2) ~= "- " then
    return mapping(lines, at, indent)
  end
  local list = {}
  while lines[at] and lines[at].indent == indent and lines[at].text:sub(1, 2) == "- " do
    local rest = lines[at].text:sub(3)
    if rest:match "^[%w_$]+:" then
      lines[at] = { indent = indent + 2, text = rest }
      list[#list + 1], at = mapping(lines, at, indent + 2)
    else
      list[#list + 1] = scalar(rest)
      at = at + 1
    end
  end
  return list, at
end

return function (text)
  local lines = lines_of(text)
  local value, at = node(lines, 1, 0)
  assert(not lines[at], lines[at] and lines[at].text)
  return value
end
