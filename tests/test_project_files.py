"""What those who carry on work with: hooks, hosted checks, citation, changelog and pages name what is there."""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import aognet

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
# Scenes have a function a landscape, whose name says what it draws.
# Of PyTorch and logging
OVERRIDES = ("forward", "parameters", "train", "eval", "compile", "to", "formatMessage", "formatException")
UNDESCRIBED = ("commands", "scenes")


def test_hooks_run_programs_of_the_requirements():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {"ruff", "pyrefly"} <= {hook["entry"].split()[0] for hook in hooks}
    for hook in hooks:
        assert shutil.which(hook["entry"].split()[0], path=Path(sys.executable).parent), hook["entry"]


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
    assert "python docs/build_api.py" in page


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
    """An override may leave that to what it overrides, and ``forward`` to its shapes."""
    found = [
        (path.relative_to(ROOT).as_posix(), name, node)
        for path in sorted((ROOT / "aognet").rglob("*.py"))
        for name, node in public(ast.parse(path.read_text(encoding="utf-8")).body)
    ]
    described = {name for _, name, node in found if ast.get_docstring(node)}
    above = {name: bases_of(node) for _, name, node in found if isinstance(node, ast.ClassDef)}
    # What a protocol asks for is not said again by those who have it.
    interfaces = {name for name, bases in above.items() if "Protocol" in bases}
    for name, bases in above.items():
        above[name] = bases | interfaces | {far for base in bases for far in above.get(base, ())}

    def is_inherited(name: str) -> bool:
        owner, _, method = name.rpartition(".")
        return any(f"{base}.{method}" in described for base in above.get(owner, ())) or method in OVERRIDES

    bare = [
        f"{path}: {name}"
        for path, name, _ in found
        if path.split("/")[1] not in UNDESCRIBED and name not in described and not is_inherited(name)
    ]
    assert not bare


def bases_of(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base).partition("[")[0] for base in node.bases}


@pytest.mark.slow
def test_pages_of_all_functions_are_built_without_a_warning(tmp_path: Path):
    ran = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "build_api.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert "warn" not in ran.stderr.lower()
    front = (tmp_path / "aognet.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in front for name in aognet.__all__)
    for path in (ROOT / "aognet").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            assert (tmp_path / "/".join(parts)).with_suffix(".html").is_file()
