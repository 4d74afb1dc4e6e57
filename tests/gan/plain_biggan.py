"""BigGAN-deep read plainly off its public tensors, and tensors of these names: nothing in it is shared with ours."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Config = dict[str, Any]
PUBLISHED_LAYERS = {
    128: "F16-16 T16-16 F16-16 T16-8 F8-8 T8-4 F4-4 T4-2 F2-2 T2-1",
    256: "F16-16 T16-16 F16-16 T16-8 F8-8 T8-8 F8-8 T8-4 F4-4 T4-2 F2-2 T2-1",
    512: "F16-16 T16-16 F16-16 T16-8 F8-8 T8-8 F8-8 T8-4 F4-4 T4-2 F2-2 T2-1 F1-1 T1-1",
}


def layers_of(text: str) -> list[list[Any]]:
    return [[one[0] == "T", *map(int, one[1:].split("-"))] for one in text.split()]


def public_config(layers: str, width: int = 8, attention: int = 8, **changes: Any) -> Config:
    """A public ``config.json``, of few channels."""
    read = layers_of(layers)
    return {
        "output_dim": 4 * 2 ** sum(doubles for doubles, *_ in read),
        "z_dim": 6,
        "class_embed_dim": 6,
        "channel_width": width,
        "num_classes": 5,
        "layers": read,
        "attention_layer_position": attention,
        "eps": 1e-4,
        "n_stats": 6,
        **changes,
    }


TINY = public_config("F4-4 T4-2 F2-2 T2-1", attention=2)


def public_tensors(config: Config, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors of all public names: as trained ones, with norms that are singular vectors' but for a little."""
    source, tensors = torch.Generator().manual_seed(seed), {}
    width, condition, statistics = (
        config["channel_width"],
        config["z_dim"] + config["class_embed_dim"],
        config["n_stats"],
    )

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    def spectral(name: str, *shape: int, bias: bool = True) -> None:
        weight = tensors[f"{name}.weight_orig"] = normal(*shape)
        u = functional.normalize(weight.flatten(1) @ normal(weight[0].numel()), dim=0)
        tensors[f"{name}.weight_v"] = functional.normalize(u @ weight.flatten(1), dim=0)
        tensors[f"{name}.weight_u"] = u
        if bias:
            tensors[f"{name}.bias"] = normal(shape[0]) / 10

    def norm(name: str, channels: int) -> None:
        tensors[f"{name}.running_means"] = normal(statistics, channels) / 2
        tensors[f"{name}.running_vars"] = normal(statistics, channels).square() + 0.5

    tensors["embeddings.weight"] = normal(config["z_dim"], config["num_classes"])
    spectral("generator.gen_z", 16 * config["layers"][0][1] * width, condition)
    number = 0
    for place, (_, before, after) in enumerate(config["layers"]):
        if place == config["attention_layer_position"]:
            channels, prefix = before * width, f"generator.layers.{number}"
            for part, wide, high in (("theta", 1, 8), ("phi", 1, 8), ("g", 1, 2), ("o_conv", 2, 1)):
                spectral(f"{prefix}.snconv1x1_{part}", channels // high, channels // wide, 1, 1, bias=False)
            tensors[f"{prefix}.gamma"] = normal(1)
            number += 1
        inner = before * width // 4
        sizes = [(before * width, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, after * width, 1)]
        for part, (come, go, side) in enumerate(sizes):
            norm(f"generator.layers.{number}.bn_{part}", come)
            for what in ("scale", "offset"):
                spectral(f"generator.layers.{number}.bn_{part}.{what}", come, condition, bias=False)
            spectral(f"generator.layers.{number}.conv_{part}", go, come, side, side)
        number += 1
    norm("generator.bn", width)
    tensors["generator.bn.weight"], tensors["generator.bn.bias"] = normal(width), normal(width)
    spectral("generator.conv_to_rgb", width, width, 3, 3)
    return tensors


def plain_images(
    tensors: dict[str, Tensor], config: Config, z: Tensor, classes: Tensor, truncation: float, swapped: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The images, and the features after each module in the public numbering."""

    def weight(name: str) -> Tensor:
        found = tensors[f"{name}.weight_orig"]
        return found / torch.dot(tensors[f"{name}.weight_u"], torch.mv(found.flatten(1), tensors[f"{name}.weight_v"]))

    def statistics(name: str) -> tuple[Tensor, Tensor]:
        places, step = [], 1.0 / (config["n_stats"] - 1)
        for table in (tensors[f"{name}.running_means"], tensors[f"{name}.running_vars"]):
            share, first = math.modf(truncation / step)
            upper = 1 - share if swapped else share
            first = int(first)
            places.append(table[first] if share == 0 else (1 - upper) * table[first] + upper * table[first + 1])
        return places[0][None, :, None, None], places[1][None, :, None, None]

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = statistics(name)
        scale, offset = condition @ weight(f"{name}.scale").T, condition @ weight(f"{name}.offset").T
        return (x - mean) / (variance + 1e-4).sqrt() * (1 + scale[:, :, None, None]) + offset[:, :, None, None]

    def convolved(x: Tensor, name: str) -> Tensor:
        kernel = weight(name)
        return functional.conv2d(x, kernel, tensors.get(f"{name}.bias"), padding=kernel.shape[-1] // 2)

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def attended(x: Tensor, name: str) -> Tensor:
        one, two, three = (convolved(x, f"{name}.snconv1x1_{part}") for part in ("theta", "phi", "g"))
        two, three = functional.max_pool2d(two, 2).flatten(2), functional.max_pool2d(three, 2).flatten(2)
        seen = torch.einsum("bcq,bck->bqk", one.flatten(2), two).softmax(-1)
        mixed = torch.einsum("bqk,bck->bcq", seen, three).reshape(len(x), -1, *x.shape[2:])
        return x + tensors[f"{name}.gamma"] * convolved(mixed, f"{name}.snconv1x1_o_conv")

    condition = torch.cat([z, classes @ tensors["embeddings.weight"].T], 1)
    x = condition @ weight("generator.gen_z").T + tensors["generator.gen_z.bias"]
    x = x.reshape(len(z), 4, 4, -1).movedim(3, 1)
    number, seen = 0, []
    for place, (doubles, before, after) in enumerate(config["layers"]):
        if place == config["attention_layer_position"]:
            x = attended(x, f"generator.layers.{number}")
            seen.append(x)
            number += 1
        name, inside = f"generator.layers.{number}", x
        for part in range(4):
            inside = norm(inside, f"{name}.bn_{part}").clamp(min=0)
            if doubles and part == 1:
                inside = doubled(inside)
            inside = convolved(inside, f"{name}.conv_{part}")
        kept = x[:, : x.shape[1] // 2] if before != after else x
        x = inside + (doubled(kept) if doubles else kept)
        seen.append(x)
        number += 1
    mean, variance = statistics("generator.bn")
    scale, offset = (tensors[f"generator.bn.{part}"][None, :, None, None] for part in ("weight", "bias"))
    x = ((x - mean) / (variance + 1e-4).sqrt() * scale + offset).clamp(min=0)
    return convolved(x, "generator.conv_to_rgb")[:, :3].tanh(), seen
