"""The model in the repository: small, complete, loaded by the code that loads Stable Diffusion, and of use."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from aognet.canvas import Canvas, MaskedView
from aognet.commands import generate
from aognet.diffusion.inpaint import ViewToPaint
from aognet.diffusion.inpaint import look as look_at
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Generator
from aognet.generate.view_journal import open_views
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.images import load_image
from aognet.methods.aognet.model import AOGNet
from aognet.methods.method import find_method, methods
from aognet.methods.outpainter import paint_views
from aognet.methods.preferred import preferred_settings
from aognet.metrics.clip_score import clip_score
from aognet.metrics.seam import wrap_gradient_ratio
from aognet.perception.clip import ClipNetwork
from aognet.perception.network import NetworkConfig
from aognet.request import Request
from aognet.scenes import make_scene

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / "assets" / "embedded"


# Scenes with seeds that no training used, as different in words as in looks.
HELD_OUT = ("beach", "snow field", "night city", "bedroom", "dunes", "forest")
SEED = 930_000
PREFERRED = preferred_settings(EMBEDDED / "aognet", find_method("aognet"))
PHOTO = Camera(width=128, height=128)
BESIDE = Camera(yaw_degrees=60.0, width=256, height=256)
SETTINGS = replace(PREFERRED, face_size=64, plan=replace(PREFERRED.plan, size=BESIDE.width))


@dataclass(frozen=True)
class HeldOut:
    """A scene's photograph on a canvas, the truth beside it and its words."""

    canvas: Canvas
    truth: Float[Tensor, "1 3 size size"]
    masked_view: MaskedView
    caption: str


@pytest.fixture(scope="module")
def model() -> AOGNet:
    return AOGNet.from_pretrained(EMBEDDED / "aognet").eval()


@pytest.fixture(scope="module")
def held_out() -> list[HeldOut]:
    found = []
    for number, kind in enumerate(HELD_OUT):
        scene = make_scene(SEED + number, 256, kind)
        panorama = torch.from_numpy(scene.image).permute(2, 0, 1)[None] * 2 - 1
        canvas = Canvas.of(panorama, Canvas.empty(256).paint(look(panorama, PHOTO), PHOTO).known)
        found.append(HeldOut(canvas, look(panorama, BESIDE), canvas.look(BESIDE), scene.caption))
    return found


@pytest.fixture(scope="module")
def continued(model: AOGNet, held_out: list[HeldOut]) -> list[Float[Tensor, "2 3 size size"]]:
    """The view beside each photograph, with the scene's own words and with those of the next scene."""
    captions = [scene.caption for scene in held_out]
    swapped = [*captions[1:], captions[0]]
    return [paint(model, scene, [own, other]) for scene, own, other in zip(held_out, captions, swapped, strict=True)]


