rockspec_format = "3.0"
package = "firecracker"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Starts, configures, watches and stops Firecracker microVMs",
  detailed = [[
A Lua 5.4 module with a C core, and the command fclua. Each step of a boot is a named handler;
the whole flow is a Lua script that you read, copy and edit.]],
  license = "Apache-2.0",
  labels = { "firecracker", "microvm", "kvm", "linux" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5", "argparse >= 0.7" }

-- By library alone: Debian keeps curl's header where the compiler looks and LuaRocks does not.
external_dependencies = {
  CURL = { library = "curl" },
  CJSON = { library = "cjson" },
}

-- spec/packaging_spec.lua compares these lists with the tree and with the Makefile.
build = {
  type = "builtin",
  modules = {
    ["firecracker"] = "lua/firecracker/init.lua",
    ["firecracker.api.client"] = "lua/firecracker/api/client.lua",
    ["firecracker.api.operations"] = "lua/firecracker/api/operations.lua",
    ["firecracker.cli"] = "lua/firecracker/cli/init.lua",
    ["firecracker.cli.check"] = "lua/firecracker/cli/check.lua",
    ["firecracker.cli.copy"] = "lua/firecracker/cli/copy.lua",
    ["firecracker.cli.flags"] = "lua/firecracker/cli/flags.lua",
    ["firecracker.cli.guest"] = "lua/firecracker/cli/guest.lua",
    ["firecracker.cli.report"] = "lua/firecracker/cli/report.lua",
    ["firecracker.cli.run"] = "lua/firecracker/cli/run.lua",
    ["firecracker.config"] = "lua/firecracker/config/init.lua",
    ["firecracker.config.defaults"] = "lua/firecracker/config/defaults.lua",
    ["firecracker.config.rules"] = "lua/firecracker/config/rules.lua",
    ["firecracker.config.schema"] = "lua/firecracker/config/schema.lua",
    ["firecracker.config.values"] = "lua/firecracker/config/values.lua",
    ["firecracker.errors"] = "lua/firecracker/errors.lua",
    ["firecracker.events"] = "lua/firecracker/events.lua",
    ["firecracker.flow"] = "lua/firecracker/flow.lua",
    ["firecracker.handler"] = "lua/firecracker/handler.lua",
    ["firecracker.handlers"] = "lua/firecracker/handlers/init.lua",
    ["firecracker.handlers.fcinit"] = "lua/firecracker/handlers/fcinit.lua",
    ["firecracker.handlers.validate"] = "lua/firecracker/handlers/validate.lua",
    ["firecracker.intake"] = "lua/firecracker/intake.lua",
    ["firecracker.launch.console"] = "lua/firecracker/launch/console.lua",
    ["firecracker.launch.direct"] = "lua/firecracker/launch/direct.lua",
    ["firecracker.loop"] = "lua/firecracker/loop/init.lua",
    ["firecracker.loop.keys"] = "lua/firecracker/loop/keys.lua",
    ["firecracker.loop.many"] = "lua/firecracker/loop/many.lua",
    ["firecracker.loop.outer"] = "lua/firecracker/loop/outer.lua",
    ["firecracker.loop.task"] = "lua/firecracker/loop/task.lua",
    ["firecracker.machine"] = "lua/firecracker/machine/init.lua",
    ["firecracker.machine.ending"] = "lua/firecracker/machine/ending.lua",
    ["firecracker.machine.process"] = "lua/firecracker/machine/process.lua",
    ["firecracker.steps"] = "lua/firecracker/steps.lua",
    ["firecracker.text"] = "lua/firecracker/text.lua",
    ["firecracker.undo"] = "lua/firecracker/undo.lua",
    ["firecracker.version"] = "lua/firecracker/version.lua",

    -- the flows in scripts/ are the installed ones
    ["firecracker.flows.boot"] = "scripts/boot.lua",

    ["firecracker.core"] = {
      sources = {
        "csrc/lcommon.c",
        "csrc/lcore.c",
        "csrc/lfd.c",
        "csrc/lfiles.c",
        "csrc/ljson.c",
        "csrc/lprocess.c",
        "csrc/lreactor.c",
        "csrc/lsignals.c",
        "csrc/lstream.c",
        "csrc/lwatch.c",
        "csrc/sys/buffer.c",
        "csrc/sys/error.c",
        "csrc/sys/files.c",
        "csrc/sys/process.c",
        "csrc/sys/reactor.c",
        "csrc/sys/signals.c",
        "csrc/sys/stream.c",
        "csrc/sys/unix.c",
        "csrc/sys/watch.c",
      },
      incdirs = { "csrc", "$(CJSON_INCDIR)" },
      libdirs = { "$(CJSON_LIBDIR)" },
      libraries = { "cjson" },
    },
    ["firecracker.core.http"] = {
      sources = {
        "csrc/lcommon.c",
        "csrc/lhttp.c",
        "csrc/sys/buffer.c",
        "csrc/sys/error.c",
        "csrc/sys/http.c",
        "csrc/sys/reactor.c",
        "csrc/sys/unix.c",
      },
      incdirs = { "csrc", "$(CURL_INCDIR)" },
      libdirs = { "$(CURL_LIBDIR)" },
      libraries = { "curl" },
    },
  },
  install = {
    bin = { fclua = "scripts/fclua" },
    -- beside the modules, under their own names: what `fclua guest build` runs
    lua = { ["firecracker.guest.build"] = "scripts/guest/build", ["firecracker.guest.init"] = "scripts/guest/init.c" },
  },
}

test = { type = "command", script = "spec/run.lua" }
