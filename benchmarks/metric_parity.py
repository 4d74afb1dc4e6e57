"""Compares the metrics here with independent implementations on the same inputs: `python benchmarks/metric_parity.py`.

Needs the packages of the tests (SciPy, torchmetrics, py360convert). Runs on one core. Prints a Markdown table: the
inputs, who computes the same, the largest relative difference of the two results, and the CPU seconds that each took
(moments of the features included). Differences of views are shares of the range of the panorama's values
instead.
"""

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# Dimensions of features, their layout as an image, samples of full rank and samples below it.
FEATURES = ((64, (1, 8, 8), 2000, 40), (512, (1, 16, 32), 2000, 100), (2048, (1, 32, 64), 4000, 200))
# Yaw, pitch and roll.
VIEWS = (
    (0.0, 0.0, 0.0),
    (30.0, 20.0, 0.0),
    (-120.0, -40.0, 0.0),
    (175.0, 0.0, 0.0),
    (0.0, 90.0, 0.0),
    (50.0, 10.0, 25.0),
)


@dataclass(frozen=True)
class Row:
    """``ours`` and ``theirs`` give the same numbers; ``scale``: what differences are divided by (None: theirs)."""

    metric: str
    inputs: str
    reference: str
    ours: "Callable[[], Tensor | float]"
    theirs: "Callable[[], Tensor | float]"
    scale: float | None = None


