"""How SR-iTMO is trained: display values at any size, and light beyond what these can show."""

from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aognet.data.light_patches import LightPatchBatch
from aognet.diffusion.loading import DTYPES, check_dtype
from aognet.errors import UserError
from aognet.hdr.expanding import expand
from aognet.hdr.queries import neighbours, shares
from aognet.hdr.sritmo import FLOOR, SATURATED, SrItmo, SrItmoConfig

PREVIEW_STOPS = (0.0, -3.0)
_EPSILON = 1e-6


class SrItmoTraining(nn.Module):
    """Learns display values and light of patches. It writes the folder of the network."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The network and the weights of its losses. Zeros for the last two give the published loss.

        ``invariant_weight``: of the variance of the error of the logarithm, which the scale of light does not change.
        ``own_weight``: of that error where the display values say the light. ``beyond_weight``: of that error where
        they are saturated. ``dtype``: that of the weights in the file.
        """

        network: SrItmoConfig = field(default_factory=SrItmoConfig)
        invariant_weight: float = 1.0
        own_weight: float = 1.0
        beyond_weight: float = 1.0
        dtype: str = "float32"

        def __post_init__(self) -> None:
            check_dtype(self.dtype)
            for key in ("invariant_weight", "own_weight", "beyond_weight"):
                if not 0 <= getattr(self, key) <= 1000:
                    raise UserError("must lie in [0, 1000]", key=key, value=getattr(self, key))

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.network = SrItmo(config.network)
        if config.network.residual:  # it begins by interpolating
            for last in (self.network.srmapper.last, self.network.hdrmapper.last):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def forward(self, batch: LightPatchBatch) -> dict[str, Tensor]:
        """Return the losses: L1 of display values, and those of the logarithm of light."""
        config, (display, log_light) = self.config, self.asked(batch)
        display, log_light = display.float(), log_light.float()
        shown = (display - batch.display).abs().mean()
        error = log_light - logarithm(batch.light, config.network.residual)
        saturated = batch.display >= 2 * SATURATED - 1
        own, beyond = _mean(error.abs(), ~saturated), _mean(error.abs(), saturated)
        # The published one takes mean and variance over the whole batch; here each patch has its own scale.
        invariant = (error.square().mean((1, 2)) - error.mean((1, 2)).square()).mean()
        loss = shown + config.invariant_weight * invariant
        loss = loss + config.own_weight * own + config.beyond_weight * beyond
        told = {"shown": shown, "invariant": invariant, "own": own, "beyond": beyond}
        return {"loss": loss} | {name: value.detach() for name, value in told.items()}

    def asked(self, batch: LightPatchBatch) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch points 3"]]:
        """Return what the network answers at the points of a batch."""
        size = batch.low.shape[-1]
        edge = "repeats" if self.config.network.sphere else "published"
        down, across = (neighbours(batch.cells[..., axis], size, edge) for axis in (0, 1))
        down, across = down.to(batch.low.device), across.to(batch.low.device)
        weights = shares(down.offsets, across.offsets)
        first = self.network.first_layer(batch.low, whole=False).flatten(1, 2)
        low = batch.low.permute(0, 2, 3, 1).flatten(1, 2)
        pairs = [(a, b) for a in (0, 1) for b in (0, 1)]
        numbers = {(a, b): down.cells[a] * size + across.cells[b] for a, b in pairs}
        by_row, by_column, by_cell = self.network.offset_layer()
        sizes = 2 * batch.sizes.to(first)[:, None, None] * by_cell.sum(0)

        def at(a: int, b: int) -> Tensor:
            offsets = down.offsets[a][..., None] * by_row + across.offsets[b][..., None] * by_column
            return _picked(first, numbers[a, b]) + (offsets + sizes).to(first.dtype)

        between = reduce(torch.add, (_picked(low, numbers[a, b]) * weights[a, b][..., None] for a, b in pairs))
        latitude_alone = self.config.network.position == "latitude"
        position = batch.directions[..., 1:] if latitude_alone else _published(batch.directions)
        firsts = (at(a, b) for a, b in pairs)
        return self.network.answers(firsts, (weights[a, b] for a, b in pairs), position.to(first.dtype), between)

    @torch.no_grad()
    def preview(self, batch: LightPatchBatch) -> dict[str, Tensor]:
        """Return low patches and what the network makes of them at their own size, as cameras show it."""
        found = [expand(self.network, one.clamp(-1, 1), 1.0, whole=False) for one in batch.low]
        light = torch.stack([one.log_light.exp() for one in found])
        images = {"low": batch.low, "display": torch.stack([one.display for one in found]).clamp(-1, 1)}
        for stops in PREVIEW_STOPS:
            images[f"light {stops:+g} stops"] = (light * 2.0**stops).clamp(0, 1).pow(1 / 2.2) * 2 - 1
        return images

    def enable_gradient_checkpointing(self) -> None:
        """Refuse it: the network is small."""
        raise UserError("is not for this training", key="trainer.gradient_checkpointing")

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        self.network.save_pretrained(folder, DTYPES[self.config.dtype])


def logarithm(light: Float[Tensor, "*shape"], floored: bool) -> Float[Tensor, "*shape"]:
    """Return the natural logarithm of light that is learned: not below that of `FLOOR`, or as published."""
    return light.clamp_min(FLOOR).log() if floored else (light + _EPSILON).log()


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of some values, 0 of none."""
    return (values * where).sum() / where.sum().clamp_min(1)


def _picked(cells: Float[Tensor, "batch cells channels"], numbers: Tensor) -> Float[Tensor, "batch points channels"]:
    return cells.gather(1, numbers[..., None].expand(-1, -1, cells.shape[-1]))


def _published(directions: Float[Tensor, "batch points 2"]) -> Float[Tensor, "batch points 2"]:
    """Return longitude and latitude as published, where latitude grows downwards."""
    return directions * directions.new_tensor([1.0, -1.0])
