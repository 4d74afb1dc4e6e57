"""The nodes for ComfyUI: their schemas, the layout of their tensors, and that they paint what the command paints."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import aognet
from aognet import Panorama
from aognet.commands import generate
from aognet.errors import UserError
from aognet.io.gpano import read_gpano
from aognet.io.images import load_image
from aognet.studio.client import API
from tests.generate.painter import smooth_photo
from tests.integrations.comfy import PACK, execute, info, parameters, run_workflow, widgets
from tests.smooth import smooth_panorama, smooth_view
from tests.studio.conftest import HEIGHT
from tests.studio.running import Studio


def comfy_image(image: torch.Tensor) -> torch.Tensor:
    """[1, 3, rows, columns] in [-1, 1] as ComfyUI has it."""
    return image.add(1).div(2).permute(0, 2, 3, 1).contiguous()


PHOTO = comfy_image(smooth_photo(30, 40)[None]).mul(255).round().div(255)
BAY = comfy_image(smooth_panorama(32))


@pytest.fixture(scope="module")
def config(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings of a tiny model that paints six views in one step."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    plan = {"kind": "cube", "size": 16}
    settings = {"height": HEIGHT, "plan": plan, "face_size": 16, "sampler": {"steps": 1, "scheduler": "ddim"}}
    path.write_text(json.dumps({"checkpoint": str(streams_folder), "device": "cpu", "generator": settings}))
    return path


@pytest.fixture(scope="module")
def painter(nodes: dict[str, Any], config: Path) -> Any:
    """A tiny model in this process."""
    return execute(nodes["AognetLoadModel"], config=str(config), device="cpu")[0]


@pytest.fixture
def output(nodes: dict[str, Any], tmp_path: Path) -> Path:
    import folder_paths

    folder_paths.set_output_directory(str(tmp_path))
    return tmp_path


def test_schemas_are_whole(nodes: dict[str, Any]) -> None:
    assert len(nodes) == 9 and all(name.startswith("Aognet") for name in nodes)
    for name, node in nodes.items():
        schema = node.GET_SCHEMA()
        schema.validate()
        told = info(node)
        assert told.name == name and told.description and told.category == "360 panorama"
        known = set(told.input.get("required", {})) | set(told.input.get("optional", {}))
        taken = parameters(node)
        assert taken - {"asked"} <= known and (known == taken or "asked" in taken)
    assert info(nodes["AognetGenerate"]).output == ["IMAGE"] and info(nodes["AognetSave"]).output_node
    assert info(nodes["AognetRepaint"]).input["optional"]["mask"][0] == "MASK"
    assert None in list(widgets(nodes["AognetGenerate"]))  # a seed may change after each run


def test_no_token_is_kept_in_a_workflow(nodes: dict[str, Any]) -> None:
    assert not any("token" in name for node in nodes.values() for name in widgets(node) if name)


def test_the_pack_says_what_it_is() -> None:
    told = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert told["tool"]["comfy"]["PublisherId"] and told["tool"]["comfy"]["DisplayName"]
    assert told["project"]["version"] == aognet.__version__ and "aognet" in told["project"]["dependencies"]
    assert not any("NODE_CLASS_MAPPINGS" in path.read_text() for path in PACK.glob("*.py"))


def test_it_paints_what_the_command_paints(nodes: dict[str, Any], painter: Any, config: Path, tmp_path: Path) -> None:
    made = execute(
        nodes["AognetGenerate"], painter=painter, prompt="a yard", photo=PHOTO, seed=3, fov=80.0, negative="fog"
    )[0]
    assert made.shape == (1, HEIGHT, 2 * HEIGHT, 3) and made.dtype == torch.float32 and made.is_contiguous()
    Image.fromarray(PHOTO[0].mul(255).round().byte().numpy()).save(tmp_path / "yard.png")
    words = ["-b", config, "--image", tmp_path / "yard.png", "--prompt", "a yard", "--seed", 3, "--fov", 80]
    words += ["--name", "panorama", "--inference_out_dir", tmp_path, "inputs.negative=fog"]
    assert generate.main([*map(str, words)]) == 0
    expected = load_image(tmp_path / "panorama" / "result.png").add(1).div(2).permute(1, 2, 0)
    assert (made[0] - expected).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.slow
def test_a_studio_paints_the_same(
    nodes: dict[str, Any], studio: Studio, tiny_studio_yaml: Path, monkeypatch: Any
) -> None:
    config = json.loads(tiny_studio_yaml.read_text())["models"]["tiny"]["config"]
    painter = execute(nodes["AognetLoadModel"], config=config, device="cpu")[0]
    client = TestClient(studio.app, base_url=f"http://127.0.0.1{API}")
    there = type(execute(nodes["AognetConnectStudio"])[0])("http://127.0.0.1", client=client)

    def paints() -> bool:
        """The worker paints when the node asks whether it was cancelled."""
        for job in studio.get("/jobs")["jobs"]:
            if job["state"] == "queued":
                studio.worker.paint(job["id"])
        return False

    import comfy.model_management

    monkeypatch.setattr(comfy.model_management, "processing_interrupted", paints)
    orders = [
        ("AognetGenerate", {"prompt": "a yard", "photo": PHOTO, "seed": 3, "steps": 1, "guidance": 1.5, "pitch": 8.0}),
        ("AognetRepaint", {"panorama": BAY, "prompt": "a door", "yaw": 90.0, "radius": 40.0}),
    ]
    for name, asked in orders:
        here, away = (execute(nodes[name], painter=one, **asked)[0] for one in (painter, there))
        assert (here - away).abs().max() <= 0.5 / 255 + 1e-6


def test_a_mask_or_a_direction_is_painted_and_the_rest_stays(nodes: dict[str, Any], painter: Any) -> None:
    rounded = BAY.mul(255).round().div(255)
    mask = torch.zeros(1, 64, 128)
    mask[:, :, :40] = 1.0  # of another size than the panorama
    made = execute(nodes["AognetRepaint"], painter=painter, panorama=rounded, prompt="a door", mask=mask)[0]
    assert torch.allclose(made[:, :, 21:63], rounded[:, :, 21:63], atol=1e-6)
    assert not torch.allclose(made[:, :, :18], rounded[:, :, :18], atol=0.02)
    made = execute(nodes["AognetRepaint"], painter=painter, panorama=rounded, prompt="a door", yaw=90.0, radius=20.0)[0]
    changed = (made - rounded).abs().amax(-1)[0] > 1e-3
    assert changed[14:18, 46:50].all() and not changed[:, :32].any()
    with pytest.raises(UserError, match="mask must be one, or one for each of 1 panoramas, got 2"):
        execute(nodes["AognetRepaint"], painter=painter, panorama=rounded, mask=torch.ones(2, 32, 64))
    with pytest.raises(UserError, match="panorama must be twice as wide as high, got '30x30'|got '40x30'"):
        execute(nodes["AognetRepaint"], painter=painter, panorama=PHOTO, mask=torch.ones(1, 32, 64))


def test_a_batch_of_photographs_is_a_batch_of_panoramas(nodes: dict[str, Any], painter: Any) -> None:
    both = torch.cat([PHOTO, PHOTO.flip(2)])
    made = execute(nodes["AognetGenerate"], painter=painter, prompt="a yard", photo=both, steps=1)[0]
    alone = execute(nodes["AognetGenerate"], painter=painter, prompt="a yard", photo=both[1:], steps=1)[0]
    assert made.shape == (2, HEIGHT, 2 * HEIGHT, 3) and torch.equal(made[1:], alone)


def test_cancel_ends_it_as_comfyui_expects(nodes: dict[str, Any], painter: Any, monkeypatch: Any) -> None:
    import comfy.model_management as management

    monkeypatch.setattr(management, "processing_interrupted", lambda: True)
    with pytest.raises(management.InterruptProcessingException):
        execute(nodes["AognetGenerate"], painter=painter, prompt="a yard")


def test_views_and_cubes_look_where_the_project_looks(nodes: dict[str, Any]) -> None:
    large = comfy_image(smooth_panorama(256))
    from aognet.geometry.camera import Camera

    seen = execute(nodes["AognetView"], panorama=large, yaw=100.0, pitch=20.0, fov=70.0, width=48, height=32)[0]
    expected = comfy_image(smooth_view(Camera(100.0, 20.0, 0.0, 70.0, 48, 32)))
    assert seen.shape == (1, 32, 48, 3) and (seen - expected).abs().max() < 0.01
    faces = execute(nodes["AognetToCube"], panorama=large.repeat(2, 1, 1, 1), size=128)[0]
    assert faces.shape == (12, 128, 128, 3) and torch.equal(faces[:6], faces[6:])
    right = comfy_image(smooth_view(Camera(90.0, 0.0, 0.0, 90.0, 128, 128)))
    assert (faces[1] - right[0]).abs().max() < 0.01
    again = execute(nodes["AognetFromCube"], faces=faces)[0]
    assert again.shape == (2, 256, 512, 3) and (again - large).abs().mean() < 0.002
    with pytest.raises(UserError, match="faces must be six square images for each panorama"):
        execute(nodes["AognetFromCube"], faces=faces[:5])


def test_light_and_files(nodes: dict[str, Any], output: Path) -> None:
    light, larger = execute(nodes["AognetToHdr"], panorama=BAY, upscale=2.0).args
    assert light.shape == larger.shape == (1, 64, 128, 3) and light.min() >= 0
    made = execute(nodes["AognetSave"], panorama=light, prefix="bay/light", format="exr", holds="light")
    assert made.ui == {"images": []} and made[0] == [str(output / "bay" / "light_00001_.exr")]
    opened = Panorama.open(made[0][0])
    assert opened.encoding == "linear" and torch.allclose(opened.panorama, light[0].permute(2, 0, 1))
    assert (output / "bay" / "light_00001_.html").is_file()
    for number in (1, 2):
        made = execute(nodes["AognetSave"], panorama=BAY, prefix="bay/shown", viewer=False, description="a <bay>")
        shown = {"filename": f"shown_{number:05}_.png", "subfolder": "bay", "type": "output"}
        assert made.ui == {"images": [shown]}
    assert read_gpano(Path(made[0][0]))["ProjectionType"] == "equirectangular"
    assert Panorama.open(made[0][0]).prompt == "a <bay>" and len(list((output / "bay").iterdir())) == 4


def test_the_example_runs(nodes: dict[str, Any], config: Path, output: Path) -> None:
    seen: list[torch.Tensor] = []
    others = {
        "LoadImage": lambda: (PHOTO, torch.zeros(1, 30, 40)),
        "PreviewImage": lambda images: (seen.append(images),),
    }
    changes = {"AognetLoadModel": {"config": str(config), "device": "cpu"}}
    run_workflow(PACK / "example_workflows" / "panorama.json", nodes, others, changes)
    assert seen[0].shape == (1, 512, 768, 3)
    assert {path.name for path in output.iterdir()} == {
        *("panorama_00001_.png", "panorama_00001_.html", "panorama_light_00001_.exr", "panorama_light_00001_.html"),
    }
