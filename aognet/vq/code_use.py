"""How often codes are used, and new life for those that are not (Dhariwal et al. 2020, arXiv 2005.00341, sec. 3.1)."""

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, distributed, nn

from aognet.diffusion.sampling.noise import generators
from aognet.vq.quantizer import Codebook


class CodeUse(nn.Module):
    """The share of each code among those of the last batches, a moving average that is saved with a training.

    It starts at 0, where every code of a codebook is dead: the first batch gives it its first vectors. ``even``: at
    equal shares instead, for a codebook that has learned.
    """

    shares: Tensor

    def __init__(self, codes: int, decay: float = 0.99, even: bool = False):
        super().__init__()
        self.decay = decay
        self.register_buffer("shares", torch.full((codes,), 1 / codes if even else 0.0))

    @torch.no_grad()
    def count(self, codes: Int64[Tensor, "batch rows columns"]) -> None:
        """Add a batch's codes, those of all processes."""
        counts = torch.bincount(codes.flatten(), minlength=len(self.shares)).float()
        if distributed.is_initialized():
            distributed.all_reduce(counts)
        self.shares.lerp_(counts / counts.sum(), 1 - self.decay)

    @torch.no_grad()
    def revive(
        self,
        codebook: Codebook,
        latents: Float[Tensor, "batch channels rows columns"],
        seeds: Int[Tensor, "batch"],
        below: float,
        stream: int,
    ) -> Float[Tensor, ""]:
        """Put vectors of a batch into the place of dead codes: those with less than ``below`` of an even share.

        Which vectors is decided by the first seed. Returns the share of codes that were dead.
        """
        even = 1 / len(self.shares)
        dead = self.shares < below * even
        vectors = latents.detach().float().movedim(1, -1).flatten(0, -2)
        (source,) = generators(seeds[:1].tolist(), stream)
        chosen = torch.cat(
            [torch.randperm(len(vectors), generator=source) for _ in range(-(-len(dead) // len(vectors)))]
        )
        candidates = vectors[chosen[: len(dead)].to(vectors.device)]
        if distributed.is_initialized():  # all processes take those of the first
            distributed.broadcast(candidates, 0)
        weight = codebook.embedding.weight
        weight.copy_(torch.where(dead[:, None], candidates.to(weight), weight))
        self.shares.masked_fill_(dead, even)
        return dead.float().mean()

    def perplexity(self) -> Float[Tensor, ""]:
        """Return how many codes of equal shares would be as hard to guess: from 1 to their number."""
        shares = self.shares / self.shares.sum().clamp_min(1e-12)
        return torch.special.entr(shares).sum().exp()

    def used(self, below: float = 0.1) -> Float[Tensor, ""]:
        """Return the share of codes that have at least ``below`` of an even share."""
        return (self.shares >= below / len(self.shares)).float().mean()
