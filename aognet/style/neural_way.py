"""The ways ``gatys`` and ``photo``: a small panorama changed until a network sees the photograph's style in it.

Gatys et al. 2016 (CVPR, "Image style transfer using convolutional neural networks") and, with soft segments and the
matting Laplacian, Luan et al. 2017 (CVPR, "Deep photo style transfer"). The network sees views in random directions,
spread evenly over the sphere, so that neither a pole is stretched nor the wrap is an edge.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from aognet.callbacks import Listener
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.style.colour_way import Segmented
from aognet.style.kept_state import KeptState
from aognet.style.matting import MattingLaplacian
from aognet.style.sphere_windows import sphere_mean
from aognet.style.vgg_features import VggFeatures

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_2"
FOV_DEGREES = 90.0
RATE, LAST_RATE = 0.03, 0.003
"""Of Adam, for pixels in [-1, 1]: at the first and at the last step."""
KEPT_EVERY = 10
LEAST = 1e-12


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts: content, style, total variation."""

    content: float
    style: float
    variation: float


class NeuralStyle:
    """The loss of a small panorama. All images are in [-1, 1]."""

    def __init__(
        self,
        content: Float[Tensor, "3 height width"],
        photo: Float[Tensor, "3 rows columns"],
        features: VggFeatures,
        weights: Weights,
        segments: Segmented | None = None,
    ):
        """``segments``: the style is matched within each of them; None: in the whole."""
        device = features.device
        self.content, self.features, self.weights = content.to(device), features, weights
        self.shares = None if segments is None else segments.shares.float().to(device)
        self.side = max(16 * round(content.shape[-2] * 2 / math.pi / 16), 32)
        of_photo = None if segments is None else segments.of_photo.float().to(device)
        with torch.no_grad():
            found = features(photo[None].to(device), STYLE_LAYERS)
            self.wanted = {name: grams(found[name], of_photo) for name in STYLE_LAYERS}

    def camera(self, seed: int, step: int) -> Camera:
        """Return the view of a step: any direction on the sphere is as likely as any other."""
        drawn = torch.rand(2, generator=torch.Generator().manual_seed(seed * 1_000_003 + step), dtype=torch.float64)
        yaw, height = (drawn * 2 - 1).tolist()
        return Camera(180 * yaw, math.degrees(math.asin(height)), 0.0, FOV_DEGREES, self.side, self.side)

    def loss(self, image: Float[Tensor, "3 height width"], camera: Camera) -> Float[Tensor, ""]:
        """Return the loss of one view. Each part is relative to what is wanted, so that its weight does not depend on
        the network.
        """
        view = look(image[None], camera)
        found = self.features(view, (*STYLE_LAYERS, CONTENT_LAYER))
        with torch.no_grad():
            content = self.features(look(self.content[None], camera), (CONTENT_LAYER,))[CONTENT_LAYER]
            shares = None if self.shares is None else look(self.shares[None], camera)[0].clamp_min(0)
        total = self.weights.content * relative(found[CONTENT_LAYER][0], content[0])
        for name in STYLE_LAYERS:
            total = total + self.weights.style / len(STYLE_LAYERS) * self._style(name, found[name], shares)
        steps = (view.diff(dim=-1).abs().mean(), view.diff(dim=-2).abs().mean())
        return total + self.weights.variation * (steps[0] + steps[1])

    def _style(self, name: str, found: Tensor, shares: Tensor | None) -> Tensor:
        own, wanted = grams(found, shares), self.wanted[name]
        masses = torch.ones(1, device=own.device) if shares is None else shares.mean((1, 2))
        each = torch.stack([relative(a, b) for a, b in zip(own, wanted, strict=True)])
        return (masses / masses.sum() * each).sum()


def relative(found: Float[Tensor, "*shape"], wanted: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Return the squared error, as a share of the square of what is wanted."""
    return (found - wanted).square().sum() / (wanted.square().sum() + LEAST)


def grams(
    activations: Float[Tensor, "1 channels rows columns"], weights: Float[Tensor, "segments height width"] | None
) -> Float[Tensor, "segments channels channels"]:
    """Return the mean products of channels (Gatys et al., equation 3), within each segment: pixels count by
    ``weights``, which are shrunk to the size of the activations.
    """
    flat = activations[0].flatten(1)
    if weights is None:
        return (flat @ flat.T)[None] / flat.shape[1]
    rows, columns = activations.shape[-2:]
    small = functional.adaptive_avg_pool2d(weights[None], (rows, columns))[0].flatten(1)
    small = small / (small.sum(1, keepdim=True) + LEAST)
    return torch.stack([(flat * one) @ flat.T for one in small])


def optimized(
    style: NeuralStyle,
    start: Float[Tensor, "3 height width"],
    steps: int,
    seed: int,
    listener: Listener,
    kept: KeptState | None = None,
    matting: float = 0.0,
) -> Float[Tensor, "3 height width"]:
    """Return the image in [-1, 1] after so many steps from the ``start``, on the CPU. What is ``kept`` goes on.

    ``matting``: after each step, by how much the image moves to where the matting Laplacian of the content is small
    (`MattingLaplacian.nearer`). As a part of the loss, as in Luan et al. (equation 2), it would be too stiff for Adam.

    :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
    """
    device = style.features.device
    laplacian = MattingLaplacian(style.content.add(1).div(2)) if matting else None
    image = start.detach().float().clone().to(device).requires_grad_()
    adam = torch.optim.Adam([image], lr=RATE, betas=(0.9, 0.99))
    done = _restored(image, adam, kept)
    keep: Callable[[int], None] = lambda step: None if kept is None else kept.write(_state(image, adam, step))  # noqa: E731
    for step in range(done, steps):
        listener.tell("steps", step, steps)
        adam.zero_grad()
        style.loss(image, style.camera(seed, step)).backward()
        adam.param_groups[0]["lr"] = LAST_RATE + (RATE - LAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
        before = image.detach().clone()
        adam.step()
        with torch.no_grad():
            # What is finer than a row, which columns near the poles are, no view sees evenly: there it would be noise.
            image.copy_(before + sphere_mean(image - before, 0).to(image))
            if laplacian is not None:
                image.copy_(laplacian.nearer(image, matting))
            image.clamp_(-1, 1)
        if (step + 1) % KEPT_EVERY == 0 and step + 1 < steps:
            keep(step + 1)
    listener.tell("steps", steps, steps)
    return image.detach().cpu()


def _state(image: Tensor, adam: torch.optim.Adam, step: int) -> dict[str, Tensor]:
    own = adam.state[image]
    return {"image": image.detach(), "mean": own["exp_avg"], "square": own["exp_avg_sq"], "step": torch.tensor(step)}


def _restored(image: Tensor, adam: torch.optim.Adam, kept: KeptState | None) -> int:
    """Take over what was kept; return how many steps it has behind it."""
    state = None if kept is None else kept.read(image.shape)
    if state is None:
        return 0
    with torch.no_grad():
        image.copy_(state["image"])
    mean, square = (state[name].to(image) for name in ("mean", "square"))
    adam.state[image] = {"step": state["step"].float(), "exp_avg": mean, "exp_avg_sq": square}
    return int(state["step"])
