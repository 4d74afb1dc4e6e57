"""Tiny random models in the layout of the real ones: a folder as diffusers saves it, made in a second."""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Layout = Literal["sd15", "sd2", "sdxl"]

TEXT_DIM = 32
IMAGE_DIM = 24
SECOND_TEXT_DIM = 40
SIZE_DIM = 8
# What distinguishes the families. SD 2 counts the heads of each block and projects with linear layers. SDXL reads two
# text encoders, joined, takes the second one's pooled text and six sizes, and has no attention in its finest block.
UNET = {
    "sd15": {"attention_head_dim": 2, "use_linear_projection": False, "cross_attention_dim": TEXT_DIM},
    "sd2": {"attention_head_dim": [2, 4, 4, 4], "use_linear_projection": True, "cross_attention_dim": TEXT_DIM},
    "sdxl": {
        "attention_head_dim": [2, 4, 4], "use_linear_projection": True, "transformer_layers_per_block": [1, 1, 2],
        "cross_attention_dim": TEXT_DIM + SECOND_TEXT_DIM, "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_DIM, "projection_class_embeddings_input_dim": IMAGE_DIM + 6 * SIZE_DIM,
    },
}  # fmt: skip
TEXT = {"sd15": {"hidden_act": "quick_gelu"}, "sd2": {"hidden_act": "gelu"}, "sdxl": {"hidden_act": "quick_gelu"}}
PREDICTION_TYPE = {"sd15": "epsilon", "sd2": "v_prediction", "sdxl": "epsilon"}


def tiny_tokenizer(**options: Any) -> Any:
    """A CLIP tokenizer of 514 tokens: every byte alone and at a word's end, start and end of text."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77, **options)


def tiny_text_encoder(layout: Layout = "sd2") -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=514, hidden_size=TEXT_DIM, intermediate_size=64, projection_dim=IMAGE_DIM, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, bos_token_id=512, eos_token_id=513, pad_token_id=513,
        **TEXT[layout],
    )  # fmt: skip
    return CLIPTextModel(config).eval()


def tiny_second_text_encoder() -> Any:
    """SDXL's second text encoder, which projects."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=514, hidden_size=SECOND_TEXT_DIM, intermediate_size=64, projection_dim=IMAGE_DIM,
        num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=77, bos_token_id=512, eos_token_id=513,
        pad_token_id=0, hidden_act="gelu",
    )  # fmt: skip
    return CLIPTextModelWithProjection(config).eval()


