"""CLIP score of embeddings whose angles are known."""

import math

import pytest
import torch

from aognet.metrics.clip_score import clip_score, embedding_similarity


def test_known_angles():
    angles = torch.tensor([0.0, 60.0, 90.0, 120.0]).deg2rad()
    images = torch.tensor([2.0, 0.0]).expand(4, 2)
    texts = 0.1 * torch.stack([angles.cos(), angles.sin()], dim=-1)
    assert embedding_similarity(images, texts).tolist() == pytest.approx([1, 0.5, 0, -0.5], abs=1e-6)
    assert clip_score(images, texts).tolist() == pytest.approx([100, 50, 0, 0], abs=1e-4)


def test_half_precision_is_compared_in_full():
    image = torch.full((1, 512), 200.0, dtype=torch.float16)
    assert embedding_similarity(image, image).item() == pytest.approx(1, abs=1e-6)
    assert math.isfinite(clip_score(image, -image).item())
