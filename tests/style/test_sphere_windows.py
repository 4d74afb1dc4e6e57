"""Windows on the sphere: means of all that is near, whatever the column, across the wrap and the poles."""

import pytest
import torch

from aognet.geometry.sphere import pixel_directions, pixel_solid_angles
from aognet.style.sphere_windows import radius_of, sphere_mean


def plain_mean(values: torch.Tensor, radius: int) -> torch.Tensor:
    """The same by definition: every pixel of every window, by its share."""
    _, height, width = values.shape
    result = torch.zeros_like(values)
    lat = (0.5 - (torch.arange(height).double() + 0.5) / height) * torch.pi
    edges = torch.arange(width).double()
    for row in range(height):
        for column in range(width):
            total, weight = torch.zeros(len(values), dtype=torch.float64), 0.0
            for down in range(row - radius, row + radius + 1):
                at, centre = down, column
                if down < 0 or down >= height:
                    at, centre = (-1 - down if down < 0 else 2 * height - 1 - down), column + width // 2
                half = min((radius + 0.5) / float(lat[at].cos()), width / 2)
                shares = torch.zeros(width, dtype=torch.float64)
                for turn in (-1, 0, 1):
                    low = torch.maximum(edges + turn * width, edges.new_tensor(centre + 0.5 - half))
                    high = torch.minimum(edges + 1 + turn * width, edges.new_tensor(centre + 0.5 + half))
                    shares += (high - low).clamp_min(0)
                cosine = float(lat[at].cos())
                total += cosine * (values[:, at] @ (shares / shares.sum()))
                weight += cosine
            result[:, row, column] = total / weight
    return result


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_windows_by_definition(radius: int):
    values = torch.rand(2, 8, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(sphere_mean(values, radius), plain_mean(values, radius), atol=1e-12)


def test_constants_stay_and_rolls_go_through():
    values = torch.rand(2, 16, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(sphere_mean(torch.full_like(values, 0.7), 4), torch.full_like(values, 0.7))
    for shift in (1, 7, 16):
        assert torch.allclose(sphere_mean(values.roll(shift, -1), 4), sphere_mean(values, 4).roll(shift, -1))


def test_a_smooth_function_is_blurred_alike_in_all_directions():
    """The mean of a direction over a window is shorter by about the same at every latitude: windows are as wide."""
    height = 90
    directions = pixel_directions(height, 2 * height).permute(2, 0, 1)
    lengths = sphere_mean(directions, 6).norm(dim=0)
    assert float(lengths.max() - lengths.min()) < 0.006  # at the poles windows are somewhat smaller
    assert float(lengths.mean()) < 0.99
    total = sphere_mean(directions[1:2] ** 2, 6)[0] * pixel_solid_angles(height, 2 * height)[:, None]
    assert abs(float(total.sum() / (4 * torch.pi)) - 1 / 3) < 0.01


def test_radius_in_degrees():
    assert [radius_of(2.0, 256), radius_of(0.1, 256), radius_of(180.0, 16)] == [2, 1, 16]