def tiny_image_encoder(dim: int = IMAGE_DIM) -> Any:
    """A CLIP vision encoder for 32x32 images that gives ``dim`` numbers."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        image_size=32, patch_size=8, hidden_size=32, intermediate_size=64, projection_dim=dim,
        num_hidden_layers=2, num_attention_heads=2,
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).eval()


def tiny_clip_folder(folder: Path, words_dim: int, image_dim: int = IMAGE_DIM, length: int = 20) -> Path:
    """A CLIP with both towers and its tokenizer in one folder, as the hub has them."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig

    text = CLIPTextConfig(
        vocab_size=514, hidden_size=words_dim, intermediate_size=32, projection_dim=image_dim, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=length, bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip
    vision = tiny_image_encoder(image_dim).config
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=image_dim)
    CLIPModel(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def tiny_vae(blocks: int = 2, layout: Layout = "sd2") -> Any:
    """Four latent channels; ``blocks`` 2 halves the image once, 4 gives Stable Diffusion's factor of 8."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * (blocks - 1) + (16,), down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks, layers_per_block=1, norm_num_groups=4, latent_channels=4,
        sample_size=32, scaling_factor=0.13025 if layout == "sdxl" else 0.18215,
    ).eval()  # fmt: skip


def tiny_unet(layout: Layout = "sd2", channels: int = 9, blocks: int = 2) -> Any:
    """``blocks`` down blocks with cross-attention; of four the last has none, as in Stable Diffusion. SDXL: three."""
    from diffusers import UNet2DConditionModel

    options = dict(UNET[layout])
    plain = ("DownBlock2D",) if blocks > 2 else ()
    down = ("CrossAttnDownBlock2D",) * (blocks - len(plain)) + plain
    if layout == "sdxl":
        blocks, down = 3, ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
    elif isinstance(options["attention_head_dim"], list):
        options["attention_head_dim"] = options["attention_head_dim"][:blocks]
    return UNet2DConditionModel(
        in_channels=channels, out_channels=4, block_out_channels=(16, 32, 32, 32)[:blocks], layers_per_block=1,
        down_block_types=down, up_block_types=tuple(name.replace("Down", "Up") for name in reversed(down)),
        norm_num_groups=8, sample_size=64 if layout != "sdxl" else 16, **options,
    ).eval()  # fmt: skip


def tiny_controlnet(unet: Any, seed: int = 5, embedding: tuple[int, ...] = (8, 16), **changes: Any) -> Any:
    """A ControlNet for a UNet whose residuals are not zero, as if trained; or one with a config that is changed."""
    from diffusers import ControlNetModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=embedding)
        if changes:
            network = ControlNetModel.from_config(network.config, **changes)
        for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            torch.nn.init.normal_(layer.weight, std=0.1)
        torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.1)
    return network.eval()


def tiny_controlnet_folders(backbone: Path, folder: Path, count: int = 2) -> list[str]:
    """Saved ControlNets for the UNet of a saved model."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(str(backbone), subfolder="unet")
    places = [str(folder / f"control{number}") for number in range(count)]
    for number, place in enumerate(places):
        tiny_controlnet(unet, number).save_pretrained(place)
    return places


def tiny_depth_network(kind: str = "depth_anything", seed: int = 0, **changes: Any) -> Any:
    """A depth network that sees 56 (Depth Anything) or 32 (DPT) pixels, as if trained."""
    from transformers import (
        DepthAnythingConfig,
        DepthAnythingForDepthEstimation,
        Dinov2Config,
        DPTConfig,
        DPTForDepthEstimation,
    )

    small = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "initializer_range": 0.2}
    neck = {"neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8, "head_in_index": -1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "dpt":
            config = DPTConfig(
                **small, **neck, intermediate_size=32, image_size=32, patch_size=8, backbone_out_indices=[0, 1, 2, 3]
            )
            return DPTForDepthEstimation(config).eval()
        stages = [f"stage{number}" for number in range(1, 5)]
        inner = Dinov2Config(
            **small, image_size=56, patch_size=14, mlp_ratio=2, out_features=stages, reshape_hidden_states=False
        )
        options = {"patch_size": 14, "reassemble_hidden_size": 16, "head_hidden_size": 4, "initializer_range": 0.2}
        config = DepthAnythingConfig(backbone_config=inner, **options, **neck, **changes)
        return DepthAnythingForDepthEstimation(config).eval()


def tiny_scheduler(prediction_type: str = "epsilon") -> Any:
    """PNDM with the config that both Stable Diffusion families ship."""
    from diffusers import PNDMScheduler

    return PNDMScheduler.from_config({
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
        "prediction_type": prediction_type,
    })  # fmt: skip


def tiny_components(
    layout: Layout = "sd2",
    channels: int = 9,
    prediction_type: str | None = None,
    blocks: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """All parts of an inpainting pipeline by name; the same ``seed`` gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = {
            "vae": tiny_vae(blocks, layout),
            "unet": tiny_unet(layout, channels, blocks),
            "text_encoder": tiny_text_encoder(layout),
            "tokenizer": tiny_tokenizer(),
            "image_encoder": tiny_image_encoder(),
            "scheduler": tiny_scheduler(prediction_type or PREDICTION_TYPE[layout]),
        }
        if layout == "sdxl":
            second = {"text_encoder_2": tiny_second_text_encoder(), "tokenizer_2": tiny_tokenizer(pad_token="!")}
            return parts | second
        return parts


def tiny_pipeline(components: dict[str, Any]) -> Any:
    """The diffusers pipeline around ``components``: the reference that the backbone is compared with."""
    from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline

    safety = {"safety_checker": None, "requires_safety_checker": False}
    kinds = (StableDiffusionInpaintPipeline, safety), (StableDiffusionXLInpaintPipeline, {"add_watermarker": False})
    kind, options = kinds["text_encoder_2" in components]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = kind(**components, **options, feature_extractor=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def whole_cells(known: Tensor, vae: Any) -> Tensor:
    """The known pixels of which the whole latent pixel is known."""
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    unknown = functional.max_pool2d((~known).float(), scale)
    return functional.interpolate(unknown, scale_factor=scale) < 0.5


def save(components: dict[str, Any], folder: Path) -> Path:
    """The parts in the diffusers folder layout, ``model_index.json`` and ``image_encoder`` included."""
    tiny_pipeline(components).save_pretrained(str(folder))
    return folder


def tiny_backbone_folder(folder: Path, layout: Layout = "sd2", channels: int = 9, **options: Any) -> Path:
    """A complete tiny model saved in ``folder``; options as for `tiny_components`."""
    return save(tiny_components(layout, channels, **options), folder)


def tiny_streams(backbone: Path, seed: int = 1, **options: Any) -> Any:
    """AOG-Net with small streams, as if trained, around the model in ``backbone``; ``options`` of its config."""
    from aognet.diffusion.backbone import BackboneConfig
    from aognet.diffusion.clip_encoders import ClipConfig
    from aognet.methods.aognet.global_stream import GlobalStreamConfig
    from aognet.methods.aognet.local_stream import LocalStreamConfig
    from aognet.methods.aognet.model import AOGNet

    parts = {
        "backbone": BackboneConfig(str(backbone)), "clip": ClipConfig(str(backbone), subfolder="image_encoder"),
        "global_stream": GlobalStreamConfig(tokens=3, depth=1, heads=2),
        "local_stream": LocalStreamConfig(residual_blocks=1, depth=1, heads=2),
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AOGNet(AOGNet.Config(**parts | options))
        for layer in model.local_stream.last:
            torch.nn.init.normal_(layer.weight, std=0.1)
    return model


def tiny_generator_folder(folder: Path) -> Path:
    """A BigGAN-deep of 16 pixels and three named classes, with random weights whose images differ by z and class."""
    from aognet.gan.biggan import BigGanConfig
    from aognet.methods.ganorama.model import Ganorama

    names = ["sandbar, sand bar", "valley, vale", "lakeside"]
    layers = [[0, 4, 4], [1, 4, 2], [0, 2, 2], [1, 2, 1]]
    config = BigGanConfig(layers, 3, 6, 6, width=8, attention_at=2, statistics=3, class_names=names)
    torch.manual_seed(5)
    model = Ganorama(Ganorama.Config(generator=config))
    with torch.no_grad():
        model.network.start.weight.normal_(std=2.0)
        model.network.to_rgb.weight.normal_(std=0.3)
    model.save_pretrained(folder)
    return folder


def tiny_text2light_folder(folder: Path, published: bool = False) -> Path:
    """Text2Light with random weights, for panoramas of 32 rows: our layout, or the ``published`` one with its index."""
    from aognet.methods.text2light.model import Text2Light
    from aognet.perception.network import NetworkConfig
    from aognet.vq.autoencoder import VqAutoencoderConfig
    from aognet.vq.global_sampler import GlobalSamplerConfig
    from aognet.vq.quantizer import QuantizerConfig
    from aognet.vq.sphere_sampler import SphereSamplerConfig
    from aognet.vq.window_sampler import WindowSamplerConfig
    from aognet.vq.windows import WindowConfig

    torch.manual_seed(3)
    clip = NetworkConfig(kind="clip", model=str(tiny_clip_folder(folder / "clip", 16, 12)))
    codes, sizes = QuantizerConfig(codes=16, dim=4), {"vocabulary": 16, "layers": 1, "heads": 2}
    small = VqAutoencoderConfig(channels=(8, 8), layers_per_block=1, groups=4, latent_channels=4, quantizer=codes)
    large = VqAutoencoderConfig(channels=(8, 8, 8), layers_per_block=1, groups=4, latent_channels=4, quantizer=codes)
    grid = {"rows": 2, "columns": 4, "embedding": 12}
    if published:
        layout: dict[str, Any] = {
            "global_sampler": GlobalSamplerConfig(**grid, tokens=3, width=24, **sizes),
            "windows": WindowSamplerConfig(
                windows=WindowConfig(rows=8, columns=16, size=4), given_rows=2, given_columns=4, samples=1, **sizes
            ),
            "holistic_autoencoder": small,
            "images": 7,
        }
    else:
        layout = {
            "global_sampler": GlobalSamplerConfig(**grid, condition="text", tokens=2, width=16, **sizes),
            "sphere": SphereSamplerConfig(
                given_rows=2, given_columns=4, factor=4, above=3, beside=6, given_vocabulary=16, width=16, **sizes
            ),
        }
    model = Text2Light(Text2Light.Config(clip=clip, global_autoencoder=small, local_autoencoder=large, **layout))
    with torch.no_grad():
        for sampler in (model.global_sampler, model.local_sampler):  # what is drawn depends on what is told
            for weight in sampler.parameters():
                weight.add_(0.3 * torch.randn_like(weight))
        if model.index is not None:
            model.index.embeddings.copy_(torch.nn.functional.normalize(torch.randn(7, 12), dim=-1))
    model.save_pretrained(folder / "model")
    return folder / "model"
