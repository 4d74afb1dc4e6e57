"""The settings with which AOG-Net paints."""

from dataclasses import dataclass

from aognet.errors import UserError
from aognet.geometry.plans import MAX_SIZE
from aognet.methods.outpainter import OutpaintSettings


@dataclass(frozen=True)
class Settings(OutpaintSettings):
    """``face_size`` is the side, in pixels, of the cubemap's faces that the streams see."""

    face_size: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 8 <= self.face_size <= MAX_SIZE or self.face_size % 8:
            raise UserError(f"must be a multiple of 8 in [8, {MAX_SIZE}]", key="face_size", value=self.face_size)
