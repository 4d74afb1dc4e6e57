"""Trainings of the small parts that the models in `assets` are made of."""

TARGETS = {
    "autoencoder": "aognet.embedded.autoencoder:AutoencoderTraining",
    "clip": "aognet.embedded.clip:ClipTraining",
    "inpainting": "aognet.embedded.inpainting:InpaintingTraining",
}
"""What ``target`` names here, see `aognet.targets`."""
