"""Imports run one way, and a command line answers ``--help`` before anything heavy is loaded."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import aognet
from aognet.commands.program import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
# A part may import itself and the parts of earlier rows; parts of one row do not know each other.
LAYERS = (
    {"errors"},
    {"geometry", "installed", "system"},
    {"io"},
    {"config", "provenance"},
    {"canvas", "callbacks", "request", "result"},
    {"data", "nn", "metrics", "scenes"},
    {"diffusion"},
    {"gan", "hdr", "perception", "vq"},
    {"embedded", "methods", "style"},
    {"captioning", "evaluation", "targets", "training"},
    {"generate"},
    {"studio"},
    {"cli"},
    {"commands"},
    {"__main__"},
)
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
COMMAND_LINES = [*ROOT.glob("*.py"), *(ROOT / "misc").glob("*.py")]
COMMAND_MODULES = {f"aognet.commands.{name.replace('-', '_')}" for name in COMMANDS}
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "OpenEXR", "wandb", "tensorboard", "cv2", "datasets")


def imported(text: str, package: tuple[str, ...] = ()) -> Iterator[str]:
    """Full names of all modules that a file of a package imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            # "from aognet import canvas" imports a part, "from aognet.canvas import Canvas" a name of one.
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "aognet" else [module]


@cache
def tree_of(path: Path) -> ast.Module:
    """What a file says; read once. Do not change it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """What a file of the repository imports; read once."""
    return tuple(imported(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1]))


def our_files() -> list[Path]:
    return sorted((ROOT / "aognet").rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "aognet").parts[0].removesuffix(".py")


def test_every_part_has_its_place():
    parts = {part_of(path) for path in our_files()} - {"__init__"}
    assert parts <= set(RANK), "say in LAYERS what a new part may import"


def test_imports_run_one_way():
    wrong = []
    for path in our_files():
        part = part_of(path)
        for name in imports_of(path):
            top, *rest = name.split(".")
            outside = (ROOT / f"{top}.py").exists() or top in ("misc", "benchmarks", "tests")
            another = top == "aognet" and rest and not rest[0].startswith("__") and part not in ("__init__", rest[0])
            if outside or (another and RANK[rest[0]] >= RANK[part]):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    """Nor inside functions: what two files need of each other belongs into a third."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in our_files()}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {
        name: {other for other in imports_of(path) if other in modules and other != name}
        for name, path in modules.items()
        if name != "aognet"
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from . import noise", "aognet.generate"),
        ("from ..diffusion.backbone import Backbone", "aognet.diffusion.backbone"),
        ("from .. import canvas", "aognet.canvas"),
        ("from aognet import canvas", "aognet.canvas"),
        ("def f():\n    import aognet.methods", "aognet.methods"),
    ],
)
def test_every_way_to_import_is_seen(text: str, name: str):
    assert list(imported(text, ("aognet", "generate"))) == [name]


def test_importing_the_package_imports_nothing_else():
    """What programs need is imported when it is used."""
    probe = "import sys, aognet; print([name for name in sys.modules if name.startswith('aognet.')], aognet.__all__)"
    ran = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("[] ['Control'")
    assert all(getattr(aognet, name).__name__ == name for name in aognet.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lead'"):
        aognet.lead  # noqa: B018 - asking is what fails


PROBE = """
import json, runpy, sys
heavy, loaded = {heavy}, {{}}
for words in json.loads(sys.argv[1]):
    sys.argv = [*words, "--help"]
    try:
        if words[0] == "aognet":
            runpy.run_module("aognet", run_name="__main__")
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    loaded[" ".join(words)] = [code, [name for name in heavy if name in sys.modules]]
print(json.dumps(loaded), file=sys.stderr)
"""


def test_help_loads_nothing_heavy():
    scripts = [[str(path)] for path in COMMAND_LINES if "__main__" in path.read_text(encoding="utf-8")]
    assert {"main.py", "inference.py", "exr2png.py"} <= {Path(path).name for [path] in scripts}
    commands = [*scripts, ["aognet"], *(["aognet", name] for name in COMMANDS)]
    ran = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), json.dumps(commands)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    loaded = json.loads(ran.stderr.splitlines()[-1])
    assert loaded == {" ".join(words): [0, []] for words in commands}
    assert "--checkpoint" in ran.stdout and "--prompt" in ran.stdout
    for name in COMMANDS:
        assert f"usage: aognet {name} " in ran.stdout


def test_scripts_that_are_commands_hold_nothing_but_a_call():
    """There is one place for a command line: what `aognet COMMAND` runs."""
    for path in COMMAND_LINES:
        names = set(imports_of(path))
        if any(name.startswith("aognet.commands") for name in names):
            assert names <= {"sys", "pathlib", "aognet.cli", *names & COMMAND_MODULES} and "argparse" not in names
    reached = {name for path in COMMAND_LINES for name in imports_of(path)}
    assert reached >= COMMAND_MODULES