def features(samples: int, dim: int, seed: int) -> "Tensor":
    """Correlated features with a falling spectrum, of another mean and spread for each seed."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99)) / dim**0.5
    spectrum = torch.logspace(0, -2, dim) * (1 + 0.2 * seed)
    return 0.5 + 0.1 * seed + torch.randn(samples, dim, generator=generator) * spectrum @ mixing


def itself(dim: int) -> Any:
    """A feature network whose images are features already."""
    from torch import nn

    network: Any = nn.Flatten()
    network.num_features = dim
    return network


def frechet_rows() -> Iterator[Row]:
    from aognet.metrics.frechet import Moments, frechet_distance

    for dim, shape, many, few in FEATURES:
        for samples in (many, few):
            a, b = features(samples, dim, 0), features(samples, dim, 1)
            inputs = f"{samples} x {dim} features" + ("" if samples > dim else ", below full rank")

            def ours(a: "Tensor" = a, b: "Tensor" = b) -> float:
                return frechet_distance(Moments.of(a), Moments.of(b))

            def scipy(a: "Tensor" = a, b: "Tensor" = b) -> float:
                return frechet_by_scipy(a.double().numpy(), b.double().numpy())

            def torchmetrics(a: "Tensor" = a, b: "Tensor" = b, shape: tuple[int, int, int] = shape) -> float:
                return frechet_by_torchmetrics(a, b, shape)

            yield Row("Fréchet distance", inputs, "scipy.linalg.sqrtm", ours, scipy)
            yield Row("Fréchet distance", inputs, "torchmetrics", ours, torchmetrics)


def frechet_by_scipy(a: "np.ndarray", b: "np.ndarray") -> float:
    """As the paper writes it."""
    import numpy as np
    from scipy import linalg

    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second).real
    apart = np.square(a.mean(0) - b.mean(0)).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * np.trace(root))


def frechet_by_torchmetrics(a: "Tensor", b: "Tensor", shape: tuple[int, int, int]) -> float:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    theirs = FrechetInceptionDistance(feature=itself(a.shape[1]), input_img_size=shape).set_dtype(torch.float64)
    theirs.update(a.double().unflatten(1, shape), real=True)
    theirs.update(b.double().unflatten(1, shape), real=False)
    return float(theirs.compute())


def distribution_rows() -> Iterator[Row]:
    import torch
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    from aognet.metrics.inception_score import ClassSums
    from aognet.metrics.kernel import kernel_distance

    a, b = features(1000, 2048, 0), features(1000, 2048, 1)

    def kernel() -> float:
        theirs = KernelInceptionDistance(feature=itself(2048), subsets=1, subset_size=1000)
        theirs.update(a.double(), real=True)
        theirs.update(b.double(), real=False)
        return float(theirs.compute()[0])

    inputs = "1000 x 2048 features, one subset of all"
    yield Row("kernel distance", inputs, "torchmetrics", lambda: kernel_distance(a, b, 1).mean, kernel)
    logits = 3 * torch.randn(5000, 1008, generator=torch.Generator().manual_seed(0))

    def score() -> float:
        theirs = InceptionScore(feature=itself(1008), splits=1)
        theirs.update(logits.double())
        return float(theirs.compute()[0])

    def ours() -> float:
        return ClassSums.of(logits, torch.arange(len(logits)), 1).score().mean

    yield Row("Inception Score", "5000 x 1008 logits, one split", "torchmetrics", ours, score)


def image_rows() -> Iterator[Row]:
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    from aognet.metrics.discontinuity import discontinuity_score
    from aognet.metrics.psnr import psnr
    from aognet.metrics.ssim import ssim
    from tests.metrics import defects
    from tests.metrics.test_discontinuity import plain_score

    clean = defects.scenes()
    damaged = defects.noisy(defects.blurred(clean, 1.0), 0.1).clamp(-1, 1)
    inputs = f"{len(clean)} panoramas of 256x512, blurred and noisy"
    options: dict[str, Any] = {"data_range": 2.0, "reduction": "none"}

    def their_psnr() -> "Tensor":
        return peak_signal_noise_ratio(damaged, clean, dim=(1, 2, 3), **options)

    def their_ssim() -> Any:
        # It counts luminance from 0, where black has to be.
        return structural_similarity_index_measure(damaged + 1, clean + 1, **options)

    def plain() -> "Tensor":
        return torch.tensor([plain_score(one, 0.1) for one in damaged])

    yield Row("PSNR", inputs, "torchmetrics", lambda: psnr(damaged, clean), their_psnr)
    yield Row("SSIM", inputs, "torchmetrics", lambda: ssim(damaged, clean), their_ssim)
    yield Row("Discontinuity Score", inputs, "plain loops", lambda: discontinuity_score(damaged), plain)


def clip_rows() -> Iterator[Row]:
    """The embedded model on pictures of the size it reads, so that no resizing differs."""
    import torch
    from torchmetrics.functional.multimodal import clip_score as their_score

    from aognet.geometry.cubemap import faces_of
    from aognet.metrics.clip_score import clip_score
    from aognet.perception.load_network import load_network
    from aognet.perception.network import EMBEDDED
    from tests.metrics import defects

    folder = ROOT / EMBEDDED.model
    network, theirs = load_network(replace(EMBEDDED, model=str(folder)), torch.device("cpu")), Transformers(folder)
    pair: Any = lambda: (theirs, theirs.prepare)  # noqa: E731 (what torchmetrics takes, it does not say)
    pictures = faces_of(defects.scenes(), 128)[:, 0]
    captions = defects.captions()
    levels = ((pictures + 1) * 127.5).round().to(torch.uint8)

    def ours() -> float:
        return float(clip_score(network.features(levels / 127.5 - 1), network.texts(captions)).mean())

    def score() -> float:
        # One pair at a time: torchmetrics cuts the mean over the pairs at 0, not every pair.
        pairs = zip(levels, captions, strict=True)
        return fmean(float(their_score(one, said, pair)) for one, said in pairs)

    yield Row(
        "CLIP score", f"{len(pictures)} pictures of 128x128 and captions", "torchmetrics, transformers", ours, score
    )


class Transformers:
    """The embedded CLIP by transformers alone, with the methods that torchmetrics calls."""

    def __init__(self, folder: Path):
        from transformers import (
            AutoTokenizer,
            CLIPImageProcessorPil,
            CLIPTextModelWithProjection,
            CLIPVisionModelWithProjection,
        )

        self.vision = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder").eval()
        self.text = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder").eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.processor: Any = CLIPImageProcessorPil.from_pretrained(folder / "feature_extractor")
        self.config = self.text.config

    def to(self, device: object) -> "Transformers":
        return self

    def prepare(self, images: "list[Tensor] | None" = None, text: list[str] | None = None, **options: object) -> dict:
        """As a CLIPProcessor does."""
        if text is not None:
            return self.tokenizer(text, **options)
        return self.processor(
            [image.numpy() for image in images or ()], return_tensors="pt", input_data_format="channels_first"
        )

    def get_image_features(self, pixels: "Tensor") -> "Tensor":
        return self.vision(pixel_values=pixels).image_embeds.detach()

    def get_text_features(self, tokens: "Tensor", mask: "Tensor") -> "Tensor":
        return self.text(input_ids=tokens, attention_mask=mask).text_embeds.detach()


def view_rows() -> Iterator[Row]:
    import numpy as np
    import py360convert
    import torch

    from aognet.geometry.camera import Camera
    from aognet.geometry.perspective import look_all
    from tests.smooth import smooth_panorama

    panorama, size = smooth_panorama(512), 256
    pixels = panorama[0].permute(1, 2, 0).numpy()
    cameras = [Camera(yaw, pitch, roll, 90.0, size, size) for yaw, pitch, roll in VIEWS]
    # Its outermost rays go through the edges of the picture, ours through the centres of the outermost pixels.
    fov = math.degrees(2 * math.atan(1 - 1 / size))

    def theirs() -> "Tensor":
        views = [py360convert.e2p(pixels, fov, yaw, pitch, (size, size), in_rot_deg=roll) for yaw, pitch, roll in VIEWS]
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)

    def ours() -> "Tensor":
        return look_all(panorama, cameras, antialias=False)[0]

    inputs = f"{len(VIEWS)} views of 90 degrees, {size}x{size}, of a smooth panorama of 512x1024"
    spread = float(panorama.max() - panorama.min())
    yield Row("views", inputs, "py360convert e2p", ours, theirs, spread)


def measured(row: Row) -> str:
    """A line of the table. Each is called once before it is timed, unless that takes long."""
    import torch

    results, seconds = [], []
    for compute in (row.ours, row.theirs):
        begin = time.process_time()
        result = compute()
        if time.process_time() - begin < 5:
            begin = time.process_time()
            result = compute()
        seconds.append(time.process_time() - begin)
        results.append(torch.as_tensor(result, dtype=torch.float64))
    ours, theirs = results
    difference = float(((ours - theirs).abs() / (theirs.abs() if row.scale is None else row.scale)).max())
    name = f"{row.metric} | {row.inputs} | {row.reference}"
    return f"| {name} | {difference:.1e} | {seconds[0]:.3g} | {seconds[1]:.3g} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--core", type=int, default=0, help="the one to run on")
    arguments = parser.parse_args(argv)
    # Before NumPy and torch start their threads.
    os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {arguments.core})
    warnings.filterwarnings("ignore", module="torchmetrics")
    import torch

    torch.set_num_threads(1)
    lines = ["| metric | inputs | reference | largest relative difference | CPU seconds here | CPU seconds there |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: |")
    for rows in (frechet_rows, distribution_rows, image_rows, clip_rows, view_rows):
        lines += [measured(row) for row in rows()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
