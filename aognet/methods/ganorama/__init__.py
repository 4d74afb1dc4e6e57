"""Ganorama: all views of a sphere from one BigGAN, whose features are averaged where views see the same ray."""

from aognet.methods.method import Method

METHOD = Method(
    name="ganorama",
    model="aognet.methods.ganorama.model:Ganorama",
    settings="aognet.methods.ganorama.settings:GanoramaSettings",
    takes=frozenset({"label", "prompts_at"}),
)
