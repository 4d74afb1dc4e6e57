"""The poles of a panorama, painted again as views: only the caps change, by a network that does not wrap around."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from aognet import Generator, Request
from aognet.callbacks import Cancelled
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import ControlImage
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.generator import Defaults
from aognet.geometry.sphere import pixel_latitudes
from aognet.methods.seamless.model import Seamless
from aognet.methods.seamless.poles import CAP_DEGREES, PolesToPaint, polished, words_at_pole
from aognet.methods.seamless.settings import SeamlessSettings
from aognet.request import DirectedPrompt
from tests.generate.painter import smooth_photo
from tests.slow import rest_slow
from tests.tiny import tiny_controlnet

SAMPLER = SamplerConfig(scheduler="euler", steps=4, guidance=3.0)
ROWS = 32
SETTINGS = SeamlessSettings(SAMPLER, polish="views", polish_strength=0.75)


def asked() -> PolesToPaint:
    """A panorama of which a part that reaches over the upper pole stays."""
    stays = torch.zeros(1, 1, ROWS, 2 * ROWS, dtype=torch.bool)
    stays[..., :6, :9] = True
    panorama = smooth_photo(ROWS, 2 * ROWS)[None]
    return PolesToPaint(panorama, stays, ["a sky", "a floor"], [3, 4], SAMPLER, 0.75, ROWS)


def near_poles() -> torch.Tensor:
    return (pixel_latitudes(ROWS).abs().rad2deg() > 90 - CAP_DEGREES)[:, None].expand(ROWS, 2 * ROWS)


@pytest.mark.parametrize("folder", rest_slow(["sd2_folder", "plain_folder", "sdxl_folder"]))
def test_only_the_caps_change_and_views_do_not_wrap(folder: str, request: pytest.FixtureRequest) -> None:
    config = BackboneConfig(str(request.getfixturevalue(folder)))
    given, cap = asked(), near_poles()
    found = polished(Seamless(Seamless.Config(backbone=config, poles="flip")).eval().backbone, given)
    changed = (found != given.panorama).any(1)[0]
    assert not changed[~cap].any() and not changed[given.stays[0, 0]].any()
    assert changed[cap & ~given.stays[0, 0]].float().mean() > 0.99
    # Views have edges: the network that wraps around panoramas paints them as if it did not.
    assert_close(found, polished(Backbone.load(config).eval(), given), atol=1e-5, rtol=0)
    assert torch.equal(found, polished(Backbone.load(config).eval(), asked()))
    other = polished(Backbone.load(config).eval(), replace(given, prompts=["a sky", "a lawn"]))
    changed = (found != other).any(1)[0]
    assert not changed[: ROWS // 2].any() and changed[ROWS // 2 :].any()


def test_controls_are_seen_from_inside(plain_folder: Path) -> None:
    backbone = Backbone.load(BackboneConfig(str(plain_folder))).eval()
    backbone.denoiser.controlnets.append(tiny_controlnet(backbone.denoiser.unet))
    scale = 2 ** (len(backbone.denoiser.controlnets[0].config.conditioning_embedding_out_channels) - 1)
    assert scale == backbone.latents.scale
    image = torch.linspace(0, 1, ROWS)[None, None, :, None].expand(1, 3, -1, 2 * ROWS)
    plain = polished(backbone, asked())
    controlled = [polished(backbone, replace(asked(), controls=(ControlImage(image * k, 1.0),))) for k in (1.0, 0.0)]
    assert all((one - other).abs().max() > 1e-4 for one, other in ((plain, controlled[0]), (*controlled,)))


def generator(folder: Path, settings: SeamlessSettings = SETTINGS) -> Generator:
    return Generator(ModelConfig(str(folder)), Defaults(ROWS, settings), alone="seamless", device="cpu")


def test_the_polish_is_a_recorded_step(plain_folder: Path, tmp_path: Path) -> None:
    request = Request("a yard", seed=2)
    before = generator(plain_folder, replace(SETTINGS, polish="none")).generate(request).panorama
    made = generator(plain_folder).generate(request).panorama
    cap = near_poles()
    assert torch.equal(made[:, ~cap], before[:, ~cap]) and (made - before)[:, cap].abs().mean() > 1e-3
    # Stopped within the polish, it goes on there: the panorama is not denoised again.
    stopped = generator(plain_folder)
    heard: list[str] = []

    def stop() -> bool:
        return heard[-1] == "steps at the poles"

    with pytest.raises(Cancelled, match="at the poles"):
        stopped.generate(request, tmp_path / "run", progress=lambda stage, *_: heard.append(stage), cancel=stop)
    heard.clear()
    again = stopped.generate(request, tmp_path / "run", progress=lambda stage, *_: heard.append(stage))
    assert torch.equal(again.panorama, made) and "steps" not in heard
    (tmp_path / "run" / "result.png").unlink()
    stopped.model.backbone.denoiser.forward = None
    assert torch.equal(stopped.generate(request, tmp_path / "run").panorama, made)


def test_words_near_a_pole_are_those_of_its_view() -> None:
    directed = [DirectedPrompt(*at) for at in ((90.0, 10.0, "a wall"), (0.0, 80.0, "a lamp"), (30.0, 50.0, "a beam"))]
    assert words_at_pole(directed, 90.0) == "a lamp" and words_at_pole(directed, -90.0) == ""


def test_a_strength_that_means_nothing_is_refused() -> None:
    for value in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="polish_strength must be more than 0 and at most 1, got"):
            SeamlessSettings(polish_strength=value)
