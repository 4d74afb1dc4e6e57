"""A small network that reads depth from panoramas of scenes: what depth_adherence.py measures with.

It learns from scenes that the program draws, turned, mirrored and blurred at random. It is made for soft pictures of
such scenes and for nothing else.
"""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from jaxtyping import Float  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from aognet.io.hdr import MAX_PIXELS, read_plane  # noqa: E402
from aognet.io.images import load_panorama, resize_panorama  # noqa: E402
from aognet.nn.circular import CircularConv2d, upsample  # noqa: E402
from aognet.nn.weights import copy_tensors, read_tensors, write_tensors  # noqa: E402

SEEN, READ = 64, 32  # rows of the panoramas that it sees, and of what it reads
BAND = slice(READ // 4, -READ // 4)  # rows within 45 degrees of the horizon
WIDTHS = (24, 48, 72, 96)
BATCH, RATE = 16, 2e-3


class Scenes(NamedTuple):
    """Panoramas in [-1, 1] and the inverse of their distances in 1/m (0: sky), at the sizes above."""

    images: Float[Tensor, "scenes 3 64 128"]
    nearness: Float[Tensor, "scenes 1 32 64"]


class DepthEstimator(nn.Module):
    """A U-Net that wraps around, with the latitude as a fourth channel. What it returns has no unit."""

    def __init__(self) -> None:
        super().__init__()
        first, *others = WIDTHS
        self.enter = CircularConv2d(4, first, 3, stride=2, padding=1)
        self.down = nn.ModuleList(_step(before, after) for before, after in zip(WIDTHS, others, strict=False))
        self.middle = _step(WIDTHS[-1], WIDTHS[-1])
        pairs = list(zip(WIDTHS, others, strict=False))[::-1]
        self.up = nn.ModuleList(_step(before + after, before) for before, after in pairs)
        self.leave = nn.Conv2d(first, 1, 1)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 1 rows columns"]:
        """Return something that grows with the nearness of things."""
        sines = torch.linspace(1, -1, images.shape[-2])[:, None].expand(len(images), 1, -1, images.shape[-1])
        features, kept = self.enter(torch.cat([images, sines], 1)), []
        for step in self.down:
            kept.append(features)
            features = step(functional.avg_pool2d(features, 2))
        features = self.middle(features)
        for step in self.up:
            features = step(torch.cat([kept.pop(), upsample(features)], 1))
        return self.leave(features)


def _step(before: int, after: int) -> nn.Module:
    layers = [CircularConv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers, CircularConv2d(after, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU())


def load_scenes(folder: Path, depth: Path) -> Scenes:
    """Read what ``misc/make_scenes.py`` wrote, in the order of the files' names."""
    files = sorted(folder.glob("scene_*.png"))
    nearness = [read_nearness(depth / f"{path.stem}.exr") for path in files]
    return Scenes(torch.stack([load_panorama(path, SEEN) for path in files]), torch.cat(nearness))


def read_nearness(path: Path) -> Float[Tensor, "1 1 32 64"]:
    """Read the inverse of the distances of a scene."""
    return resize_panorama(1 / torch.from_numpy(read_plane(path, MAX_PIXELS))[None, None], READ)


def learned(file: Path, scenes: Scenes, steps: int, seed: int = 0) -> DepthEstimator:
    """Return an estimator that learned from scenes, or what an earlier call wrote into ``file``."""
    torch.manual_seed(seed)
    network = DepthEstimator()
    if file.is_file():
        copy_tensors(read_tensors(file), network.state_dict(), file)
        return network.eval()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        images, nearness = _drawn(scenes)
        read = network(images)
        loss = unexplained(read, nearness).mean() + 0.2 * unexplained(read, nearness, slice(None)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    write_tensors(file, network.state_dict())
    return network.eval()


def _drawn(scenes: Scenes) -> Scenes:
    """Draw scenes, turn and mirror them, and blur, brighten and tint the images."""
    rows = torch.randint(len(scenes.images), (BATCH,))
    images, nearness = scenes.images[rows], scenes.nearness[rows]
    turn, ratio = int(torch.randint(READ * 2, ())), SEEN // READ
    images, nearness = images.roll(turn * ratio, -1), nearness.roll(turn, -1)
    if torch.rand(()) < 0.5:
        images, nearness = images.flip(-1), nearness.flip(-1)
    smaller = int(torch.randint(SEEN // 4, SEEN + 1, ()))
    images = resize_panorama(resize_panorama(images, smaller), SEEN)
    images = images * (1 + 0.2 * torch.randn(BATCH, 1, 1, 1)) + 0.1 * torch.randn(BATCH, 3, 1, 1)
    return Scenes(images + 0.05 * torch.randn_like(images), nearness)


def areas(rows: int) -> Float[Tensor, "rows 1"]:
    """The share of the sphere that a pixel of each row has, up to a factor."""
    return torch.cos((torch.arange(rows) + 0.5) / rows * torch.pi - torch.pi / 2)[:, None]


def unexplained(
    read: Float[Tensor, "batch 1 32 64"], truth: Float[Tensor, "batch 1 32 64"], band: slice = BAND
) -> Tensor:
    """The mean squared error of each panorama in a band, after the best scale and shift, as a share of the variance.

    This is what MiDaS learns (Ranftl et al. 2022, eq. 5), with squares. The scale is not negative. Below the band is
    the ground, the nearest of most scenes and alike in all: with it, the latitude alone would explain nearly all.
    """
    read, truth = read[..., band, :], truth[..., band, :]
    weight = areas(READ)[band].expand(truth.shape[-2:])
    weight = weight / weight.sum()

    def mean(values: Tensor) -> Tensor:
        return (values * weight).sum((-3, -2, -1), keepdim=True)

    read, truth = read - mean(read), truth - mean(truth)
    spread = mean(read.square()) * mean(truth.square())
    correlation = mean(read * truth) / (spread + 1e-8).sqrt()
    return 1 - correlation.clamp_min(0).square().flatten()


def ranks(values: Float[Tensor, "batch 1 rows columns"]) -> Tensor:
    """The place of each pixel's value among all in the band; elsewhere 0."""
    placed = torch.zeros_like(values)
    inside = values[..., BAND, :]
    placed[..., BAND, :] = inside.flatten(1).argsort().argsort().to(values).view_as(inside)
    return placed
