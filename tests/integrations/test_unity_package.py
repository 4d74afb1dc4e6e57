"""The Unity package is laid out as Unity's package manager wants it, so that a git address installs it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.version import Version
from PIL import Image

import aognet
from aognet.io.orientation_card import orientation_card
from tests.integrations.conftest import UNITY

PACKAGE = json.loads((UNITY / "package.json").read_text(encoding="utf-8"))
ASMDEFS = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(UNITY.rglob("*.asmdef"))}
META = re.compile(r"fileFormatVersion: 2\nguid: ([0-9a-f]{32})\n(\w+: yes\n)?\w+:\n", re.ASCII)
# What belongs to packages of Unity, and is left out where these are not installed.
FOREIGN = {"UnityEngine.UI", "Unity.InputSystem", "Unity.RenderPipelines.Core.Runtime"} | {
    "Unity.RenderPipelines.HighDefinition.Runtime"
}


def is_seen(path: Path) -> bool:
    """Whether Unity imports a file of an installed package. What lies in Samples~ is imported when it is copied."""
    parts = path.relative_to(UNITY).parts
    inside = parts[1:] if parts[0] == "Samples~" else parts
    return bool(inside) and not any(part.endswith("~") or part.startswith(".") for part in inside)


SEEN = [path for path in sorted(UNITY.rglob("*")) if is_seen(path)]


def guid(path: Path) -> str:
    """The id by which other files name one."""
    found = META.match(path.with_name(f"{path.name}.meta").read_text(encoding="utf-8"))
    assert found, path
    return found[1]


def test_every_file_and_folder_has_an_id_of_its_own():
    """Unity leaves out files of installed packages that have none."""
    files = [path for path in SEEN if path.suffix != ".meta"]
    assert len(files) > 40
    ids = [guid(path) for path in files]
    assert len(set(ids)) == len(ids)
    metas = {path for path in SEEN if path.suffix == ".meta"}
    assert metas == {path.with_name(f"{path.name}.meta") for path in files}, "and no .meta is left of what is gone"
    for path in files:
        meta = yaml.safe_load(path.with_name(f"{path.name}.meta").read_text(encoding="utf-8"))
        assert meta.get("folderAsset", False) == path.is_dir()
        assert (path.suffix == ".cs") == ("MonoImporter" in meta)


def test_ids_do_not_change():
    """Scenes of users name scripts by them."""
    assert guid(UNITY / "Runtime" / "PanoramaChooser.cs") == "96434fd1e38f46e73c3875c343454616"
    assert guid(UNITY / "Runtime" / "PanoramaCatalogue.cs") == "b64a8123826601fbaa2f76e4b2f7c363"


def test_the_manifest_is_one():
    assert re.fullmatch(r"[a-z0-9]+(\.[a-z0-9-]+){2,}", PACKAGE["name"])
    assert str(Version(PACKAGE["version"])) == aognet.__version__
    assert f"## {PACKAGE['version']}" in (UNITY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}\.\d", PACKAGE["unity"]) and PACKAGE["displayName"] and PACKAGE["description"]
    assert PACKAGE["license"] == "Apache-2.0"
    assert (UNITY / "LICENSE.md").read_text("utf-8") == (UNITY.parents[1] / "LICENSE").read_text("utf-8")
    assert all(Version(version) for version in PACKAGE["dependencies"].values())
    assert (
        "com.unity.ugui" in PACKAGE["dependencies"] and "com.unity.modules.imageconversion" in PACKAGE["dependencies"]
    )
    assert {"README.md", "CHANGELOG.md", "LICENSE.md"} <= {path.name for path in UNITY.iterdir()}
    assert list((UNITY / "Documentation~").glob("*.md"))


def test_samples_are_where_the_manifest_says():
    assert {sample["path"] for sample in PACKAGE["samples"]} == {
        f"Samples~/{path.name}" for path in (UNITY / "Samples~").iterdir() if path.is_dir()
    }
    assert all(sample["displayName"] and sample["description"] for sample in PACKAGE["samples"])


def test_assemblies_know_each_other_one_way():
    names = [content["name"] for content in ASMDEFS.values()]
    assert names == ["Aognet.Client", "Aognet.Editor", "Aognet.Runtime"]
    for path, content in ASMDEFS.items():
        assert content["rootNamespace"] and set(content["references"]) <= {*names, *FOREIGN}
        assert path.stem == content["name"]
        assert (content["includePlatforms"] == ["Editor"]) == (path.parent.name == "Editor")
        assert content["noEngineReferences"] == (path.parent.name == "Client")
    by_name = {content["name"]: set(content["references"]) & set(names) for content in ASMDEFS.values()}
    wanted = {"Aognet.Client": set(), "Aognet.Runtime": {"Aognet.Client"}}
    assert by_name == wanted | {"Aognet.Editor": {"Aognet.Client", "Aognet.Runtime"}}


@pytest.mark.parametrize("path", ASMDEFS, ids=lambda path: path.stem)
def test_what_is_compiled_on_a_condition_is_defined_by_a_package(path: Path):
    conditions = {
        word
        for source in path.parent.glob("*.cs")
        for line in re.findall(r"^#(?:el)?if (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
        for word in re.findall(r"\w+", line)
    }
    defined = {one["define"] for one in ASMDEFS[path]["versionDefines"]}
    assert {word for word in conditions if word.startswith("AOGNET_")} == defined
    assert all(word.startswith(("AOGNET_", "UNITY_")) or word == "ENABLE_INPUT_SYSTEM" for word in conditions)


def test_scripts_stand_in_the_namespace_of_their_assembly_and_the_file_of_their_name():
    """Unity finds a component by the class that is called as its file."""
    for path, content in ASMDEFS.items():
        for source in path.parent.glob("*.cs"):
            text = source.read_text(encoding="utf-8")
            assert f"namespace {content['rootNamespace']}\n" in text, source
            if re.search(r": (MonoBehaviour|ScriptableObject|EditorWindow|ScriptableSingleton)", text):
                assert re.search(rf"class {source.stem} : ", text), source
            assert len(text.split("\n")) <= 350, source


def test_the_sample_names_what_is_there():
    """Its ids are of files of this package, and its numbers of objects of the same file."""
    ids = {guid(path): path for path in SEEN if path.suffix != ".meta"}
    scene, catalogue = (UNITY / "Samples~" / "Chooser" / name for name in ("Chooser.unity", "Panoramas.asset"))
    named = {}
    for file in (scene, catalogue):
        text = file.read_text(encoding="utf-8")
        own = set(re.findall(r"^--- !u!\d+ &(\d+)$", text, re.MULTILINE))
        assert set(re.findall(r"{fileID: (\d+)}", text)) - {"0"} <= own
        named[file] = {ids[found].name for found in re.findall(r"guid: ([0-9a-f]{32})", text)}
        list(yaml.compose_all(re.sub(r" !u!\d+", "", text)))  # it is YAML
    assert named == {
        scene: {"PanoramaChooser.cs", "Panoramas.asset"},
        catalogue: {"PanoramaCatalogue.cs", "TestCard.png"},
    }


@pytest.mark.parametrize(
    ("file", "script"), [("Chooser.unity", "PanoramaChooser"), ("Panoramas.asset", "PanoramaCatalogue")]
)
def test_the_sample_sets_fields_that_scripts_have(file: str, script: str):
    text = (UNITY / "Samples~" / "Chooser" / file).read_text(encoding="utf-8")
    source = (UNITY / "Runtime" / f"{script}.cs").read_text(encoding="utf-8")
    behaviour = text[text.index("m_EditorClassIdentifier") :]
    fields = re.findall(r"^ +(?:- )?([a-z]\w*): ", behaviour, re.MULTILINE)
    assert fields and all(re.search(rf"public [\w<>]+ {name}\b", source) for name in fields)


def test_the_samples_card_is_the_one_of_the_exports():
    card = np.asarray(Image.open(UNITY / "Samples~" / "Chooser" / "TestCard.png").convert("RGB")) / 255
    assert float(np.abs(card - orientation_card(256).permute(1, 2, 0).numpy()).max()) <= 1 / 255
