"""From files to batches: images, captions, panoramas, and the samples that methods train on."""

TARGETS = {
    "cubes": "aognet.data.cubes:CubeSamples",
    "depth_panoramas": "aognet.data.depth_panoramas:DepthSamples",
    "equirectangular": "aognet.data.equirectangular:EquirectangularSamples",
    "latents": "aognet.data.latents:LatentSamples",
    "light_patches": "aognet.data.light_patches:LightPatchSamples",
    "outpainting": "aognet.data.outpainting:OutpaintingSamples",
    "panorama_patches": "aognet.data.patches:PanoramaPatches",
    "panoramas": "aognet.data.whole:PanoramaImages",
    "photographs": "aognet.data.photographs:PhotographSamples",
    "views": "aognet.data.random_views:ViewSamples",
}
"""What ``target`` names here, see `aognet.targets`."""
