"""Where the faces of a cube lie in one picture."""

import torch

from aognet.geometry.cube_layouts import CROSS, STRIP, VERTICAL_CROSS, laid_out
from aognet.geometry.cubemap import FACES, faces_of
from tests.smooth import smooth_panorama

SIZE = 64


def test_neighbours_of_a_cross_join_without_a_step():
    """What lies side by side in an unfolded cube is side by side on the sphere."""
    faces = faces_of(smooth_panorama(128), SIZE)
    step = float((faces[..., 1:] - faces[..., :-1]).abs().max())
    for layout, joints in ((CROSS, 5), (VERTICAL_CROSS, 5)):
        picture, found = laid_out(faces, layout)[0], 0
        rows, columns = (length // SIZE for length in picture.shape[-2:])
        for row in range(rows):
            for column in range(columns):
                here = picture[:, row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE]
                right = picture[:, row * SIZE : (row + 1) * SIZE, (column + 1) * SIZE : (column + 2) * SIZE]
                below = picture[:, (row + 1) * SIZE : (row + 2) * SIZE, column * SIZE : (column + 1) * SIZE]
                for one, other, edges in ((here, right, (-1, 0)), (here, below, (-2, 0))):
                    if other.numel() and one.any() and other.any():
                        pair = (one[..., -1], other[..., 0]) if edges[0] == -1 else (one[..., -1, :], other[..., 0, :])
                        assert float((pair[0] - pair[1]).abs().max()) < 2 * step
                        found += 1
        assert found == joints  # a cube that is unfolded hangs together by five edges


def test_a_strip_has_each_face_once():
    faces = torch.arange(6.0).view(1, 6, 1, 1, 1)
    assert [FACES[int(number)] for number in laid_out(faces, STRIP)[0, 0, 0]] == [*STRIP.rows[0]]
    assert laid_out(faces, CROSS).shape[-2:] == (3, 4) and laid_out(faces, VERTICAL_CROSS).shape[-2:] == (4, 3)


def test_where_no_face_lies_the_picture_is_0():
    cross = laid_out(torch.ones(2, 6, 3, 2, 2), CROSS)
    assert cross.shape == (2, 3, 6, 8) and float(cross.sum()) == 2 * 3 * 6 * 4
    assert not cross[..., :2, 4:].any() and not cross[..., 4:, :2].any()
