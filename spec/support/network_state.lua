-- All that a network namespace, the named ones and the leases show of themselves, as text: for before and after.
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

local COMMANDS <const> = {
  "ip -o link | sed 's/ promiscuity.*//' | cut -c1-200", "ip -o -4 addr", "ip rule", "ip -6 rule", "ip route show table all",
  "nft list tables 2>/dev/null | grep fc-", "ls /run/netns",
  "tc qdisc show | grep ingress", "bridge link", "find " .. leaks.run_dir .. " -mindepth 1 2>/dev/null",
}

return function (more)
  local parts = {}
  for _, command in ipairs(COMMANDS) do
    parts[#parts + 1] = ("$ %s\n%s"):format(command, (sh(command)))
  end
  for _, command in ipairs(more or {}) do
    parts[#parts + 1] = ("$ %s\n%s"):format(command, (sh(command)))
  end
  return table.concat(parts)
end
