--- The command `fclua`: finds the sub-command, and says what is wrong with a command line.
-- Sub-commands load the library when they run: `--help` needs none of it, `--version` not even argparse.
-- @module firecracker.cli

local version = require "firecracker.version"

local FILES <const> = { "run", "check", "copy", "guest", "api" }   -- in the order of --help

-- Each: `name`, `summary`, `usage`, `define(command)`, `main(options)` that returns the exit status; `arguments = true`
-- where words after `--` are taken.
local function commands ()
  local list = {}
  for i, file in ipairs(FILES) do
    list[i] = require("firecracker.cli." .. file)
  end
  return list
end

local EPILOG <const> = [[
Exit status:
   0                     the guest ended, and well
   1                     something failed
   2                     the command line, the configuration or the flow is wrong
   128 + N               ended by signal N: 130 after Ctrl-C, 143 after SIGTERM]]

local function show_version ()
  return require "firecracker.cli.report".output("fclua " .. version.string .. "\n")
end

local function add_help (command)
  command:add_help {
    description = "Show this help and exit.",
    action = function ()
      os.exit(require "firecracker.cli.report".output(command:get_help() .. "\n"))
    end,
  }
end

local function parser ()
  local argparse = require "argparse"
  local top = argparse("fclua", "Starts Firecracker microVMs by a boot flow that you can edit."):epilog(EPILOG)
    :usage "Usage: fclua COMMAND [OPTION…]"
    :command_target "command"
  add_help(top)
  top:flag "--version" :description "Show the version and exit."
    :action(function ()
      os.exit(show_version())
    end)
  for _, each in ipairs(commands()) do
    local command = top:command(each.name):summary(each.summary):description(each.description or each.summary)
    command:usage("Usage: fclua " .. each.name .. " " .. each.usage)
    add_help(command)
    each.define(command)
    command:argument "surplus":args "*":hidden(true)   -- argparse would not name it
  end
  return top
end

-- What follows the first `--` belongs to the flow's script, where there is one; else argparse takes it for no option.
local function split (words)
  for i, word in ipairs(words) do
    if word == "--" then
      return table.move(words, 1, i - 1, 1, {}), table.move(words, i + 1, #words, 1, {})
    end
  end
  return words, {}
end

-- argparse takes a word that begins with "-" for an option. A number is none: it goes to the long option before it.
local function join_numbers (words)
  local joined = {}
  for i, word in ipairs(words) do
    local last = joined[#joined]
    if word == "--" then
      return table.move(words, i, #words, #joined + 1, joined)
    elseif word:find "^%-%.?%d" and last and last:find "^%-%-[^=]+$" then
      joined[#joined] = last .. "=" .. word
    else
      joined[#joined + 1] = word
    end
  end
  return joined
end

local function find (name)
  for _, each in ipairs(commands()) do
    if each.name == name then
      return each
    end
  end
end

local function refuse (message, command)
  require "firecracker.cli.report".usage(message:gsub("\nD(id you mean.*)$", " (d%1)"), command)
  return 2
end

local INTERRUPTED <const> = 128 + 2

-- Ctrl-C ends a sub-command without a word; anything else that it raises is a fault of its own.
local function call (command, options)
  local errors = require "firecracker.errors"
  local ok, result = errors.pcall(command.main, options)
  if not ok and result.code ~= "interrupted" then
    require "firecracker.cli.report".failure(result, true)
  end
  return ok and result or result.code == "interrupted" and INTERRUPTED or 1
end

--- Run a command line.
-- @tparam {string,...} words without the program's name
-- @treturn int exit status
return function (words)
  if words[1] == "--version" then
    return show_version()
  end
  local named, own, arguments = find(words[1]), words, {}
  if named and named.arguments then
    own, arguments = split(words)
  end
  local ok, options = parser():pparse(join_numbers(own))
  if not ok then
    return refuse(options, named)
  elseif options.surplus[1] then
    return refuse(("too many arguments: '%s'"):format(options.surplus[1]), named)
  end
  options.arguments = arguments
  return call(find(options.command), options)
end
