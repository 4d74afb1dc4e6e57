"""The one place that loads feature networks."""

import torch

from aognet.models.perception.network import FeatureNetwork, NetworkConfig


def load_network(config: NetworkConfig, device: torch.device) -> FeatureNetwork:
    """The network a config names, on ``device``. Raises UserError naming what cannot be loaded."""
    if config.kind == "inception":
        from aognet.models.perception.inception import InceptionNetwork

        return InceptionNetwork.load(config, device)
    if config.kind == "clip":
        from aognet.models.perception.clip import ClipNetwork

        return ClipNetwork.load(config, device)
    if config.kind == "efficientnet":
        from aognet.models.perception.efficientnet import EfficientNetNetwork

        return EfficientNetNetwork.load(config, device)
    from aognet.models.perception.faed import FaedNetwork

    return FaedNetwork.load(config, device)
