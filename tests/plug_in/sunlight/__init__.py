"""A method in a package of its own: it learns the mean light of panoramas and makes it, in one piece."""

from aognet.methods.method import Method

METHOD = Method(
    name="sunlight",
    model="sunlight.model:Sunlight",
    settings="sunlight.model:Settings",
    encoding="linear",
    targets={"sunlight_samples": "sunlight.samples:SunlightSamples"},
)
