"""Networks that see as people do: what distances between sets and between pairs of images are measured in."""

TARGETS = {"faed": "aognet.perception.faed:FaedTraining"}
"""What ``target`` names here, see `aognet.targets`."""
