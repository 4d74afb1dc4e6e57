"""Both readings of OmniFID on faces whose distances are known."""

from collections.abc import Callable

import pytest
import torch

from aognet.geometry.cubemap import FACES
from aognet.metrics.frechet import Moments, frechet_distance
from aognet.metrics.omnifid import omnifid_by_face, omnifid_pooled

Readings = pytest.mark.parametrize("omnifid", [omnifid_pooled, omnifid_by_face])


def features(seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)) + shift


def faces(seed: int = 0, shifts: dict[str, float] | None = None) -> dict[str, Moments]:
    """Every face looks different; ``shifts`` move the features of some."""
    return {
        face: Moments.of(features(seed + index, (shifts or {}).get(face, 0.0) + index))
        for index, face in enumerate(FACES)
    }


@Readings
def test_equal_sets_are_at_distance_0(omnifid: Callable):
    assert 0 <= omnifid(faces(), faces()) < 1e-6


@Readings
@pytest.mark.parametrize("face", ["up", "down"])
def test_a_pole_weighs_a_third(omnifid: Callable, face: str):
    assert omnifid(faces(shifts={face: 2.0}), faces()) == pytest.approx(6 * 4 / 3, rel=1e-6)


def test_the_lateral_term_is_what_each_reading_says():
    """Against features that are put together by hand."""
    generated, reference = faces(seed=100, shifts={"right": 1.5}), faces()
    pooled = [
        Moments.of(torch.cat([features(seed + i, i + (1.5 if seed and i == 1 else 0.0)) for i in range(4)]))
        for seed in (100, 0)
    ]
    single = {face: frechet_distance(generated[face], reference[face]) for face in FACES}
    poles = single["up"] + single["down"]
    assert omnifid_pooled(generated, reference) == pytest.approx((poles + frechet_distance(*pooled)) / 3, rel=1e-9)
    around = sum(single[face] for face in ("front", "right", "back", "left")) / 4
    assert omnifid_by_face(generated, reference) == pytest.approx((poles + around) / 3, rel=1e-9)
    assert omnifid_pooled(generated, reference) != pytest.approx(omnifid_by_face(generated, reference), rel=0.05)


def test_only_pooled_ignores_a_quarter_turn():
    reference = faces()
    lateral = ("front", "right", "back", "left")
    turned = reference | {face: reference[lateral[index - 1]] for index, face in enumerate(lateral)}
    assert omnifid_pooled(turned, reference) < 1e-6
    assert omnifid_by_face(turned, reference) > 1


@Readings
def test_a_missing_face_is_named(omnifid: Callable):
    """The published AOG-Net evaluation dropped the poles."""
    lateral = {face: moments for face, moments in faces().items() if face not in ("up", "down")}
    with pytest.raises(ValueError, match="got front, right, back, left$"):
        omnifid(faces(), lateral)
