"""Oklab against published values, there and back, and colours that no display shows."""

import pytest
import torch

from aognet.style.oklab import LUMINANCE, from_oklab, to_oklab


@pytest.mark.parametrize(
    ("display", "lab"),
    [  # L, a and b of the sRGB primaries, as CSS Color 4 has them
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.62796, 0.22486, 0.12585)),
        ((0.0, 1.0, 0.0), (0.86644, -0.23389, 0.17950)),
        ((0.0, 0.0, 1.0), (0.45201, -0.03246, -0.31153)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_known_colours(display: tuple[float, ...], lab: tuple[float, ...]):
    found = to_oklab(torch.tensor(display)[:, None, None])[:, 0, 0]
    assert torch.allclose(found, torch.tensor(lab), atol=2e-4)


def test_there_and_back():
    levels = torch.arange(256) / 255
    image = torch.stack(torch.meshgrid(levels[::15], levels[::15], levels[::15], indexing="ij")).flatten(2)
    assert (from_oklab(to_oklab(image)) - image).abs().max() < 0.5 / 255


def test_what_no_display_shows_keeps_its_luminance():
    lab = torch.tensor([0.6, 0.3, 0.3])[:, None, None]
    shown = from_oklab(lab)
    assert shown.min() >= 0 and shown.max() <= 1
    weaker = from_oklab(lab * torch.tensor([1.0, 0.0, 0.0])[:, None, None])
    light = torch.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    assert light[:, 0, 0].min() < 1e-3 and light.max() - light.min() > 0.3, "as colourful as a display can show it"
    assert not torch.allclose(shown, weaker)
    from aognet.style.oklab import TO_CONES, TO_LAB

    cones = torch.linalg.inv(TO_LAB) @ lab[:, 0, 0].double()
    wanted = LUMINANCE @ (torch.linalg.inv(TO_CONES) @ cones**3)
    assert abs(float(LUMINANCE @ light[:, 0, 0].double() - wanted)) < 1e-3
