"""What those who carry on work with: hooks, hosted checks, citation, changelog and pages name what is there."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import aognet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
# Scenes have a function a landscape, whose name says what it draws.
UNDESCRIBED = ("commands", "scenes", "training")
API = "pdoc aognet --docformat restructuredtext --output-directory docs/api"


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonical(one.name): one for one in wanted}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pinned_versions_lie_in_the_ranges_of_the_project():
    extras = PROJECT["optional-dependencies"]
    ranges = [
        Requirement(line) for line in (*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines))
    ]
    pinned = pins()
    for wanted in ranges:
        pin = pinned.get(canonical(wanted.name))
        if pin is not None and (exact := [one.version for one in pin.specifier if one.operator == "=="]):
            assert exact[0] in wanted.specifier, f"{pin} in requirements.txt, {wanted} in pyproject.toml"


def test_hooks_run_programs_of_the_requirements():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {"ruff", "pyrefly"} <= {hook["entry"].split()[0] for hook in hooks}
    for hook in hooks:
        assert shutil.which(hook["entry"].split()[0], path=Path(sys.executable).parent), hook["entry"]
    assert {"ruff", "pyrefly", "pre-commit", "pre-commit-hooks", "pdoc"} <= set(pins())


def test_the_hosted_check_is_the_one_of_the_repository():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    checks = workflow["jobs"]["checks"]
    supported = SpecifierSet(PROJECT["requires-python"])
    assert all(Version(version) in supported for version in checks["strategy"]["matrix"]["python"])
    assert str(supported).removeprefix(">=") in checks["strategy"]["matrix"]["python"], "the oldest is checked"
    assert any(step.get("run") == "bash .ci/run" for step in checks["steps"])


def test_the_full_check_runs_what_contributors_run():
    """The commands of CONTRIBUTING.md that check, but that CI formats nothing and leaves nothing out."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for command in ("ruff check .", "pyrefly check", "python -m pytest -n 2", "python -m pytest -n 2 -m slow"):
        assert command in page
        assert command in CI
    assert API in page


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == aognet.__version__
    assert citation["license"] == PROJECT["license"]
    assert aognet.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def public(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{owner}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


def test_public_names_are_described():
    """A method may leave that to the one that it overrides, and ``forward`` to its shapes."""
    found = [
        (path, name, ast.get_docstring(node))
        for path in sorted((ROOT / "aognet").rglob("*.py"))
        if path.relative_to(ROOT / "aognet").parts[0] not in UNDESCRIBED
        for name, node in public(ast.parse(path.read_text(encoding="utf-8")).body)
    ]
    described = {name.rpartition(".")[2] for _, name, text in found if text and "." in name} | {"forward"}
    described |= set(trainable())
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, name, text in found
        if not text and ("." not in name or name.rpartition(".")[2] not in described)
    ]
    assert not bare


def trainable() -> Iterator[str]:
    """Methods of what can be trained, described where they are asked for."""
    tree = ast.parse((ROOT / "aognet" / "training" / "trainable.py").read_text(encoding="utf-8"))
    yield from (name.rpartition(".")[2] for name, node in public(tree.body) if ast.get_docstring(node))


@pytest.mark.slow
def test_pages_of_all_functions_are_built_without_a_warning(tmp_path: Path):
    words = [*API.split()[1:-1], str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-m", "pdoc", *words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True
    )
    assert "Warn" not in ran.stderr
    for path in (ROOT / "aognet").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            assert (tmp_path / "/".join(parts)).with_suffix(".html").is_file()
