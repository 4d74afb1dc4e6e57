"""The published VQGANs of Text2Light read plainly off tensors of their public names; nothing in it is ours."""

import torch
from torch import Tensor
from torch.nn import functional

Tensors = dict[str, Tensor]


def public_tensors(
    channels: tuple[int, ...] = (32, 32, 64), blocks: int = 2, z: int = 6, dim: int = 5, codes: int = 16, seed: int = 0
) -> Tensors:
    """Random tensors of all public names of an autoencoder with few channels."""
    source, tensors = torch.Generator().manual_seed(seed), {}

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    def convolution(name: str, before: int, after: int, size: int) -> None:
        tensors[f"{name}.weight"] = normal(after, before, size, size) / (before * size * size) ** 0.5
        tensors[f"{name}.bias"] = normal(after) / 10

    def norm(name: str, width: int) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + normal(width) / 10, normal(width) / 10

    def block(name: str, before: int, after: int) -> None:
        norm(f"{name}.norm1", before)
        convolution(f"{name}.conv1", before, after, 3)
        norm(f"{name}.norm2", after)
        convolution(f"{name}.conv2", after, after, 3)
        if before != after:
            convolution(f"{name}.nin_shortcut", before, after, 1)

    def attention(name: str, width: int) -> None:
        norm(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            convolution(f"{name}.{part}", width, width, 1)

    def middle(name: str, width: int) -> None:
        block(f"{name}.block_1", width, width)
        attention(f"{name}.attn_1", width)
        block(f"{name}.block_2", width, width)

    last = len(channels) - 1
    convolution("encoder.conv_in", 3, channels[0], 3)
    before = channels[0]
    for level, width in enumerate(channels):
        for number in range(blocks):
            block(f"encoder.down.{level}.block.{number}", before, width)
            before = width
            if level == last:
                attention(f"encoder.down.{level}.attn.{number}", width)
        if level < last:
            convolution(f"encoder.down.{level}.downsample.conv", width, width, 3)
    middle("encoder.mid", before)
    norm("encoder.norm_out", before)
    convolution("encoder.conv_out", before, z, 3)
    convolution("quant_conv", z, dim, 1)
    tensors["quantize.embedding.weight"] = normal(codes, dim) / 2
    convolution("post_quant_conv", dim, z, 1)
    convolution("decoder.conv_in", z, before, 3)
    middle("decoder.mid", before)
    for level in range(last, -1, -1):
        for number in range(blocks + 1):
            block(f"decoder.up.{level}.block.{number}", before, channels[level])
            before = channels[level]
            if level == last:
                attention(f"decoder.up.{level}.attn.{number}", before)
        if level:
            convolution(f"decoder.up.{level}.upsample.conv", before, before, 3)
    norm("decoder.norm_out", before)
    convolution("decoder.conv_out", before, 3, 3)
    return tensors


class PlainVqgan:
    """Encodes and decodes with public tensors. ``wraps``: padding is circular on both axes, as in the global one."""

    def __init__(self, tensors: Tensors, wraps: bool):
        self.tensors, self.wraps = tensors, wraps

    def encode(self, images: Tensor) -> Tensor:
        """Codes [batch, rows, columns]."""
        levels = self._levels("encoder.down")
        x = self._convolution("encoder.conv_in", images)
        for level in range(levels):
            number = 0
            while f"encoder.down.{level}.block.{number}.conv1.weight" in self.tensors:
                x = self._block(f"encoder.down.{level}.block.{number}", x)
                if f"encoder.down.{level}.attn.{number}.q.weight" in self.tensors:
                    x = self._attention(f"encoder.down.{level}.attn.{number}", x)
                number += 1
            if level < levels - 1:
                x = functional.pad(x, (0, 1, 0, 1))
                name = f"encoder.down.{level}.downsample.conv"
                x = functional.conv2d(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], stride=2)
        x = self._end("encoder", self._middle("encoder.mid", x))
        x = self._convolution("quant_conv", x)
        book = self.tensors["quantize.embedding.weight"]
        return (x[:, None] - book[None, :, :, None, None]).square().sum(2).argmin(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Images of codes, not clamped."""
        levels = self._levels("decoder.up")
        x = self.tensors["quantize.embedding.weight"][codes].permute(0, 3, 1, 2)
        x = self._convolution("decoder.conv_in", self._convolution("post_quant_conv", x))
        x = self._middle("decoder.mid", x)
        for level in range(levels - 1, -1, -1):
            number = 0
            while f"decoder.up.{level}.block.{number}.conv1.weight" in self.tensors:
                x = self._block(f"decoder.up.{level}.block.{number}", x)
                if f"decoder.up.{level}.attn.{number}.q.weight" in self.tensors:
                    x = self._attention(f"decoder.up.{level}.attn.{number}", x)
                number += 1
            if level:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self._convolution(f"decoder.up.{level}.upsample.conv", x)
        return self._end("decoder", x)

    def _levels(self, name: str) -> int:
        return len({key.split(".")[2] for key in self.tensors if key.startswith(f"{name}.")})

    def _convolution(self, name: str, x: Tensor) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        edge = weight.shape[-1] // 2
        if edge and self.wraps:
            x = torch.cat([x[:, :, -edge:], x, x[:, :, :edge]], 2)
            x = torch.cat([x[..., -edge:], x, x[..., :edge]], 3)
            return functional.conv2d(x, weight, self.tensors[f"{name}.bias"])
        return functional.conv2d(x, weight, self.tensors[f"{name}.bias"], padding=edge)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return functional.group_norm(x, 32, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], 1e-6)

    def _block(self, name: str, x: Tensor) -> Tensor:
        inside = x
        for number in (1, 2):
            inside = self._norm(f"{name}.norm{number}", inside)
            inside = self._convolution(f"{name}.conv{number}", inside * inside.sigmoid())
        shortcut = f"{name}.nin_shortcut"
        return inside + (self._convolution(shortcut, x) if f"{shortcut}.weight" in self.tensors else x)

    def _attention(self, name: str, x: Tensor) -> Tensor:
        batch, channels, rows, columns = x.shape
        inside = self._norm(f"{name}.norm", x)
        q, k, v = (self._convolution(f"{name}.{part}", inside).flatten(2) for part in "qkv")
        shares = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * channels**-0.5, 2)
        seen = torch.einsum("bij,bcj->bci", shares, v).reshape(batch, channels, rows, columns)
        return x + self._convolution(f"{name}.proj_out", seen)

    def _middle(self, name: str, x: Tensor) -> Tensor:
        x = self._attention(f"{name}.attn_1", self._block(f"{name}.block_1", x))
        return self._block(f"{name}.block_2", x)

    def _end(self, name: str, x: Tensor) -> Tensor:
        x = self._norm(f"{name}.norm_out", x)
        return self._convolution(f"{name}.conv_out", x * x.sigmoid())
