"""The pipeline's call gives the pixels of the command line, and what is saved or uploaded gives them again."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image

from aognet import PanoramaPipeline, load
from aognet.commands import generate
from aognet.diffusion import loading
from aognet.errors import UserError
from aognet.io.images import save_image
from tests.generate.painter import smooth_photo

HEIGHT = 32
SETTINGS = {
    "height": HEIGHT, "plan": {"kind": "cube", "size": 16}, "face_size": 16, "views_per_batch": 2,
    "sampler": {"steps": 1, "scheduler": "ddim", "guidance": 2.0}, "seed": 7,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(streams_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tiny.yaml``, ``yard.png``, and ``hall.png`` with its ``mask.png``."""
    folder = tmp_path_factory.mktemp("pipeline")
    config = {"checkpoint": str(streams_folder), "device": "cpu", "generator": SETTINGS}
    (folder / "tiny.yaml").write_text(json.dumps(config))
    save_image(smooth_photo(30, 40), folder / "yard.png")
    save_image(smooth_photo(HEIGHT, 2 * HEIGHT), folder / "hall.png")
    mask = torch.full((3, HEIGHT, 2 * HEIGHT), -1.0)
    mask[:, :, :20] = 1.0
    save_image(mask, folder / "mask.png")
    return folder


@pytest.fixture(scope="module")
def pipe(folder: Path) -> PanoramaPipeline:
    return PanoramaPipeline.from_pretrained(config=folder / "tiny.yaml")


def painted(folder: Path, into: Path, *words: Any) -> np.ndarray:
    """What the command line paints."""
    words = ("-b", folder / "tiny.yaml", "--inference_out_dir", into, *words)
    assert generate.main([*map(str, words)]) == 0
    (file,) = into.glob("*/result.png")
    return np.asarray(Image.open(file))


def same(image: Image.Image, expected: np.ndarray) -> bool:
    return np.array_equal(np.asarray(image), expected)


def test_a_photograph_as_by_the_command(pipe: PanoramaPipeline, folder: Path, tmp_path: Path) -> None:
    words = ("--image", folder / "yard.png", "--prompt", "a yard", "--fov", "80", "--pitch", "5", "--seed", "3")
    expected = painted(folder, tmp_path, *words, "--num_inference_step", "2", "--cfg_scale", "1.5")
    asked = {"prompt": "a yard", "fov": 80.0, "pitch": 5.0, "num_inference_steps": 2, "guidance_scale": 1.5}
    made = pipe(image=folder / "yard.png", generator=torch.Generator().manual_seed(3), **asked)
    assert same(made.images[0], expected) and made.panoramas[0].camera.pitch_degrees == 5
    assert made["images"] is made.images and made.panoramas[0].given.any()
    opened = Image.open(folder / "yard.png")
    (images,) = pipe(image=opened, name="yard", generator=3, return_dict=False, **asked)
    assert same(images[0], expected)
    pixels = torch.from_numpy(np.array(opened)).permute(2, 0, 1) / 255
    assert same(pipe(image=pixels, name="yard", generator=3, **asked).images[0], expected)
    assert not same(pipe(image=opened, name="yard", generator=4, **asked).images[0], expected)


def test_words_and_masks_as_by_the_command(pipe: PanoramaPipeline, folder: Path, tmp_path: Path) -> None:
    expected = painted(folder, tmp_path / "words", "--prompt", "a lake", "inputs.negative=fog")
    made = pipe("a lake", negative_prompt="fog", output_type="np")
    assert np.array_equal((made.images[0] * 255).round().astype(np.uint8), expected)
    masked = ("--panorama", folder / "hall.png", "--mask", folder / "mask.png", "--prompt", "a door")
    expected = painted(folder, tmp_path / "masked", *masked)
    made = pipe("a door", folder / "hall.png", Image.open(folder / "mask.png"))
    assert same(made.images[0], expected)
    assert np.array_equal(expected[:, 21:], np.asarray(Image.open(folder / "hall.png"))[:, 21:])


