"""What the seamless method is told when it generates, besides the request."""

from dataclasses import dataclass, field

from aognet.diffusion.sampling.sampler import SamplerConfig


@dataclass(frozen=True)
class SeamlessSettings:
    """``sampler``: how the panorama is sampled."""

    sampler: SamplerConfig = field(default_factory=lambda: SamplerConfig(scheduler="euler", guidance=7.5))
