"""The one place that loads captioners, whichever backend they are of."""

import torch

from aognet.captioning.captioner import Captioner, CaptionerConfig


def build_captioner(config: CaptionerConfig, device: torch.device) -> Captioner:
    """Load the model onto the device.

    :raises UserError: if the model, or a package that it needs, is missing.
    """
    if config.backend == "lavis":
        from aognet.captioning.lavis_backend import LavisCaptioner

        return LavisCaptioner(config, device)
    from aognet.captioning.transformers_backend import TransformersCaptioner

    return TransformersCaptioner(config, device)
