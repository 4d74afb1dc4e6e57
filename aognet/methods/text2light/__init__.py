"""Text2Light (Chen et al. 2022, arXiv 2209.09898): words to a panorama, and display values to light. Its trainings."""

TARGETS: dict[str, str] = {
    "sritmo": "aognet.methods.text2light.training_sritmo:SrItmoTraining",
    "vqgan": "aognet.methods.text2light.training_vqgan:VqganTraining",
}
"""What ``target`` names here, see `aognet.targets`."""
