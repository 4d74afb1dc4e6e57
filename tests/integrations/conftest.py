"""The engine-free part of the Unity package as a program, ComfyUI's nodes, and a studio with a tiny model for them."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.comfy import nodes  # noqa: F401 - fixtures
from tests.studio.conftest import photo_file, studio, tiny_studio_yaml  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parents[2]
UNITY = ROOT / "integrations" / "unity"
HERE = Path(__file__).resolve().parent
MISSING = "needs Mono: `apt-get install mono-mcs libmono-system-net-http4.0-cil`"
QUIET = os.environ | {"MONO_DEBUG": "no-gdb-backtrace"}  # of a crash, for which it would start a debugger
FINISHED = '"finished"\n'
Compiler = Callable[..., Path]


@pytest.fixture(scope="session")
def compiled() -> Compiler:
    """Compiles C# files into a library or, as its name says, a program. Warnings are errors."""
    if shutil.which("mcs") is None or shutil.which("mono") is None:
        pytest.skip(MISSING)

    def compiled(target: Path, sources: list[Path], references: list[Path | str] = [], *options: str) -> Path:  # noqa: B006
        kind = "library" if target.suffix == ".dll" else "exe"
        # C# 7 is what Unity 2021.3 and this compiler both know.
        command = ["mcs", "-nologo", "-langversion:7", "-warnaserror", f"-target:{kind}", f"-out:{target}", *options]
        ran = subprocess.run(
            [*command, *(f"-r:{one}" for one in references), *map(str, sources)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return target

    return compiled


@pytest.fixture(scope="session")
def client_library(compiled: Compiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine-free client, compiled without any engine."""
    folder = tmp_path_factory.mktemp("unity")
    return compiled(folder / "Aognet.Client.dll", sorted((UNITY / "Client").glob("*.cs")), ["System.Net.Http.dll"])


class Client:
    """The program of unity_client/Driver.cs."""

    def __init__(self, program: Path):
        self.command = ["mono", str(program)]
        self.options: dict[str, Any] = {"env": QUIET, "cwd": program.parent}  # Mono writes reports of crashes there

    def lines(self, *words: Any, seconds: float = 300) -> list[Any]:
        """What a command says, a value a line."""
        ran = subprocess.run([*self.command, *map(str, words)], capture_output=True, timeout=seconds, **self.options)
        # Mono 6.8 itself sometimes crashes when a program has ended that used HttpClient: what stands behind the last
        # line, and the exit status, say nothing.
        said, finished, _ = ran.stdout.decode().partition(FINISHED)
        assert finished, (said + ran.stderr.decode())[-5000:]
        return [json.loads(line) for line in said.split("\n") if line]

    def line(self, *words: Any) -> Any:
        """The one value that a command says."""
        (found,) = self.lines(*words)
        return found

    def started(self, *words: Any) -> subprocess.Popen:
        """A command that runs, whose lines are read one by one."""
        return subprocess.Popen(
            [*self.command, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )


@pytest.fixture(scope="session")
def client(compiled: Compiler, client_library: Path) -> Iterator[Client]:
    """The client, run under Mono."""
    references = [client_library, "System.Net.Http.dll"]
    yield Client(compiled(client_library.with_name("Driver.exe"), [HERE / "unity_client" / "Driver.cs"], references))
