--- Guessing what a mistyped name meant.
-- @module firecracker.text

local text = {}

-- Case, "-" and "_" are what people mix up first; they do not count.
local function plain (word)
  return (word:lower():gsub("[-_]", ""))
end

-- Edits between two words: insertions, deletions, replacements and swaps of neighbours.
local function distance (a, b)
  local before, row = {}, {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local after = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local cost = math.min(row[j] + 1, after[j - 1] + 1, row[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        cost = math.min(cost, before[j - 2] + 1)
      end
      after[j] = cost
    end
    before, row = row, after
  end
  return row[#b]
end

--- Find the name a word most likely meant.
-- A third of the word may differ. A name that contains the word, or is contained in it, comes after those.
-- @param word what was written
-- @tparam {string,...} list the names there are
-- @treturn[1] string name; of equally close ones the first in the alphabet
-- @return[2] nil (none is close)
function text.closest (word, list)
  word = plain(tostring(word))
  local limit = math.max(1, #word // 3)
  local best, least
  for _, name in ipairs(list) do
    local known = plain(name)
    local cost = distance(word, known)
    if cost > limit then
      local short, long = word, known
      if #short > #long then
        short, long = long, short
      end
      cost = #short >= 3 and long:find(short, 1, true) and limit + 1 or nil
    end
    if cost and (not least or cost < least or (cost == least and name < best)) then
      best, least = name, cost
    end
  end
  return best
end

--- Word the guess for the end of a message.
-- @param word what was written
-- @tparam {string,...} list the names there are
-- @treturn string ` (did you mean 'name'?)`, or nothing
function text.suggest (word, list)
  local name = text.closest(word, list)
  return name and (" (did you mean '%s'?)"):format(name) or ""
end

return text
