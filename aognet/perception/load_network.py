"""The one place that loads feature networks, whichever kind they are."""

import torch

from aognet.perception.network import FeatureNetwork, NetworkConfig


def load_network(config: NetworkConfig, device: torch.device) -> FeatureNetwork:
    """Load the network that a config names onto ``device``.

    :raises UserError: naming what cannot be loaded.
    """
    if config.kind == "inception":
        from aognet.perception.inception import InceptionNetwork

        return InceptionNetwork.load(config, device)
    if config.kind == "clip":
        from aognet.perception.clip import ClipNetwork

        return ClipNetwork.load(config, device)
    if config.kind == "efficientnet":
        from aognet.perception.efficientnet import EfficientNetNetwork

        return EfficientNetNetwork.load(config, device)
    from aognet.perception.faed_features import FaedNetwork

    return FaedNetwork.load(config, device)
