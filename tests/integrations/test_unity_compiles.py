"""Runtime and Editor of the Unity package compile in each of the projects that they are for.

There is no Unity here: they are compiled against the signatures in `unity_stubs`, so names and types are checked, and
which part may use which, but not what Unity does.
"""

from pathlib import Path

import pytest

from tests.integrations.conftest import HERE, UNITY, Compiler

PROJECTS = {
    "built-in": [],
    "hdrp": ["AOGNET_HDRP"],
    "input-system": ["AOGNET_INPUTSYSTEM", "ENABLE_INPUT_SYSTEM", "UNITY_2022_2_OR_NEWER"],
}
PACKAGES = {"hdrp": ["Hdrp"], "input-system": ["InputSystem"]}
UNWRITTEN = "-nowarn:67,169,414,649,660,661"  # what stubs never use or set


@pytest.fixture(scope="module")
def engine(compiled: Compiler, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Libraries of the stubs by the name of their file."""
    folder, stubs = tmp_path_factory.mktemp("engine"), HERE / "unity_stubs"
    names = {"UnityEngine": ["UnityEngine.cs", "UnityUI.cs"]}
    names |= {name: [f"{name}.cs"] for name in ("InputSystem", "Hdrp", "UnityEditor")}
    found: dict[str, Path] = {}
    for name, files in names.items():
        base = [found["UnityEngine"]] if found else []
        found[name] = compiled(folder / f"{name}.dll", [stubs / file for file in files], base, UNWRITTEN)
    return found


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_compiles(
    project: str, engine: dict[str, Path], client_library: Path, compiled: Compiler, tmp_path: Path
):
    """The runtime knows nothing of the editor, and packages are there only where a project has them."""
    defines = [f"-d:{name}" for name in PROJECTS[project]]
    known = [engine["UnityEngine"], client_library, *(engine[name] for name in PACKAGES.get(project, []))]
    runtime = compiled(tmp_path / "Aognet.Runtime.dll", sorted((UNITY / "Runtime").glob("*.cs")), known, *defines)
    editor = sorted((UNITY / "Editor").glob("*.cs"))
    compiled(tmp_path / "Aognet.Editor.dll", editor, [*known, engine["UnityEditor"], runtime], *defines)
