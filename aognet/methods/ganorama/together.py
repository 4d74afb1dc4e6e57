"""Views that one generator makes together: after some of its layers they are made to agree."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.errors import UserError
from aognet.gan.biggan import BigGan, BigGanConfig
from aognet.geometry.agreement import View, mean, solved
from aognet.geometry.camera import Camera
from aognet.methods.ganorama.settings import GanoramaSettings


def check_layers(config: BigGanConfig, settings: GanoramaSettings) -> None:
    """Raise UserError where the generator lacks a layer after which views are to agree."""
    last = layer_count(config) - 1
    for key in ("start_layer", "end_layer"):
        if getattr(settings, key) > last:
            raise UserError(f"must be at most {last} for this generator", key=key, value=getattr(settings, key))


def layer_count(config: BigGanConfig) -> int:
    """Return how many layers a generator has, the attention among them."""
    return len(config.layers) + (config.attention_at is not None)


def made_together(
    network: BigGan,
    z: Float[Tensor, "views z_dim"],
    classes: Float[Tensor, "views classes"],
    views: Sequence[View],
    settings: GanoramaSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
    moved: Float[Tensor, "views class_dim"] | None = None,
    at_once: int | None = None,
) -> Float[Tensor, "views 3 size size"]:
    """Return the images of all views, about in [-1, 1], each from its own z and class vector (Ganorama).

    Features agree after the layers ``settings.start_layer`` to ``settings.end_layer``. ``progress`` is told of layers.
    ``moved`` is added to the class vectors. ``at_once``: so many views go through a layer at once.
    """
    layers = layer_count(network.config)

    def between(number: int, features: Tensor) -> Tensor:
        progress(number + 1, layers)
        if settings.start_layer <= number <= settings.end_layer:
            with torch.autocast(features.device.type, enabled=False):  # its sums need single precision
                return agreeing(features, views, settings)
        return features

    progress(0, layers)
    vectors = network.embeddings(classes)
    return network.of_vectors(z, vectors if moved is None else vectors + moved, settings.truncation, between, at_once)


def agreeing(
    features: Float[Tensor, "views channels rows columns"], views: Sequence[View], settings: GanoramaSettings
) -> Float[Tensor, "views channels rows columns"]:
    """Return the features of views that agree more along the rays which several of them see."""
    if features.requires_grad:  # in this format features are not taken in parts, each of which would be another step
        features = features.contiguous(memory_format=torch.channels_last)
    if settings.way == "mean":
        return mean(features, views, settings.weighting, settings.passes, in_place=not features.requires_grad)
    cameras = [view for view in views if isinstance(view, Camera)]
    return solved(features, cameras, settings.weighting)[0]
