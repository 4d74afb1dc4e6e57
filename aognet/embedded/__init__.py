"""Trainings of the small parts of the models in `assets`."""

TARGETS = {
    "autoencoder": "aognet.embedded.autoencoder:AutoencoderTraining",
    "clip": "aognet.embedded.clip:ClipTraining",
    "few_steps": "aognet.embedded.few_steps:FewStepTraining",
    "gan": "aognet.embedded.gan:GanTraining",
    "inpainting": "aognet.embedded.inpainting:InpaintingTraining",
    "upscaler": "aognet.embedded.view_upscaler:UpscalerTraining",
}
"""What ``target`` names here, see `aognet.targets`."""
