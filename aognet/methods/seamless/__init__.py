"""Seamless: a whole panorama from one Stable Diffusion, whose layers wrap around."""

from aognet.methods.method import Method

METHOD = Method(
    name="seamless",
    model="aognet.methods.seamless.model:Seamless",
    settings="aognet.methods.seamless.settings:SeamlessSettings",
    untrained={},
    takes=frozenset({"prompts_at", "depth", "controls"}),
    targets={"depth_controlnet": "aognet.methods.seamless.depth_controlnet:DepthControlNet"},
)
