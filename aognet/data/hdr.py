"""EXR files: reading linear light within bounds, and tone mapping to what a screen shows."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from aognet.errors import UserError

GAMMA = 2.4
# Renderers write many layers into one file, and all of them are decoded: this bounds the memory.
MOST_CHANNELS = 64


def read_exr(path: Path, most_pixels: int) -> Float[np.ndarray, "height width 3"]:
    """Linear RGB of an EXR file as float32; luminance alone is repeated. Raises UserError naming the file."""
    import OpenEXR

    OpenEXR.setMaxImageSize(32768, 32768)
    try:
        with OpenEXR.File(str(path), separate_channels=True, header_only=True) as file:
            header = file.header()
            low, high = header["dataWindow"]
            layers = len(header["channels"])
            width, height = (int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
        if width < 1 or height < 1 or width * height > most_pixels:
            raise UserError(f"{path}: {width}x{height} pixels are more than the limit of {most_pixels}")
        if layers > MOST_CHANNELS:
            raise UserError(f"{path}: {layers} channels are more than the limit of {MOST_CHANNELS}")
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels, dtype=np.float32) for name, channel in file.channels().items()}
    except UserError:
        raise
    # The binding raises RuntimeError, ValueError or TypeError for broken files, depending on where they break.
    except Exception as error:
        raise UserError(f"{path}: not a readable EXR file ({error})") from error
    grey = channels.get("Y")
    planes = [channels.get(name, grey) for name in "RGB"]
    if any(plane is None for plane in planes):
        raise UserError(f"{path}: has no R, G and B channels and no Y channel, only {sorted(channels)}")
    if any(plane.shape != (height, width) for plane in planes):
        raise UserError(f"{path}: has channels of fewer pixels than its {width}x{height}, which is not supported")
    return np.stack(planes, axis=-1)


def tone_map(
    radiance: Float[np.ndarray, "height width 3"], gamma: float = GAMMA, percentile: float = 50.0, target: float = 0.5
) -> Float[np.ndarray, "height width 3"]:
    """Linear light as display values in [0, 1]: the given percentile of the gamma-compressed light becomes ``target``.

    This is the mapping the published AOG-Net prepares the Laval datasets with. NaN and negative light count as none.
    """
    compressed = np.nan_to_num(radiance, nan=0.0, posinf=np.finfo(np.float32).max).clip(min=0) ** np.float32(1 / gamma)
    lit = compressed[compressed > 0]
    level = np.percentile(lit, percentile) if lit.size else 1.0
    return np.clip(compressed * np.float32(target / level), 0, 1)
