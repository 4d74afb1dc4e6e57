"""Every defect raises the metrics that are made for it, the more the stronger it is, and leaves the others alone."""

import pytest
import torch

from aognet.metrics.cube_edges import cube_edge_ratio
from aognet.metrics.discontinuity import discontinuity_score
from aognet.metrics.psnr import psnr
from aognet.metrics.seam import pole_gradient_ratio, wrap_gradient_ratio
from aognet.metrics.ssim import ssim
from tests.metrics import defects

SHAPE = {
    "discontinuity": discontinuity_score,
    "wrap": wrap_gradient_ratio,
    "pole": pole_gradient_ratio,
    "edges": cube_edge_ratio,
}


@pytest.mark.parametrize(
    ("defect", "raised"),
    [
        (defects.with_wrap_seam, {"discontinuity", "wrap"}),
        (defects.with_noisy_poles, {"pole"}),
        (defects.with_uneven_faces, {"edges"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_defect_is_seen_by_its_own_metrics_only(defect, raised: set[str]):
    levels = [defect(defects.scenes(), strength) for strength in (0.0, 0.02, 0.05, 0.1, 0.2)]
    for name, metric in SHAPE.items():
        scores = torch.stack([metric(level) for level in levels])
        if name in raised:
            assert (scores.diff(dim=0) > 0).all(), f"{name} must rise with {defect.__name__}: {scores}"
            assert (scores[-1] > 1.5 * scores[0]).all(), f"{name}: {scores}"
        else:
            # It may fall a little: the defect adds to the differences that the others are compared with.
            assert (scores < 1.05 * scores[0] + 0.01).all() and (scores > 0.8 * scores[0]).all(), f"{name}: {scores}"


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("damage", "strengths"),
    [
        (defects.blurred, (0.5, 1.0, 2.0, 4.0)),
        (defects.noisy, (0.02, 0.05, 0.1, 0.2)),
        (defects.tilted, (0.5, 1.0, 3.0, 9.0)),
        (defects.with_wrap_seam, (0.05, 0.1, 0.2, 0.4)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_pairs_fall_with_damage(metric, damage, strengths: tuple[float, ...]):
    clean = defects.scenes()
    scores = torch.stack([metric(clean, clean), *(metric(damage(clean, strength), clean) for strength in strengths)])
    assert (scores.diff(dim=0) < 0).all(), scores


def test_where_the_camera_stood_facing_does_not_matter():
    clean = defects.scenes()
    other = defects.noisy(clean, 0.1)
    for columns in (1, 100, 128):
        torch.testing.assert_close(pole_gradient_ratio(clean.roll(columns, -1)), pole_gradient_ratio(clean))
        torch.testing.assert_close(psnr(clean.roll(columns, -1), other.roll(columns, -1)), psnr(clean, other))
    torch.testing.assert_close(cube_edge_ratio(clean.roll(128, -1)), cube_edge_ratio(clean))
    assert not torch.allclose(wrap_gradient_ratio(clean.roll(100, -1)), wrap_gradient_ratio(clean))


@pytest.mark.parametrize("metric", SHAPE.values(), ids=SHAPE)
def test_every_panorama_of_a_batch_has_its_own_score(metric):
    clean = defects.scenes()
    torch.testing.assert_close(metric(clean), torch.cat([metric(one) for one in clean.split(1)]))
    torch.testing.assert_close(metric(clean), metric(clean.flip(-1)), msg="a mirrored panorama scores the same")


@pytest.mark.parametrize(("metric", "score"), list(zip(SHAPE.values(), (0.0, 1.0, 1.0, 1.0), strict=True)), ids=SHAPE)
def test_one_colour_has_no_seam(metric, score: float):
    assert metric(torch.full((1, 3, 64, 128), 0.3)).tolist() == pytest.approx([score], abs=1e-6)
