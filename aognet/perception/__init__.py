"""Perceptual networks: their features measure distances between sets and between pairs of images."""

TARGETS = {"faed": "aognet.perception.faed:FaedTraining"}
"""What ``target`` names here, see `aognet.targets`."""
