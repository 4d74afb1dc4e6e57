"""Training of a ControlNet (Zhang et al. 2023, arXiv 2302.05543) that is shown the depth of a whole panorama.

The backbone stays as it is and wraps around. The result is a ControlNet of diffusers, which `Seamless` takes.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.data.augment import check_share
from aognet.data.depth_panoramas import DepthBatch
from aognet.diffusion.backbone import Backbone, BackboneConfig
from aognet.diffusion.condition import ControlImage
from aognet.diffusion.control_fit import check_fit
from aognet.diffusion.controlnets import (
    OWN,
    from_unet,
    load_controlnet,
    published_widths,
    save_small,
    save_whole,
)
from aognet.diffusion.inpaint import TextContext, inpaint
from aognet.diffusion.loading import check_dtype
from aognet.diffusion.lora.trained import Layers, Trained, open_parts
from aognet.diffusion.objective import Denoising
from aognet.diffusion.sampling.noise import generators, uniform
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.methods.seamless.sizes import check_rows
from aognet.methods.seamless.training import PREVIEW, TrainingConfig, training_loss, turned_denoising
from aognet.nn.circular import Poles, wrap_around

BLIND = 13  # stream of a sample's seed, beside those of `aognet.methods.seamless.training`
SMALL = "small"


class DepthControlNet(nn.Module):
    """A frozen backbone with a ControlNet that learns to paint what has the depth that it is shown (sec. 3)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TrainingConfig):
        """The backbone, the ControlNet, and what it learns from (`TrainingConfig`).

        ``poles``: see `Seamless`. ``start``: the hub id or folder of a ControlNet that goes on learning (null: a new
        one, made from the UNet). ``widths``: of a new one, the channels of the layers that bring the depth to the size
        of the latents (null: as published). ``train``: ``all`` weights of the ControlNet; or those of its attention, or
        low-rank additions (``lora``), and always the layers that the UNet does not have. ``dtype``: the precision in
        which it is saved. ``drop_depth``: how often training shows no depth, but black.
        """

        backbone: BackboneConfig
        poles: Poles = "none"
        start: str | None = None
        widths: list[int] | None = None
        train: Trained | Literal["none"] = "all"
        lora_layers: Layers = "all"
        drop_text: float = 0.5  # sec. 3.4
        drop_depth: float = 0.0
        dtype: str = "float32"

        def __post_init__(self) -> None:
            super().__post_init__()
            check_dtype(self.dtype)
            check_share("drop_depth", self.drop_depth)
            if self.backbone.controlnets:
                named = self.backbone.controlnets
                raise UserError("must be empty: one ControlNet learns alone", key="backbone.controlnets", value=named)
            if self.start and (self.train == "lora" or self.widths):
                raise UserError(
                    "is a whole ControlNet: train must not be lora, and widths null", key="start", value=self.start
                )
            if self.train == "none":
                raise UserError("must be all, attention or lora", key="train", value=self.train)
            if self.widths and min(self.widths) < 1:
                raise UserError("must be at least 1", key="widths", value=self.widths)

    def __init__(self, config: Config, backbone: Backbone | None = None):
        """Load the backbone that ``config`` names, unless it is given, and put a ControlNet beside it that learns."""
        super().__init__()
        self.config = config
        self.backbone = backbone or Backbone.load(config.backbone)
        self.controlnet = self._started()
        own = [name for name, _ in self.controlnet.named_parameters() if name.startswith(OWN)]
        assert config.train != "none", "a configuration says what is trained"
        opened = open_parts(self.controlnet, config.train, config.lora_rank, config.lora_layers, own)
        self._parts = {"controlnet": opened["unet"]}
        self.backbone.denoiser.add_controlnet(self.controlnet)
        wrap_around(self.backbone.denoiser, config.poles)
        self.backbone.latents.wrap_around(config.poles)

    def _started(self) -> Any:
        """Return the ControlNet before its training."""
        config, unet, scale = self.config, self.backbone.denoiser.unet, self.backbone.latents.scale
        if config.start:
            network = load_controlnet(config.start, unet)
            check_fit(network, unet, self.backbone.latents.vae, config.start, config.backbone.model)
            return network
        widths = config.widths or published_widths(scale)
        if len(widths) != scale.bit_length():
            fits = f"must be {scale.bit_length()} for latents {scale} times smaller than the picture"
            raise UserError(fits, key="widths", value=widths)
        return from_unet(unet, widths).requires_grad_(False)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return self._parts

    def enable_gradient_checkpointing(self) -> None:
        self.backbone.denoiser.enable_gradient_checkpointing()

    def forward(self, batch: DepthBatch) -> dict[str, Tensor]:
        """Return the diffusion loss (eq. 5) of panoramas whose depth the ControlNet is shown."""
        return {"loss": training_loss(self.backbone, self.config, self.denoising(batch))}

    def denoising(self, batch: DepthBatch) -> Denoising:
        """Return what it learns from in one step. Raises UserError for a size that does not wrap."""
        check_rows(self.backbone, batch.images.shape[-2], "data.train.height")
        blind = uniform(batch.seeds, BLIND) < self.config.drop_depth
        depth = batch.turned_depth() * ~blind.to(batch.depth.device)[:, None, None, None]
        return turned_denoising(self.backbone, self.config, batch, self._shown(depth))

    def _shown(self, depth: Float[Tensor, "batch 1 height width"]) -> Any:
        return partial(self.backbone.predict, controls=[ControlImage(depth.expand(-1, 3, -1, -1))])

    @torch.no_grad()
    def preview(self, batch: DepthBatch) -> dict[str, Tensor]:
        """Return the target, its depth, what is known of it, and what is painted with that depth in 20 steps."""
        target, depth, source = batch.turned(), batch.turned_depth(), generators(batch.seeds, PREVIEW)
        condition = self.backbone.prepare_condition(target, batch.known, source)
        context = TextContext.of_prompts(self.backbone, batch.prompts)
        output = inpaint(self.backbone, condition, context, SamplerConfig(steps=20), source, predict=self._shown(depth))
        return {"input": target * batch.known, "depth": depth * 2 - 1, "target": target, "output": output}

    def save_pretrained(self, folder: Path) -> None:
        """Write the ControlNet as diffusers does, and if it has low-rank additions, below ``small`` what it adds."""
        save_whole(folder, self.controlnet, self.config.dtype)
        if self.config.train == "lora":
            save_small(folder / SMALL, self.controlnet, self.config.dtype)
