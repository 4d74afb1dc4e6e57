"""Cube-edge ratio of panoramas whose faces are known."""

import pytest
import torch

from aognet.errors import UserError
from aognet.geometry.cubemap import panorama_of
from aognet.metrics.cube_edges import cube_edge_ratio
from tests.metrics import defects
from tests.smooth import smooth_panorama


def test_noise_and_smooth_colours_have_no_edges():
    assert cube_edge_ratio(defects.noise((1, 3, 256, 512))).item() == pytest.approx(1, abs=0.03)
    assert cube_edge_ratio(smooth_panorama(256)).item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("height", [32, 64, 100, 256])
def test_faces_of_one_colour_differ_at_their_edges_only(height: int):
    """Faces so fine that nothing is blended farther than to the next pixel: beside the edges is only rounding."""
    faces = torch.linspace(-1, 1, 6).view(1, 6, 1, 1, 1).expand(-1, -1, -1, 2 * height, 2 * height)
    assert cube_edge_ratio(panorama_of(faces, height)).item() > 1e6


@pytest.mark.parametrize("face", range(6))
def test_every_face_counts(face: int):
    """A face that is 0.2 brighter than its neighbours, in a panorama whose pixels differ by noise of 0.05."""
    faces = torch.zeros(1, 6, 1, 128, 128)
    faces[:, face] = 0.2
    noise = 0.05 * defects.noise((1, 1, 256, 512))
    flat, uneven = cube_edge_ratio(noise), cube_edge_ratio(noise + panorama_of(faces, 256))
    # Four of twelve edges: across them 0.2 at most, elsewhere 0.05 * 2 / sqrt(pi) on average.
    assert 1.4 < (uneven / flat).item() < 2.2


def test_a_few_rows_are_refused():
    with pytest.raises(UserError, match="at least 32 rows, got a panorama of 32x16"):
        cube_edge_ratio(torch.zeros(1, 3, 16, 32))
