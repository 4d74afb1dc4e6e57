"""The sizes of panoramas that wrap around with a backbone."""

from aognet.diffusion.backbone import Backbone
from aognet.errors import UserError


def stride(backbone: Backbone) -> int:
    """Return the pixels by which a panorama must be wider for the UNet to halve it without a rest."""
    return backbone.latents.scale * 2 ** (len(backbone.denoiser.down_channels) - 1)


def check_rows(backbone: Backbone, rows: int, key: str) -> None:
    """Raise UserError, naming the setting ``key``, for a panorama of so many rows if it does not wrap."""
    least = stride(backbone) // 2  # of the rows: a panorama is twice as wide as high
    if rows % least:
        below = rows // least * least
        fits = f"must be a multiple of {least} to wrap around with this model, such as {below or least}"
        raise UserError(f"{fits} or {below + least}", key=key, value=rows)
