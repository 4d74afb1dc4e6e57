"""AOG-Net: a frozen inpainting backbone, and two small streams that tell it about the rest of the sphere (Lu et al.,
2024).
"""

from aognet.methods.method import Method

METHOD = Method(
    name="aognet",
    model="aognet.methods.aognet.model:AOGNet",
    settings="aognet.methods.aognet.settings:Settings",
    takes=frozenset({"prompts_at"}),
    untrained={"global_stream": {"enabled": False}, "local_stream": {"enabled": False}},
)