def test_several_at_once(pipe: PanoramaPipeline, folder: Path) -> None:
    yard = folder / "yard.png"
    made = pipe(["a yard", "a hall"], image=yard, generator=[1, torch.Generator().manual_seed(2)], output_type="pt")
    assert made.images.shape == (2, 3, HEIGHT, 2 * HEIGHT) and made.images.dtype == torch.float32
    alone = pipe("a hall", image=yard, generator=2, output_type="pt").images
    assert torch.equal(made.images[1], alone[0])
    twice = pipe("a hall", num_images_per_prompt=2, height=HEIGHT, output_type="pt").images
    assert len(twice) == 2 and not torch.equal(twice[0], twice[1])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt": "a", "mask_image": "m.png"}, "mask_image is of an image, and there is none"),
        ({"prompt": ["a", "b"], "image": ["x.png"]}, "prompt and image must be as many, got 1 and 2"),
        ({"prompt": "a", "generator": [1, 2]}, "generator must be one for each of 1 panoramas, got 2"),
        ({"prompt": "a", "image": torch.zeros(4, 4)}, r"image must be .*, got \(4, 4\)"),
        ({"prompt": "a", "settings": {"stepz": 3}}, "settings.stepz is an unknown key"),
        ({"prompt": "a", "image": "no.png"}, "no.png: no such file"),
        ({}, "has nothing to paint from"),
    ],
)
def test_what_cannot_be_painted_is_named(pipe: PanoramaPipeline, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        pipe(**asked)


def test_what_is_saved_paints_the_same(pipe: PanoramaPipeline, streams_folder: Path, tmp_path: Path) -> None:
    expected = pipe("a lake").images[0]
    pipe.save_pretrained(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        *("config.json", "model.safetensors", "inference.json")
    }
    again = PanoramaPipeline.from_pretrained(tmp_path / "saved", settings=["device=cpu"])
    assert again.generator.defaults == pipe.generator.defaults and again.generator.weights == pipe.generator.weights
    assert again("a lake").images[0].tobytes() == expected.tobytes()
    with pytest.raises(UserError, match="is there already; name a new folder"):
        pipe.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "inference.json").write_text('{"generator": {}, "out_dir": "/"}')
    with pytest.raises(UserError, match="inference.json: out_dir is an unknown key; known here: generator"):
        load(tmp_path / "saved")


class Hub:
    """A hub in a folder: what is uploaded is what is fetched. Nothing else of the client is replaced."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.asked = folder, []
        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", self._create)
        monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", self._upload)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self._fetch)

    def _create(self, repo_id: str, **options: Any) -> None:
        self.asked.append((repo_id, options))

    def _upload(self, *, repo_id: str, folder_path: Path, **options: Any) -> str:
        shutil.copytree(folder_path, self.folder / repo_id)
        self.asked.append((repo_id, options))
        return f"https://huggingface.co/{repo_id}/commit/1"

    def _fetch(self, repo_id: str, revision: str | None = None, **patterns: Any) -> str:
        """The folder in the client's cache, with the files that the patterns allow."""
        target = self.folder / "cache" / f"models--{repo_id.replace('/', '--')}" / "snapshots" / ("1" * 40)
        source = self.folder / repo_id
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
        for name in huggingface_hub.utils.filter_repo_objects(names, **patterns):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)
        return str(target)


def test_what_is_uploaded_paints_the_same_elsewhere(
    pipe: PanoramaPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, hub = pipe("a lake").images[0], Hub(tmp_path, monkeypatch)
    address = pipe.push_to_hub("me/panoramas", license="apache-2.0", private=True, create_pr=True)
    assert address == "https://huggingface.co/me/panoramas/commit/1"
    created, uploaded = hub.asked
    assert created == ("me/panoramas", {"private": True, "exist_ok": True})
    assert uploaded == ("me/panoramas", {"commit_message": "Upload model", "create_pr": True})
    files = {path.relative_to(tmp_path / "me/panoramas").as_posix() for path in (tmp_path / "me").rglob("*.*")}
    assert {"README.md", "config.json", "model.safetensors", "inference.json", "model_index.json"} <= files
    assert "unet/diffusion_pytorch_model.safetensors" in files
    assert {Path(name).suffix for name in files} <= {".md", ".json", ".txt", ".safetensors"}
    config = (tmp_path / "me/panoramas/config.json").read_text()
    assert str(tmp_path.parent) not in config and json.loads(config)["backbone"]["model"] == "me/panoramas"
    card = huggingface_hub.ModelCard.load(tmp_path / "me/panoramas/README.md")
    assert (card.data.license, card.data.library_name, card.data.base_model) == ("apache-2.0", "aognet", None)
    assert "aognet" in card.data.tags and 'from_pretrained("me/panoramas")' in card.text
    assert f"{HEIGHT} rows and {2 * HEIGHT} columns" in card.text
    monkeypatch.setattr(loading, "check_hub_folder", lambda: None)
    again = PanoramaPipeline.from_pretrained("me/panoramas", settings=["device=cpu"])
    assert again("a lake").images[0].tobytes() == expected.tobytes()


def test_what_cannot_be_uploaded_is_named(
    pipe: PanoramaPipeline, sd2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path, monkeypatch)
    with pytest.raises(UserError, match="repo_id must be the hub id of a model, owner/name, got 'panoramas'"):
        pipe.push_to_hub("panoramas")
    with pytest.raises(UserError, match="is a model of diffusers alone; nothing was trained to save"):
        PanoramaPipeline.from_pretrained(sd2_folder).push_to_hub("me/it")
    (tmp_path / "style.safetensors").touch()
    lora = f"loras=[{{file: {tmp_path / 'style.safetensors'}}}]"
    added = PanoramaPipeline.from_pretrained(pipe.generator.config.checkpoint, settings=[lora])
    with pytest.raises(UserError, match="backbone.loras is on this machine alone: upload it by itself"):
        added.push_to_hub("me/it")
    assert not hub.asked and not (tmp_path / "me").exists()
