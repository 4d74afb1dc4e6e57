"""The matting Laplacian against its definition, and its laws."""

import numpy as np
import torch

from aognet.style.matting import MattingLaplacian
from tests.style.pictures import panorama
from tests.style.plain_matting import plain_laplacian

EPSILON = 1e-4


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_matrix_by_definition():
    image = drawn(3, 6, 12)
    laplacian = MattingLaplacian(image, EPSILON)
    found = laplacian(torch.eye(72, dtype=torch.float64).view(72, 6, 12)).flatten(1)
    wanted = plain_laplacian(image.permute(1, 2, 0).numpy(), EPSILON)
    assert np.allclose(found.numpy(), wanted, atol=1e-9)
    assert np.allclose(wanted, wanted.T) and np.linalg.eigvalsh(wanted).min() > -1e-9


def energy(laplacian: MattingLaplacian, values: torch.Tensor) -> torch.Tensor:
    return (values * laplacian(values)).sum()


def test_constants_cost_nothing_and_affine_maps_nearly_nothing():
    image = panorama(24).double()
    laplacian = MattingLaplacian(image)
    assert laplacian(torch.ones(1, 24, 48)).abs().max() < 1e-9
    matrix = drawn(3, 3, seed=1)
    affine = torch.tensordot(matrix, image, dims=1) + 0.3
    other = panorama(24, seed=7).double()
    assert float(energy(laplacian, affine)) < 1e-3 * float(energy(laplacian, other))
    exact = MattingLaplacian(image, 1e-9)
    assert float(energy(exact, affine)) < 1e-6 * float(energy(exact, other))


def test_it_has_no_seam():
    image, values = panorama(16).double(), panorama(16, seed=4).double()
    turned = MattingLaplacian(image.roll(5, -1))(values.roll(5, -1))
    assert torch.allclose(turned, MattingLaplacian(image)(values).roll(5, -1), atol=1e-9)


def test_the_gradient_of_its_energy_is_that_of_finite_differences():
    """2 L v, since the matrix is symmetric."""
    laplacian, values = MattingLaplacian(drawn(3, 4, 8), EPSILON), drawn(3, 4, 8, seed=2)
    for seed in range(4):
        along, step = drawn(3, 4, 8, seed=10 + seed) - 0.5, 1e-3
        change = energy(laplacian, values + step * along) - energy(laplacian, values - step * along)
        assert torch.isclose(change / (2 * step), (2 * laplacian(values) * along).sum(), rtol=1e-8)


def test_moving_nearer_solves_its_equation():
    image, values = drawn(3, 6, 12), drawn(2, 6, 12, seed=3)
    laplacian = MattingLaplacian(image, EPSILON)
    matrix = torch.eye(72, dtype=torch.float64) + 0.5 * torch.from_numpy(
        plain_laplacian(image.permute(1, 2, 0).numpy(), EPSILON)
    )
    wanted = torch.linalg.solve(matrix, values.flatten(1).T).T.view_as(values)
    found = laplacian.nearer(values, 0.5)
    assert (found - wanted).norm() < 0.05 * (values - wanted).norm(), "a few rounds are near"
    assert float(energy(laplacian, found)) < 0.5 * float(energy(laplacian, values))
    constant = torch.full((1, 6, 12), 0.4, dtype=torch.float64)
    assert torch.allclose(laplacian.nearer(constant, 5.0), constant)
