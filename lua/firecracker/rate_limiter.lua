--- Rate limiters with times in seconds as well.
-- @module firecracker.rate_limiter

local errors = require "firecracker.errors"
local models = require "firecracker.api.models"
local text = require "firecracker.text"
local values = require "firecracker.config.values"

local rate_limiter = {}

local longest
for _, field in ipairs(models.TokenBucket.fields) do
  longest = field.name == "refill_time" and field.max or longest
end

local TOKENS <const> = { type = "integer", min = 0 }
local MILLISECONDS <const> = { type = "integer", min = 0, max = longest }
local SECONDS <const> = { type = "number", min = 0, max = longest // 1000 }
local BUCKETS <const> = { "bandwidth", "ops" }
local FIELDS <const> = { "size", "refill_time", "refill_seconds", "one_time_burst" }

local function refuse (field, message, ...)
  errors.raise(2, { code = "config", field = field, message = ("%s: %s"):format(field, message:format(...)) })
end

local function check_keys (path, value, names)
  if type(value) ~= "table" then
    refuse(path, "table expected, got %s", type(value))
  end
  for key in pairs(value) do
    local known = false
    for _, name in ipairs(names) do
      known = known or name == key
    end
    if not known then
      refuse(("%s.%s"):format(path, tostring(key)), "unknown key%s", text.suggest(key, names))
    end
  end
end

local function plain (path, value, record)
  local result, fitting, expected, got = values.plain(value, record)
  return fitting and result or refuse(path, "%s, got %s", expected, got)
end

-- A time that rounds to nothing would switch the limit off.
local function milliseconds (path, seconds)
  local whole = math.floor(plain(path, seconds, SECONDS) * 1000 + 0.5)
  if whole == 0 and seconds > 0 then
    refuse(path, "at least 0.001 expected, or 0 for no limit, got %s", seconds)
  end
  return whole
end

local function bucket (path, given)
  check_keys(path, given, FIELDS)
  if given.refill_time ~= nil and given.refill_seconds ~= nil then
    refuse(path .. ".refill_seconds", "not allowed beside refill_time")
  end
  return {
    size = plain(path .. ".size", given.size, TOKENS),
    refill_time = given.refill_seconds ~= nil and milliseconds(path .. ".refill_seconds", given.refill_seconds)
      or plain(path .. ".refill_time", given.refill_time, MILLISECONDS),
    one_time_burst = given.one_time_burst ~= nil and plain(path .. ".one_time_burst", given.one_time_burst, TOKENS) or nil,
  }
end

--- Make a rate limiter.
-- `fc.rate_limiter { bandwidth = { size = 1 << 20, refill_seconds = 0.5 } }` allows 1 MiB each half second. A bucket
-- of size 0 lifts the limit.
-- @tparam table buckets `bandwidth` (bytes) and `ops` (operations), each with `size` (tokens), `refill_time` (milliseconds)
-- or `refill_seconds`, and perhaps `one_time_burst` (tokens beyond the bucket, never refilled)
-- @treturn table as Firecracker takes it: `refill_time` in milliseconds
function rate_limiter.new (buckets)
  check_keys("rate_limiter", buckets, BUCKETS)
  local result = {}
  for _, name in ipairs(BUCKETS) do
    result[name] = buckets[name] ~= nil and bucket("rate_limiter." .. name, buckets[name]) or nil
  end
  return result
end

return rate_limiter
