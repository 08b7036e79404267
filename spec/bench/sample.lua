-- Statistics of samples.
local sample = {}

--- The value that a share of the samples does not exceed.
-- @tparam {number,...} list
-- @tparam number share 0.5 is the median
-- @treturn number
function sample.quantile (list, share)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(#sorted * share))]
end

--- The ratios of two lists, pair by pair.
-- @tparam {number,...} a
-- @tparam {number,...} b
-- @treturn {number,...}
function sample.ratios (a, b)
  local list = {}
  for i = 1, #a do
    list[i] = a[i] / b[i]
  end
  return list
end

return sample
