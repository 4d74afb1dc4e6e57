"""Panoramas made larger by Real-ESRGAN's small network, and its published files."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.callbacks import UNHEARD, Listener
from aognet.io.pickled_tensors import read_pickled_tensors
from aognet.nn.srvgg import SrvggCompact, upscaler_of

STRIP_PIXELS = 2**17
"""Pixels of the image that are made larger at a time, without the rows around them."""
LAST_OF = ("params_ema", "params")
"""What a ``.pth`` file of Real-ESRGAN calls its weights; the first that is there counts."""


def pickled_upscaler(path: Path) -> dict[str, Tensor] | None:
    """Return the weights of a ``.pth`` file of Real-ESRGAN; None if it holds none.

    :raises UserError: naming the file, if it cannot be read or is another network of theirs.
    """
    read = read_pickled_tensors(path)
    state = next((read[key] for key in LAST_OF if isinstance(read, Mapping) and key in read), None)
    if state is None:
        return None
    upscaler_of(state, path)
    return dict(state)


@torch.no_grad()
def upscale(
    network: SrvggCompact, image: Float[Tensor, "3 height width"], listener: Listener = UNHEARD
) -> Float[Tensor, "3 high wide"]:
    """Return a panorama of display values in [0, 1], as many times larger as the network says, on the CPU.

    A strip of rows is in memory at a time, whatever the size.
    """
    height, width = image.shape[-2:]
    device, scale, halo = next(network.parameters()).device, network.scale, network.halo
    result = torch.empty(3, height * scale, width * scale)
    step = max(2 * halo, STRIP_PIXELS // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        low, high = max(top - halo, 0), min(bottom + halo, height)
        made = network(image[None, :, low:high].to(device, torch.float32))[0]
        result[:, top * scale : bottom * scale] = made[:, (top - low) * scale : (bottom - low) * scale].clamp(0, 1)
        listener.tell("rows of the upscaler", bottom, height)
    return result
