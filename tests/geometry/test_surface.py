"""A panorama has no edge: rolling what is known rolls what is made of it, at the seam as anywhere else."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from aognet.canvas import Canvas, MaskedView, filled, join
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions
from aognet.geometry.surface import PLANE, SPHERE, Plane

ROWS = 128


def partly_known(yaw: float, pitch: float = 0.0) -> MaskedView:
    """A smooth panorama of which one photograph shows a part."""
    towards = pixel_directions(ROWS, 2 * ROWS).movedim(-1, 0).float()[None]
    canvas = Canvas.empty(ROWS)
    canvas.paint_(
        Canvas.of(towards).look(Camera(yaw, pitch, 0.0, 80.0, 64, 64)).image, Camera(yaw, pitch, 0.0, 80.0, 64, 64)
    )
    return MaskedView(canvas.image, canvas.known)


def rolled(known: MaskedView, columns: int) -> MaskedView:
    return MaskedView(known.image.roll(columns, -1), known.known.roll(columns, -1))


@pytest.mark.parametrize("pitch", [0.0, 50.0, -90.0])
def test_a_photograph_across_the_seam_is_continued_like_one_ahead(pitch: float) -> None:
    known = partly_known(0.0, pitch)
    ahead = filled(known, SPHERE)
    assert torch.equal(ahead * known.known, known.image)
    for columns in (2, 50, ROWS):
        assert_close(filled(rolled(known, columns), SPHERE), ahead.roll(columns, -1), atol=1e-5, rtol=0)
    torn = filled(rolled(known, ROWS), PLANE) - filled(known, PLANE).roll(ROWS, -1)
    assert torn.abs().max() > 0.1


def test_what_is_filled_is_smooth_everywhere() -> None:
    """Also where columns meet, and where the poles are: no step is larger than those of the photograph."""
    for yaw, pitch in ((180.0, 0.0), (100.0, 60.0)):
        known = partly_known(yaw, pitch)
        made = filled(known, SPHERE)
        across = (made - made.roll(1, -1)).abs()
        assert across[..., 0].max() < 1.2 * across[..., 1:].max()
        assert made[..., 0, :].std(-1).max() < 0.15 and made[..., -1, :].std(-1).max() < 0.15


def test_nothing_and_everything_known_stay_what_they_are() -> None:
    nothing = MaskedView(torch.zeros(1, 3, ROWS, 2 * ROWS), torch.zeros(1, 1, ROWS, 2 * ROWS, dtype=torch.bool))
    assert not filled(nothing, SPHERE).any()
    everything = MaskedView(torch.rand(1, 3, ROWS, 2 * ROWS), ~nothing.known)
    assert torch.equal(filled(everything, SPHERE), everything.image)


@pytest.mark.parametrize("pitch", [0.0, 60.0])
def test_a_border_is_joined_across_the_seam_as_elsewhere(pitch: float) -> None:
    known = partly_known(0.0, pitch)
    towards = pixel_directions(ROWS, 2 * ROWS).movedim(-1, 0).float()[None]
    generated = towards * 0.5 - 0.2

    def joined(columns: int, surface: Plane) -> Tensor:
        return join(generated.roll(columns, -1), rolled(known, columns), 0.1, surface=surface)

    ahead = joined(0, SPHERE)
    assert torch.equal(ahead * known.known, known.image)
    for columns in (4, 60, ROWS):
        assert_close(joined(columns, SPHERE), ahead.roll(columns, -1), atol=1e-4, rtol=0)
    assert (joined(ROWS, PLANE) - joined(0, PLANE).roll(ROWS, -1)).abs().max() > 0.1
    # At the border the colours of the generated pixels meet the known ones.
    beside = torch.nn.functional.max_pool2d(known.known.float(), 3, 1, 1).bool() & ~known.known
    apart = [(one - filled(known, SPHERE)).abs()[beside.expand(-1, 3, -1, -1)].mean() for one in (ahead, generated)]
    assert apart[0] < 0.4 * apart[1]
