"""The frozen network that predicts noise or velocity: a diffusers UNet, and ControlNets beside it."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.diffusion.condition import ControlImage, TextCondition
from aognet.diffusion.control_fit import where_it_counts
from aognet.diffusion.loading import freeze
from aognet.errors import UserError
from aognet.nn.circular import is_padded_otherwise
from aognet.nn.component import Component
from aognet.nn.constant_context import keep_projections
from aognet.system.transfer import to_device

TEXT_TIME = "text_time"  # what diffusers calls SDXL's added conditions: pooled text and sizes


class Denoiser(nn.Module):
    """A ``UNet2DConditionModel`` with any number of ``ControlNetModel``. Several threads may call it at once."""

    unet: Any
    controlnets: Any

    def __init__(self, unet: Any, controlnets: Sequence[nn.Module] = ()):
        """Compose the networks.

        :raises UserError: for added conditions of another kind than SDXL's.
        """
        super().__init__()
        self.unet = freeze(unet)
        self.controlnets = nn.ModuleList()
        self._turn = Lock()
        keep_projections(unet)
        for network in controlnets:
            self.add_controlnet(freeze(network))
        added = unet.config.addition_embed_type
        if added not in (None, TEXT_TIME):
            raise UserError(f"unet: addition_embed_type is {added!r}, known are none and {TEXT_TIME!r}")

    def add_controlnet(self, network: nn.Module) -> None:
        """Put one more ControlNet beside the UNet, the last one."""
        keep_projections(network)
        self.controlnets.append(network)

    @property
    def in_channels(self) -> int:
        """The channels of the UNet's input."""
        return self.unet.config.in_channels

    @property
    def context_dim(self) -> int:
        """The size of a cross-attention token."""
        return self.unet.config.cross_attention_dim

    @property
    def has_added_conditions(self) -> bool:
        """Whether the UNet takes a pooled text and sizes besides the tokens, as SDXL's does."""
        return self.unet.config.addition_embed_type == TEXT_TIME

    @property
    def pooled_dim(self) -> int:
        """The size of the pooled text that the UNet takes; 0 without added conditions."""
        config = self.unet.config
        if not self.has_added_conditions:
            return 0
        return config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim

    @property
    def down_channels(self) -> Sequence[int]:
        """The channels of the down blocks, finest first: those of the maps in ``residuals``."""
        return self.unet.config.block_out_channels

    @property
    def halves_first(self) -> list[bool]:
        """Which down blocks get their map after they halved the resolution.

        diffusers adds the map of a block with attention before that, of others after.
        """
        return [not hasattr(block, "attentions") and bool(block.downsamplers) for block in self.unet.down_blocks]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.unet.parameters()).device  # `unet.device` looks through all modules each time

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return next(self.unet.parameters()).dtype

    def forward(
        self,
        inputs: Float[Tensor, "batch in_channels rows columns"],
        timesteps: Tensor,
        text: TextCondition,
        sizes: Float[Tensor, "batch 6"] | None = None,
        residuals: Sequence[Tensor] | None = None,
        controls: Sequence[ControlImage] = (),
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Return what the UNet predicts, in its own precision, at ``timesteps`` (one, or one per row).

        ``sizes`` are SDXL's size conditions. ``residuals`` has one map per down block, added inside the encoder.
        ``controls`` has one image for each ControlNet, or none at all.
        """
        rows, timesteps = len(inputs), to_device(timesteps, self.device)
        inputs, options = inputs.to(self.dtype), self._conditions(text, sizes)
        if residuals is not None:  # a new list: the UNet empties it
            options["down_intrablock_additional_residuals"] = [_rows(part, rows).to(self.dtype) for part in residuals]
        if controls:
            options |= self._controlled(inputs, timesteps, options, controls)
        if self.unet._compiled_call_impl is None:
            return self.unet(inputs, timesteps, return_dict=False, **options)[0]
        if is_padded_otherwise():
            return self.unet._call_impl(inputs, timesteps, return_dict=False, **options)[0]
        with self._turn:  # a replayed graph writes its next output over this one
            return self.unet(inputs, timesteps, return_dict=False, **options)[0].clone()

    def _conditions(self, text: TextCondition, sizes: Tensor | None) -> dict[str, Any]:
        options: dict[str, Any] = {"encoder_hidden_states": text.tokens.to(self.dtype)}
        if self.has_added_conditions:
            if text.pooled is None or sizes is None:
                raise ValueError("a UNet with added conditions needs a pooled text and sizes")
            options["added_cond_kwargs"] = {"text_embeds": text.pooled.to(self.dtype), "time_ids": sizes}
        return options

    def _controlled(
        self, inputs: Tensor, timesteps: Tensor, conditions: dict[str, Any], controls: Sequence[ControlImage]
    ) -> dict[str, Any]:
        """Return the sum of the residuals of all ControlNets (Zhang et al. 2023), for the UNet's skips and its middle.

        A ControlNet sees only the noisy latents, with which an inpainting UNet's input begins.
        """
        if len(controls) != len(self.controlnets):
            raise ValueError(f"{len(controls)} control images for {len(self.controlnets)} ControlNets")
        given = {key: value for key, value in conditions.items() if not key.startswith("down_")}
        total: list[Tensor] = []
        for network, control in zip(self.controlnets, controls, strict=True):
            shown = _rows(control.image.to(inputs), len(inputs))
            latents = inputs[:, : network.config.in_channels]
            options = {"controlnet_cond": shown, "conditioning_scale": control.scale, "return_dict": False}
            down, middle = network(latents, timesteps, **given, **options)
            found = [*down, middle]
            if control.where is not None:
                where = _rows(control.where.to(inputs), len(inputs))
                found = [where_it_counts(residual, where) for residual in found]
            total = [one + other for one, other in zip(total, found, strict=True)] if total else found
        return {"down_block_additional_residuals": tuple(total[:-1]), "mid_block_additional_residual": total[-1]}

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass: less memory, about a third more time."""
        for network in (self.unet, *self.controlnets):
            network.enable_gradient_checkpointing()

    def components(self) -> dict[str, Component]:
        """Return the networks as one: they run together, many times per picture."""
        return {"denoiser": Component(self, compiled=(self.unet,), channels_last=True, half=True)}


def _rows(values: Tensor, rows: int) -> Tensor:
    """Repeat the batch until it has so many rows, as the branches of guidance need it."""
    return values if len(values) == rows else values.repeat(rows // len(values), 1, 1, 1)
