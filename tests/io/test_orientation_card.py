"""The test card: every direction and every face has something of its own."""

import torch

from aognet.geometry.cubemap import faces_of
from aognet.geometry.sphere import pixel_directions
from aognet.io.orientation_card import orientation_card


def test_red_is_right_green_is_up_and_blue_is_ahead():
    height = 64
    card, vectors = orientation_card(height), pixel_directions(height, 2 * height).permute(2, 0, 1)
    assert card.shape == (3, height, 2 * height) and 0 <= float(card.min()) and float(card.max()) <= 1
    plain = (card - (0.5 + 0.4 * vectors)).abs().amax(0) < 1e-3
    assert float(plain.float().mean()) > 0.6  # elsewhere lie letters, arrows and borders


def test_no_face_looks_like_another_one_turned_or_mirrored():
    faces = faces_of(orientation_card(128)[None], 64)[0]
    written = (faces - faces.mean((-2, -1), keepdim=True)).mean(1)  # without the colour
    seen = []
    for face in written:
        for turns in range(4):
            turned = face.rot90(turns)
            seen += [turned, turned.flip(-1)]
    distances = torch.cdist(torch.stack(seen).flatten(1), torch.stack(seen).flatten(1))
    distances.fill_diagonal_(torch.inf)
    assert float(distances.min()) > 1


def test_it_has_any_size():
    for height in (1, 2, 7, 48):
        assert orientation_card(height).shape == (3, height, 2 * height)
