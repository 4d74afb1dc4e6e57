"""The sizes of panoramas that wrap around with a backbone."""

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.inpaint import stride
from aognet.errors import UserError


def check_rows(backbone: Backbone, rows: int, key: str) -> None:
    """Raise UserError, naming the setting ``key``, for a panorama of so many rows if it does not wrap."""
    least = stride(backbone) // 2  # of the rows: a panorama is twice as wide as high
    if rows % least:
        below = rows // least * least
        fits = f"must be a multiple of {least} to wrap around with this model, such as {below or least}"
        raise UserError(f"{fits} or {below + least}", key=key, value=rows)
