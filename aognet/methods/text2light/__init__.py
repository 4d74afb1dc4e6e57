"""Text2Light (Chen et al. 2022, arXiv 2209.09898): words to a panorama, and display values to light."""

from aognet.methods.method import Method

METHOD = Method(
    name="text2light",
    model="aognet.methods.text2light.model:Text2Light",
    settings="aognet.methods.text2light.settings:Text2LightSettings",
    targets={
        "sritmo": "aognet.methods.text2light.training_sritmo:SrItmoTraining",
        "text2light_global_sampler": "aognet.methods.text2light.training_samplers:GlobalSamplerTraining",
        "text2light_local_sampler": "aognet.methods.text2light.training_samplers:LocalSamplerTraining",
        "vqgan": "aognet.methods.text2light.training_vqgan:VqganTraining",
    },
)
