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
    ["firecracker.api.corrections"] = "lua/firecracker/api/corrections.lua",
    ["firecracker.api.gate"] = "lua/firecracker/api/gate.lua",
    ["firecracker.api.known_bad"] = "lua/firecracker/api/known_bad.lua",
    ["firecracker.api.models"] = "lua/firecracker/api/models/init.lua",
    ["firecracker.api.models.balloon"] = "lua/firecracker/api/models/balloon.lua",
    ["firecracker.api.models.block"] = "lua/firecracker/api/models/block.lua",
    ["firecracker.api.models.boot"] = "lua/firecracker/api/models/boot.lua",
    ["firecracker.api.models.devices"] = "lua/firecracker/api/models/devices.lua",
    ["firecracker.api.models.instance"] = "lua/firecracker/api/models/instance.lua",
    ["firecracker.api.models.memory"] = "lua/firecracker/api/models/memory.lua",
    ["firecracker.api.models.network"] = "lua/firecracker/api/models/network.lua",
    ["firecracker.api.models.output"] = "lua/firecracker/api/models/output.lua",
    ["firecracker.api.models.snapshot"] = "lua/firecracker/api/models/snapshot.lua",
    ["firecracker.api.models.words"] = "lua/firecracker/api/models/words.lua",
    ["firecracker.api.operations"] = "lua/firecracker/api/operations.lua",
    ["firecracker.api.phases"] = "lua/firecracker/api/phases.lua",
    ["firecracker.cli"] = "lua/firecracker/cli/init.lua",
    ["firecracker.cli.check"] = "lua/firecracker/cli/check.lua",
    ["firecracker.cli.copy"] = "lua/firecracker/cli/copy.lua",
    ["firecracker.cli.flags"] = "lua/firecracker/cli/flags.lua",
    ["firecracker.cli.report"] = "lua/firecracker/cli/report.lua",
    ["firecracker.cli.run"] = "lua/firecracker/cli/run.lua",
    ["firecracker.config"] = "lua/firecracker/config/init.lua",
    ["firecracker.config.defaults"] = "lua/firecracker/config/defaults.lua",
    ["firecracker.config.file"] = "lua/firecracker/config/file.lua",
    ["firecracker.config.rules"] = "lua/firecracker/config/rules.lua",
    ["firecracker.config.schema"] = "lua/firecracker/config/schema.lua",
    ["firecracker.config.values"] = "lua/firecracker/config/values.lua",
    ["firecracker.drives"] = "lua/firecracker/drives.lua",
    ["firecracker.errors"] = "lua/firecracker/errors.lua",
    ["firecracker.events"] = "lua/firecracker/events.lua",
    ["firecracker.flow"] = "lua/firecracker/flow.lua",
    ["firecracker.handler"] = "lua/firecracker/handler.lua",
    ["firecracker.handlers"] = "lua/firecracker/handlers/init.lua",
    ["firecracker.handlers.fcinit"] = "lua/firecracker/handlers/fcinit.lua",
    ["firecracker.handlers.validate"] = "lua/firecracker/handlers/validate.lua",
    ["firecracker.host"] = "lua/firecracker/host.lua",
    ["firecracker.intake"] = "lua/firecracker/intake.lua",
    ["firecracker.kernel_args"] = "lua/firecracker/kernel_args.lua",
    ["firecracker.launch.by_file"] = "lua/firecracker/launch/by_file.lua",
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
    ["firecracker.machine.verbs"] = "lua/firecracker/machine/verbs.lua",
    ["firecracker.rate_limiter"] = "lua/firecracker/rate_limiter.lua",
    ["firecracker.release"] = "lua/firecracker/release.lua",
    ["firecracker.steps"] = "lua/firecracker/steps.lua",
    ["firecracker.testing"] = "lua/firecracker/testing/init.lua",
    ["firecracker.testing.deserialize"] = "lua/firecracker/testing/deserialize.lua",
    ["firecracker.testing.http"] = "lua/firecracker/testing/http.lua",
    ["firecracker.testing.json"] = "lua/firecracker/testing/json.lua",
    ["firecracker.testing.router"] = "lua/firecracker/testing/router.lua",
    ["firecracker.testing.vmm"] = "lua/firecracker/testing/vmm.lua",
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
        "csrc/llistener.c",
        "csrc/lprocess.c",
        "csrc/lreactor.c",
        "csrc/lsignals.c",
        "csrc/lstream.c",
        "csrc/lwatch.c",
        "csrc/sys/buffer.c",
        "csrc/sys/error.c",
        "csrc/sys/files.c",
        "csrc/sys/listener.c",
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
  install = { bin = { fclua = "scripts/fclua" } },
}

test = { type = "command", script = "spec/run.lua" }
