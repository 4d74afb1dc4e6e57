"""CubeDiff: the six faces of a cube, denoised at once by a UNet whose attention sees all of them (Kalischek 2025)."""

from aognet.methods.method import Method

METHOD = Method(
    name="cubediff",
    model="aognet.methods.cubediff.model:CubeDiff",
    settings="aognet.methods.outpainter:OutpaintSettings",
    takes=frozenset({"prompts_at"}),
    untrained={"positions": False, "clean_known": False, "synchronise_padding": True},
)
