"""What `pip install` gives: all that the program needs, found from any folder, and the console command."""

import importlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from aognet.commands.program import COMMANDS
from aognet.installed import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# In a process whose only aognet is that of the wheel: what each command's --help says, and what the shipped files name.
PROBE = """
import json, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from aognet import installed
from aognet.commands.program import COMMANDS, main

assert Path(installed.__file__).is_relative_to(sys.argv[1])
codes = {}
for words in ([], *([name] for name in COMMANDS)):
    try:
        main([*words, "--help"])
    except SystemExit as stop:
        codes[" ".join(words)] = stop.code
assert "torch" not in sys.modules

from aognet.config import load_config
from aognet.evaluation.protocol import load_protocol
from aognet.generate.inference import InferenceConfig
from aognet.provenance import provenance

def texts(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, str) else [text for one in inner for text in texts(one)]

named = []
for path in installed.CONFIGS.rglob("*.yaml"):
    short = path.relative_to(installed.ROOT)
    assert installed.known_config(short) == path
    named += [text for text in texts(dict(load_config([path]).values)) if "assets" in text.split("/")]
    if path.parent.name == "evaluation":
        load_protocol(path.stem)
found = [Path(name).is_absolute() and Path(name).exists() for name in [*named, InferenceConfig().checkpoint]]
print(json.dumps([codes, found, provenance("cpu")["git"]]), file=sys.stderr)
"""


def shipped() -> dict[str, bytes]:
    """The files of config/ and assets/ by name, without hidden ones."""
    files = [path for top in ("config", "assets") for path in (ROOT / top).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; it was made from the source distribution, as a package registry would have it."""
    build = pytest.importorskip("hatchling.build", reason="needs `pip install hatchling`")
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        archive = build.build_sdist(str(folder))
        with tarfile.open(folder / archive) as file:
            file.extractall(folder, filter="data")
        patch.chdir(folder / archive.removesuffix(".tar.gz"))
        name = build.build_wheel(str(folder))
    with zipfile.ZipFile(folder / name) as file:
        file.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_holds_the_program_and_its_files_and_nothing_else(wheel: Path):
    names = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    about = {name for name in names if re.match(r"aognet-[\d.]+\.dist-info/", name)}
    carried = {f"aognet/installed_files/{name}": content for name, content in shipped().items()}
    assert len(carried) > 40
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "aognet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - about == sources | set(carried)
    assert {name: (wheel / name).read_bytes() for name in carried} == carried
    assert any(name.endswith("LICENSE") for name in about)


@pytest.mark.slow
def test_commands_and_shipped_files_are_found_from_an_empty_folder(wheel: Path, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", PROBE, str(wheel)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    codes, found, git = json.loads(ran.stderr.splitlines()[-1])
    assert codes == dict.fromkeys(["", *COMMANDS], 0)
    assert len(found) > 5 and all(found)
    assert git == {"commit": None, "dirty": None}
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_installation_paints_its_own_photographs(wheel: Path, tmp_path: Path):
    settings = ["--size=64x128", "generator.plan.size=64", "generator.sampler.steps=1", "inputs.limit=1"]
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    for words in (
        ["generate", *settings],
        ["export", "outputs/apartment", "--out", "apartment.exr", "--faces", "cube"],
    ):
        command = [sys.executable, "-P", "-m", "aognet", *words]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"outputs", "apartment.exr", "cube"}
    assert f"{wheel}/aognet/installed_files/assets/embedded" in (tmp_path / "outputs/apartment/run.json").read_text()


@pytest.mark.slow
def test_the_console_command_is_the_program(wheel: Path):
    entries = ConfigParser()
    entries.read(next(wheel.glob("*.dist-info")) / "entry_points.txt")
    module, _, name = entries["console_scripts"]["aognet"].partition(":")
    assert getattr(importlib.import_module(module), name) is importlib.import_module("aognet.commands.program").run


def test_the_users_own_config_goes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from aognet.commands.train import parse

    monkeypatch.chdir(tmp_path)
    shipped_one = Path("config/train_config.yaml")
    assert parse(["-b", str(shipped_one), "config/nope.yaml", "train_config.yaml", "x.y=1"]).base == [
        ROOT / shipped_one,
        Path("config/nope.yaml"),
        Path("train_config.yaml"),
    ]
    shipped_one.parent.mkdir()
    shipped_one.write_text("{}")
    assert parse(["-b", str(shipped_one)]).base == [shipped_one]


def requirements() -> dict[str, Requirement]:
    """The pinned versions of requirements.txt by name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {normal(one.name): one for one in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_versions_known_to_work_are_in_the_ranges_that_are_installed():
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]
    pinned = requirements()
    for line in named:
        needed = Requirement(line)
        if needed.name == "aognet":
            assert needed.extras <= set(extras), f"{line}: no such extra"
        elif normal(needed.name) in pinned:
            exact = [one.version for one in pinned[normal(needed.name)].specifier if one.operator in ("==", ">=")]
            assert all(needed.specifier.contains(version) for version in exact), line
        else:
            assert needed.name == "bitsandbytes", f"{line}: requirements.txt pins no version"  # of GPUs alone


def test_everything_that_is_imported_is_a_requirement():
    """A module that is there by chance, through another package, is not there with the next version of that."""
    from tests.test_architecture import imports_of, our_files

    modules = {"PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml"}
    named = [
        Requirement(line).name
        for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for line in lines
    ]
    known = {normal(name) for name in named} | {"lavis"}  # salesforce-lavis needs other versions of all else
    for path in our_files():
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names:
                assert normal(modules.get(top, top)) in known, f"{path.name} imports {name}"
