"""The pages say only what is there: links, anchors, paths, commands, their flags and their settings."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from aognet.config import load_config
from aognet.errors import UserError
from tests.test_architecture import LAYERS, imports_of, our_files, part_of
from tests.test_configs import check_training, checked_inference

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for folder in (".", "docs") for path in (ROOT / folder).glob("*.md"))
PAGES += sorted(path for folder in ("aognet", "integrations") for path in (ROOT / folder).rglob("*.md"))
FOLDERS = ("aognet", "assets", "benchmarks", "config", "docs", "integrations", "misc", "tests")
LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
SCRIPT = re.compile(r"(misc/|benchmarks/)?\w+\.py")
SETTING = re.compile(r"(model|data|trainer|generator|execution|inputs|captioner)\.[a-z_.]+(=\S+)?")
# Flags of the programs that start ours: torchrun and accelerate.
FOREIGN = {"--node_rank"}
TRAINING = (
    *("train_config.yaml", "train_cubediff.yaml", "train_seamless.yaml"),
    *("embedded/unet.yaml", "embedded/ganorama.yaml"),
    *("train_text2light_global_sampler.yaml", "train_text2light_local_sampler.yaml"),
)
INFERENCE = ("inference_config.yaml", "inference_cubediff.yaml", "inference_fusion.yaml")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def outside_blocks(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def quoted(page: Path) -> list[str]:
    """What stands in backticks, each on one line."""
    return [" ".join(span.split()) for span in QUOTED.findall(outside_blocks(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that hosted viewers give to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", outside_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def dead_paths(file: Path) -> set[str]:
    """Files and folders of the repository that a text names, and that are not there."""
    words = {word.strip("`'\",:;()[]") for word in file.read_text(encoding="utf-8").split()}
    paths = {word.rstrip(".") for word in words if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./-]+", word)}
    return {path for path in paths - {"config/NAME.yaml"} if not (ROOT / path).exists()}


def dead_names(page: Path) -> set[str]:
    """Names of code files in backticks that no file has: in a room's page none of the room, else none at all."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")] + list(ROOT.glob("*.py"))
    in_room = page.is_relative_to(ROOT / "aognet")
    dead = set()
    for span in quoted(page):
        if re.fullmatch(r"[\w/-]+\.py", span):
            near = in_room and "/" not in span and not (ROOT / span).exists()
            named = [path for path in files if path.as_posix().endswith(f"/{span}")]
            if not any(path.is_relative_to(page.parent) or not near for path in named):
                dead.add(span)
    return dead


def dead_references(file: Path) -> set[str]:
    """What docstrings name as `aognet.room.name` and is neither a module nor a name at the top of one."""
    dead = set()
    for reference in re.findall(r"`~?(aognet(?:\.\w+)+)`", file.read_text(encoding="utf-8")):
        folder, names = ROOT, reference.split(".")
        while names and (folder / names[0]).is_dir():
            folder, names = folder / names[0], names[1:]
        module = folder / f"{names[0]}.py" if names else folder / "__init__.py"
        names = names[1:] if module.exists() else names
        module = module if module.exists() else folder / "__init__.py"
        if names and not re.search(rf"^(class |def )?{names[0]}\b", module.read_text(encoding="utf-8"), re.MULTILINE):
            dead.add(reference)
    return dead


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The scripts of the repository that a page runs, with their arguments."""
    blocks = [body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == "sh"]
    lines = [*"\n".join(blocks).replace("\\\n", " ").split("\n"), *quoted(page)]
    for line in lines:
        words = line.split() if line.count('"') % 2 or line.count("'") % 2 else shlex.split(line, comments=True)
        script = next((i for i, word in enumerate(words) if SCRIPT.fullmatch(word) and (ROOT / word).exists()), None)
        if script is not None:
            end = next((i for i in range(script, len(words)) if words[i] in ("&&", "|")), len(words))
            yield words[script], words[script + 1 : end]


def flags(arguments: list[str]) -> set[str]:
    return {word for word in arguments if re.fullmatch(r"--?[a-z][a-z_-]*", word)}


PROBE = """
import contextlib, io, json, runpy, sys
helps = {}
for script in sys.argv[1:]:
    sys.argv, text = [script, "--help"], io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
    helps[script] = text.getvalue()
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def known_flags() -> dict[str, set[str]]:
    """The flags of each script that a page runs with any, as its ``--help`` says."""
    scripts = sorted({script for page in PAGES for script, arguments in commands(page) if flags(arguments)})
    probe = [sys.executable, "-c", PROBE, *scripts]
    ran = subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    helps = json.loads(ran.stdout.splitlines()[-1])
    return {script: set(re.findall(r"(?<![\w-])--?[a-z][a-z_-]*", text)) for script, text in helps.items()}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_paths_lead_somewhere(page: Path):
    assert not dead_links(page)
    assert not dead_paths(page)
    assert not dead_names(page)


