"""Serve the studio: ``aognet studio`` starts a web process and workers."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aognet import cli
from aognet.config import load_config
from aognet.config.plain_yaml import quoted
from aognet.errors import UserError
from aognet.installed import CONFIGS
from aognet.io.files import check_writable, made_folder

if TYPE_CHECKING:
    from aognet.studio.config import StudioConfig

DEFAULT_CONFIG = CONFIGS / "studio.yaml"
PARTS = ("serve", "web", "worker")
FLAGS = {"workers.name": "--name"}
"""What settings are called here, see `cli.flags`."""


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    """Read the command line; ``key.sub=value`` may stand anywhere."""
    parser = argparse.ArgumentParser(
        prog=program, description="Serve a page and an API that paint panoramas.", allow_abbrev=False
    )
    add = parser.add_argument
    add("-b", "--base", nargs="+", default=[], metavar="YAML", help=f"config files (default: {DEFAULT_CONFIG.name})")
    add("--host", help="address to listen on (default: this machine alone)")
    add("--port", type=int, help="port to listen on")
    add("--folder", metavar="DIR", help="where jobs, uploads and results lie")
    add("--storage", metavar="URL", help="where they lie instead, for several machines (s3://..., file:///...)")
    add("--database", metavar="URL", help="of Postgres, for several machines (default: SQLite in the folder)")
    add("--name", help="of this worker")
    add("--child", action="store_true", help=argparse.SUPPRESS)
    add(
        "overrides",
        nargs="*",
        metavar="serve|web|worker, key.sub=value",
        help="all processes (serve, if none is named) or one; settings that override the config files",
    )
    options = cli.parse_with_overrides(parser, arguments)
    named = [word for word in options.overrides if "=" not in word]
    if len(named) > 1 or not {*named} <= {*PARTS}:
        parser.error(f"expects one of {', '.join(PARTS)}, and key.sub=value; got {' '.join(named)}")
    options.part = named[0] if named else PARTS[0]
    options.overrides = [word for word in options.overrides if "=" in word]
    return options


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    options = parse(arguments, program)
    with cli.flags(options, FLAGS):
        return serve(options)


def serve(options: argparse.Namespace) -> int:
    """Run the chosen processes until they are told to end; returns the exit code."""
    if find_spec("fastapi") is None or find_spec("dbos") is None:
        raise UserError("the studio needs further packages: pip install 'aognet[studio]'")
    from aognet.studio.config import read_studio
    from aognet.studio.supervisor import end_with_parent

    base = options.base or [DEFAULT_CONFIG]
    given = {key: getattr(options, key) for key in ("host", "port", "folder", "storage", "database")} | {
        "workers.name": options.name
    }
    changes = [*(f"{key}={quoted(value)}" for key, value in given.items() if value is not None), *options.overrides]
    config = read_studio(load_config(base, changes))
    if options.child:
        end_with_parent()
    with made_folder(config.root, "folder"):
        check_writable(config.root, "folder")
        check_storage(config)
        return run_part(options, config, [*map(str, base)], changes)


def check_storage(config: "StudioConfig") -> None:
    """Raise UserError if the files of the studio cannot lie where the configuration says."""
    from aognet.studio.shared_storage import make_storage

    if config.storage.startswith("memory:"):
        raise UserError("is forgotten with each process", key="storage", value=config.storage)
    make_storage(config).check()


def run_part(options: argparse.Namespace, config: "StudioConfig", base: list[str], changes: list[str]) -> int:
    """Run the chosen processes in a folder that is there; returns the exit code."""
    if options.part == "worker":
        from aognet.studio.worker import Worker

        Worker(config).run()
    elif options.part == "web":
        from aognet.studio.web import run_web

        run_web(config)
    else:
        from aognet.studio.children import command_of
        from aognet.studio.supervisor import Supervisor
        from aognet.studio.worker_names import worker_name

        common = ["-b", *base, *changes, "--child"]
        commands = {"the web process": command_of("aognet", "studio", "web", *common)}
        for number in range(config.workers.count):
            name = worker_name(config, number)
            commands[f"worker {name}"] = command_of("aognet", "studio", "worker", *common, "--name", name)
        return Supervisor(commands).run()
    return 0
