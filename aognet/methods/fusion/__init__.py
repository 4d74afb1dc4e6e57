"""Fusion: views of the whole sphere, denoised together by any Stable Diffusion; nothing is trained."""

from aognet.methods.method import Method

METHOD = Method(
    name="fusion",
    model="aognet.methods.fusion.model:Fusion",
    settings="aognet.methods.fusion.settings:FusionSettings",
    untrained={},
    takes=frozenset({"prompts_at"}),
)