@pytest.mark.parametrize("folder", ["aognet", "benchmarks", "config", "misc"])
def test_code_and_configs_name_only_what_is_there(folder: str):
    files = [path for suffix in ("*.py", "*.yaml", "*.sh") for path in (ROOT / folder).rglob(suffix)]
    found = {name(path): dead for path in files if (dead := dead_paths(path) | dead_references(path))}
    assert not found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_flags_are_those_of_the_commands(page: Path, known_flags: dict[str, set[str]]):
    for script, arguments in commands(page):
        if flags(arguments):
            assert flags(arguments) <= known_flags[script], script
    alone = {span.split()[0].split("\\")[0] for span in quoted(page) if span.startswith("--")}
    assert {flag for flag in alone if flags([flag])} <= set().union(*known_flags.values()) | FOREIGN


@cache
def accepts(config: str, *overrides: str) -> str:
    """Empty if a config takes settings, else why not."""
    try:
        loaded = load_config([ROOT / "config" / config], list(overrides))
        check_training(loaded) if loaded.has("trainer") else checked_inference(loaded)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_are_those_of_the_configs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for script, arguments in commands(page):
        bases = [word.removeprefix("config/") for word in arguments if word.startswith("config/")]
        overrides = [word for word in arguments if SETTING.fullmatch(word) and "..." not in word]
        if script in ("main.py", "inference.py") and overrides and "--resume" not in arguments:
            tried = bases[:1] or (TRAINING if script == "main.py" else INFERENCE[:1])
            assert any(not accepts(config, *overrides) for config in tried), overrides
    for span in quoted(page):
        words = span.split()
        named = all(SETTING.fullmatch(word) and not word.endswith((".safetensors", "=...")) for word in words)
        if words and named:
            overrides = [word if "=" in word else f"{word}=null" for word in words]
            whole = all("=" in word for word in words)
            trains = words[0].startswith(("model.", "data.", "trainer."))
            reasons = (accepts(config, *overrides) for config in (TRAINING if trains else INFERENCE))
            assert any(not why or (not whole and "unknown key" not in why) for why in reasons), span


def test_the_page_of_the_house_has_its_layers():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| rooms |")[1].split("\n\n")[0]
    rows = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.split("\n")[2:]]
    assert rows == [set(layer) for layer in LAYERS]


def test_the_picture_of_the_house_is_true():
    """Every arrow is an import of one room by another, and every room that is no small module is in it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = next(body for kind, body in BLOCK.findall(text) if kind == "mermaid")
    arrows = set(re.findall(r"^ *(\w+) --> (\w+)$", picture, re.MULTILINE))
    rooms = set(re.findall(r"^ *(\w+)\[", picture, re.MULTILINE))
    real = {
        (part_of(path), name.split(".")[1])
        for path in our_files()
        for name in imports_of(path)
        if name.startswith("aognet.")
    }
    assert arrows <= real
    folders = {path.name for path in (ROOT / "aognet").iterdir() if (path / "__init__.py").exists()}
    assert (
        rooms
        == folders - {"config", "geometry", "io", "system"} | {"canvas"}
        == {room for arrow in arrows for room in arrow}
    )