# What every room or method has one of.
MAY_SHARE_A_NAME = {"__init__.py", "__main__.py", "model.py", "settings.py"}
CLASSES_MAY_SHARE_A_NAME: set[str] = set()


def test_no_two_modules_and_no_two_classes_share_a_name():
    """A name says what a thing is and where it is found: two of one name do neither."""
    places: dict[str, list[str]] = {}
    for path in our_files():
        place = path.relative_to(ROOT).as_posix()
        classes = (node.name for node in tree_of(path).body if isinstance(node, ast.ClassDef))
        for name in [path.name, *(name for name in classes if not name.startswith("_"))]:
            places.setdefault(name, []).append(place)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert set(twice) <= MAY_SHARE_A_NAME | CLASSES_MAY_SHARE_A_NAME, twice


# The procedural generator is data for its command, benchmarks and tests; the rest of the program does without it.
MAY_IMPORT_SCENES = {
    "aognet/commands/scenes.py",
    "benchmarks/found_views.py",
    "benchmarks/scenes.py",
    "misc/name_kinds.py",
}


def test_only_its_command_and_tests_import_the_generator_of_scenes():
    rooms = [
        *ROOT.glob("*.py"),
        *(path for room in ("aognet", "misc", "benchmarks") for path in (ROOT / room).rglob("*.py")),
    ]
    importing = {
        path.relative_to(ROOT).as_posix()
        for path in rooms
        if ROOT / "aognet" / "scenes" not in path.parents
        and any(name.startswith("aognet.scenes") for name in imports_of(path))
    }
    assert importing == MAY_IMPORT_SCENES


WALKS = {"rglob", "walk", "scandir", "listdir", "fwalk"}
# The one place that lists a user's folders, the one that keeps caches to their size, and the one that compares all that
# a command left, hidden files too.
MAY_WALK = {"aognet/io/listing.py", "aognet/io/files.py", "aognet/io/store.py", "benchmarks/fault_kinds.py"}


def test_line_feeds_alone_end_the_lines_of_files():
    """``splitlines`` ends them at characters that may stand in captions and names, too, such as U+2028 and U+0085."""
    for path in our_files():
        nodes = ast.walk(tree_of(path))
        found = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "splitlines"]
        read = [node for node in found if "read" in ast.unparse(node.value)]
        # What the trackers read is written here, in ASCII.
        assert not read or path.name == "trackers.py", f"{path.name}: split at line feeds"


@pytest.mark.parametrize("folder", ["aognet", "misc", "benchmarks", "."])
def test_one_place_walks_through_folders(folder: str):
    """What another place found, it would find by another rule: hidden files, links, kinds of images."""
    files = (ROOT / folder).glob("*.py") if folder == "." else (ROOT / folder).rglob("*.py")
    for path in files:
        tree, name = tree_of(path), path.relative_to(ROOT).as_posix()
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        found = {call.func.attr for call in calls if ast.unparse(call.func.value) != "ast"} & WALKS
        found |= {"glob" for call in calls if call.func.attr == "glob" and "**" in ast.unparse(call)}
        assert name in MAY_WALK or not found, f"{name} walks ({', '.join(found)}): aognet.io.listing does"


# What names flags of other programs: pip, git, hf, Blender.
OTHER_PROGRAMS = {
    *("aognet/diffusion/loading.py", "aognet/perception/packages.py", "aognet/provenance.py"),
    "aognet/io/preset_notes.py",
}
# The words by which run.json knows the change under way.
RECORDS = {"aognet/generate/entries.py"}


def library_files(but: set[str]) -> dict[str, Path]:
    """The files that are no command line, by name."""
    files = {path.relative_to(ROOT).as_posix(): path for path in our_files()}
    return {name: path for name, path in files.items() if part_of(path) not in ("cli", "commands") and name not in but}


def test_only_command_lines_speak_of_flags():
    """Library code names settings by their keys (`aognet.errors.Setting`), since a page asks with fields, not flags."""
    found = [
        f"{name}, line {node.lineno}: {node.value[:80]!r}"
        for name, path in library_files(OTHER_PROGRAMS | RECORDS).items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"(?<![\w-])--[a-z]", node.value)
    ]
    assert not found


# A training shows its own.
SHOW_PROGRESS = {"aognet/training/ui.py", "aognet/training/experiment.py"}


def test_only_command_lines_draw():
    """Library code tells an `aognet.callbacks.Listener` how far it is: a service has no terminal to draw a bar on."""
    drawing = [
        f"{name} imports {other}"
        for name, path in library_files(SHOW_PROGRESS).items()
        for other in imports_of(path)
        if other.split(".")[0] in ("rich", "tqdm")
    ]
    assert not drawing


def test_settings_that_are_refused_are_named_by_key():
    """Whoever asked finds the field or the line by the error's key, not by reading the message."""
    without = [
        f"{path.relative_to(ROOT)}, line {call.lineno}"
        for path in our_files()
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef) and function.name == "__post_init__"
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "UserError"
        and "key" not in {keyword.arg for keyword in call.keywords}
    ]
    assert not without
