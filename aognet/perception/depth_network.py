"""Networks that estimate depth from one image: Depth Anything (Yang et al. 2024, arXiv 2406.09414) and MiDaS's DPT
(Ranftl et al. 2021, arXiv 2103.13413), in transformers' layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.diffusion.loading import check_dtype, load_weights, resolve
from aognet.errors import UserError
from aognet.io.text_files import read_json

KINDS = {"depth_anything": "DepthAnythingForDepthEstimation", "dpt": "DPTForDepthEstimation"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, where no file says otherwise
MAX_SIZE = 2048
MAX_LENGTHENING = 2  # of the longer side against the shorter
NEAREST = 1e-6  # distances, of networks that estimate these, are not less


@dataclass(frozen=True)
class DepthNetworkConfig:
    """Which network estimates depth: a folder or hub id, at ``revision``, in ``dtype``."""

    model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    revision: str | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        if not self.model:
            raise UserError("must be a hub id or a folder", key="model", value="")


class DepthNetwork:
    """A loaded network. What it returns is inverse depth along the view's axis, up to a scale and a shift."""

    def __init__(
        self, network: Any, preprocessing: Mapping[str, Any], config: DepthNetworkConfig, device: torch.device
    ):
        """Take the network and what its ``preprocessor_config.json`` says."""
        self.config, self.network = config, network.to(device)
        self.estimates_distance = getattr(network.config, "depth_estimation_type", "relative") == "metric"
        inner = getattr(network.config, "backbone_config", None) or network.config
        size = preprocessing.get("size", getattr(inner, "image_size", 384))
        size = size.get("height", size.get("shortest_edge")) if isinstance(size, Mapping) else size
        step = (
            preprocessing.get("ensure_multiple_of") or getattr(network.config, "patch_size", None) or inner.patch_size
        )
        if not (type(size) is type(step) is int and 1 <= step <= size <= MAX_SIZE):
            raise UserError(f"{config.model}: preprocessor_config.json: has the size {size!r} in steps of {step!r}")
        self.size, self.step = size // step * step, step
        self.keeps_shape = bool(preprocessing.get("keep_aspect_ratio", network.config.model_type != "dpt"))
        mean, std = (preprocessing.get(key, known) for key, known in (("image_mean", MEAN), ("image_std", STD)))
        try:
            self.mean, self.std = (torch.tensor(row, dtype=torch.float32).view(3, 1, 1) for row in (mean, std))
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{config.model}: image_mean and image_std must have 3 numbers") from error

    @classmethod
    def load(cls, config: DepthNetworkConfig, device: torch.device) -> "DepthNetwork":
        """Load the network that a config names.

        :raises UserError: naming what is missing, or of another kind.
        """
        import transformers

        folder = resolve(config.model, (), config.revision)
        described = read_json(folder / "config.json")
        kind = described.get("model_type")
        if kind not in KINDS:
            raise UserError(f"{config.model}: model_type is {kind!r}; known depth networks are {', '.join(KINDS)}")
        preprocessing = folder / "preprocessor_config.json"
        network = load_weights(getattr(transformers, KINDS[kind]), folder, "", config.dtype)
        return cls(network, read_json(preprocessing) if preprocessing.is_file() else {}, config, device)

    def sides(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the rows and columns at which the network looks at an image: the shorter side has its own size."""
        if not self.keeps_shape:
            return self.size, self.size
        longer = [min(side / min(rows, columns), MAX_LENGTHENING) for side in (rows, columns)]
        down, across = (round(self.size / self.step * share) * self.step for share in longer)
        return down, across

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch 1 rows columns"]:
        """Return inverse depth, larger is nearer, of images in [-1, 1].

        :raises UserError: if the network gives no numbers.
        """
        shape = images.shape[-2:]
        shown = _resized(images.to(self.network.device), self.sides(*shape)).clamp(-1, 1)
        shown = ((shown + 1) / 2 - self.mean.to(shown)) / self.std.to(shown)
        found = self.network(pixel_values=shown.to(self.network.dtype)).predicted_depth.float()[:, None]
        if not found.isfinite().all():
            raise UserError(f"{self.config.model}: gives no numbers for this image in {self.config.dtype}")
        if self.estimates_distance:
            found = 1 / found.clamp_min(NEAREST)
        return _resized(found, shape).to(images.device)


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return functional.interpolate(images, size=tuple(size), mode="bicubic", antialias=True)
