"""What goes on over the seam: a turn of the input is a turn of the output."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from aognet.nn.circular import CircularConv2d, upsample


def image(width: int = 24) -> Tensor:
    return torch.rand(2, 3, 10, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (9, 1, 4), (4, 2, 1), (3, 2, 1), (1, 1, 0), ((5, 3), 1, (2, 1))]
)
def test_a_turn_of_the_input_turns_the_output(kernel, stride: int, padding):
    layer = CircularConv2d(3, 4, kernel, stride=stride, padding=padding)
    plain = nn.Conv2d(3, 4, kernel, stride=stride, padding=padding)
    plain.load_state_dict(layer.state_dict())
    x = image()
    expected = layer(x)
    assert expected.shape == plain(x).shape
    for columns in (1, 5, 11):
        assert_close(layer(x.roll(columns * stride, -1)), expected.roll(columns, -1), atol=1e-6, rtol=1e-6)
    if padding:
        assert not torch.allclose(plain(x.roll(stride, -1)), plain(x).roll(1, -1), atol=1e-2)


def test_it_is_the_middle_of_three_panoramas_side_by_side():
    layer = CircularConv2d(3, 4, 5, padding=2, groups=1, dilation=1)
    wide = functional.conv2d(image().repeat(1, 1, 1, 3), layer.weight, layer.bias, padding=2)
    assert_close(layer(image()), wide[..., 24:48])


def test_a_layer_that_exists_becomes_circular_and_can_be_saved_as_before():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    weights = {key: value.clone() for key, value in layer.state_dict().items()}
    before = layer(image())
    layer.__class__ = CircularConv2d
    assert all(torch.equal(value, weights[key]) for key, value in layer.state_dict().items())
    assert_close(layer(image())[..., 1:-1], before[..., 1:-1])
    assert not torch.allclose(layer(image())[..., 0], before[..., 0], atol=1e-2)


@pytest.mark.parametrize("settings", [{"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}])
def test_other_paddings_are_refused(settings: dict):
    with pytest.raises(ValueError, match="padding must be in pixels, of zeros"):
        CircularConv2d(3, 4, 3, **settings)(image())


def test_a_panorama_narrower_than_the_padding_is_refused():
    layer = CircularConv2d(3, 4, 9, padding=4)
    assert layer(image(width=4)).shape == (2, 4, 10, 4)
    with pytest.raises(ValueError, match="at most the width 3, got 4"):
        layer(image(width=3))


def test_upsampling_has_no_seam():
    x = image()
    doubled = upsample(x)
    plain = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert_close(doubled[..., 1:-1], plain[..., 1:-1])
    assert_close(upsample(x.roll(5, -1)), doubled.roll(10, -1))
    # New centres lie a quarter of an old pixel beside the old ones.
    assert_close(doubled[:, :, 0, 0], 0.75 * x[:, :, 0, 0] + 0.25 * x[:, :, 0, -1])