def paint(model: AOGNet, scene: HeldOut, prompts: list[str]) -> Float[Tensor, "views 3 size size"]:
    views = [ViewToPaint(scene.canvas, BESIDE, prompt, seed=7) for prompt in prompts]
    return paint_views(model, views, look_at(views), SETTINGS)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo beach, painted as `python inference.py` paints it."""
    out = tmp_path_factory.mktemp("embedded")
    settings = [f"--image={ROOT / 'assets' / 'demo' / 'beach.jpg'}", f"--checkpoint={EMBEDDED / 'aognet'}"]
    size = ["--size", "512x1024"]
    assert (
        generate.main([*settings, *size, "--prompt", "A wide beach under a blue sky.", f"--inference_out_dir={out}"])
        == 0
    )
    return out / "beach"


def test_it_holds_nothing_but_weights_settings_and_words():
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) <= 32_000_000
    parts = {"vae", "unet", "text_encoder", "tokenizer", "image_encoder", "feature_extractor", "scheduler"}
    assert {path.name for path in EMBEDDED.iterdir() if path.is_dir()} == parts | {"upscaler", "aognet"}


def test_no_part_says_where_it_was_loaded_from():
    configs = [
        path for path in (ROOT / "assets").rglob("*.json") if "_name_or_path" in path.read_text(encoding="utf-8")
    ]
    assert not configs


def test_diffusers_own_pipeline_loads_it():
    from diffusers import StableDiffusionInpaintPipeline

    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        str(EMBEDDED), image_encoder=None, feature_extractor=None, local_files_only=True
    )
    assert pipeline.unet.config.in_channels == 17


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name, method in methods().items() if method.untrained is not None))
def test_every_method_paints_with_the_backbone_alone_as_that_prefers(name: str):
    generator = Generator(ModelConfig(str(EMBEDDED)), alone=name, device="cpu")
    assert generator.defaults.settings.sampler.steps == 4
    settings = {"plan": {"kind": "cube", "fov_degrees": 95, "size": 128}} if name == "cubediff" else {}
    panorama = generator.generate(Request("A meadow under a blue sky.", height=256, settings=settings)).panorama
    assert panorama.shape == (3, 256, 512) and panorama.std() > 0.05


@pytest.mark.slow
def test_the_panorama_is_whole_and_has_no_seam(painted: Path):
    assert open_views(painted).canvas().unknown_pixels == 0
    near = wrap_gradient_ratio(load_image(painted / "result.png")[None], 1 / 16).item()
    assert 0.8 <= near <= 1.25


@pytest.mark.slow
def test_the_continuation_keeps_to_the_colours_of_sky_and_ground(painted: Path):
    """Away from the photo too the upper half is bluer than the lower half, as it is in the photo."""
    image = load_image(painted / "result.png")
    known = open_views(painted).start().known[0, 0]
    blueness = image[2] - image[0]
    sky, ground = blueness[80:220][~known[80:220]], blueness[300:440][~known[300:440]]
    assert torch.quantile(sky, 0.5) > torch.quantile(ground, 0.5) + 0.1


@pytest.mark.slow
def test_words_change_the_picture_in_their_direction(continued: list[Tensor], held_out: list[HeldOut]):
    """The CLIP score of what was painted with a scene's own words, beside what was painted with those of another."""
    parts = ("image_encoder", "feature_extractor", "text_encoder", "tokenizer")
    clip = ClipNetwork.load(NetworkConfig("clip", str(EMBEDDED), **{part: part for part in parts}), torch.device("cpu"))
    texts = clip.texts([scene.caption for scene in held_out])
    others = texts.roll(-1, 0)
    own, swapped = (clip.features(torch.cat([views[i : i + 1] for views in continued])) for i in range(2))
    towards_own = clip_score(own, texts) - clip_score(swapped, texts)
    towards_other = clip_score(swapped, others) - clip_score(own, others)
    assert towards_own.mean() > 12
    assert towards_other.mean() > 12


@pytest.mark.slow
def test_colours_go_on_beyond_the_border_of_the_photograph(continued: list[Tensor], held_out: list[HeldOut]):
    """Before anything is blended: the mean colours of bands on both sides of the border, in thirds of its length."""
    gaps, true_gaps = [], []
    for views, scene in zip(continued, held_out, strict=True):
        known = scene.masked_view.known[0, 0]
        row = known[128]
        border = int(row.nonzero()[-1]) + 1
        assert row[:border].all()
        rows = known[:, border - 1].nonzero()[:, 0]
        for part in rows.chunk(3):
            inside = scene.truth[0, :, part, border - 12 : border - 2].mean((1, 2))
            gaps.append((views[0, :, part, border + 2 : border + 12].mean((1, 2)) - inside).abs().mean())
            true_gaps.append((scene.truth[0, :, part, border + 2 : border + 12].mean((1, 2)) - inside).abs().mean())
    assert torch.stack(gaps).mean() < torch.stack(true_gaps).mean()


@pytest.mark.slow
def test_what_is_painted_has_texture_and_is_no_fog(continued: list[Tensor], held_out: list[HeldOut]):
    """Mean differences of neighbouring pixels, where nothing was known, as shares of the truth's."""
    shares = []
    for views, scene in zip(continued, held_out, strict=True):
        known = scene.masked_view.known
        unknown = ~(known[..., 1:] | known[..., :-1])
        painted, true = (
            picture.diff(dim=-1).abs().mean(1, keepdim=True)[unknown] for picture in (views[:1], scene.truth)
        )
        shares.append(painted.mean() / true.mean())
    assert torch.stack(shares).median() > 0.6


@pytest.mark.slow
def test_the_same_seed_paints_the_same(model: AOGNet, continued: list[Tensor], held_out: list[HeldOut]):
    again = paint(model, held_out[0], [held_out[0].caption, held_out[1].caption])
    assert torch.equal(again, continued[0])
