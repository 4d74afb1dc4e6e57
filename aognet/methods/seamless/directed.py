"""Words for single directions: where on the sphere each prompt counts, and the predictions of all as one.

As in MultiDiffusion (Bar-Tal et al. 2023, sec. 4.2), every prompt predicts the whole panorama, and each latent pixel
takes the mean of the predictions by the prompts' weights there.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.diffusion.condition import InpaintCondition, Predict, TextCondition
from aognet.geometry.camera import Camera
from aognet.geometry.sphere import pixel_directions
from aognet.request import DirectedPrompt


def prompt_weights(
    directed: Sequence[DirectedPrompt], reach_degrees: float, rows: int, columns: int
) -> Float[Tensor, "prompts 1 rows columns"]:
    """Return the weights of the common prompt and of each direction's, which sum to 1 in every pixel.

    With the angle from its direction a directed prompt falls smoothly from 1 (up to half of ``reach_degrees``) over 1/2
    (at ``reach_degrees``) to 0 (at one and a half of it). The common prompt has what none of them takes. Where several
    overlap, they share.
    """
    ahead = torch.stack([Camera(at.yaw, at.pitch).forward for at in directed])
    cosines = pixel_directions(rows, columns) @ ahead.T
    angles = cosines.clamp(-1, 1).acos().rad2deg().movedim(-1, 0)
    reach = max(reach_degrees, 180 / rows)  # of few pixels at least one has the words
    share = (1.5 - angles / reach).clamp(0, 1)
    near = share.square() * (3 - 2 * share)
    weights = torch.cat([(1 - near).prod(0, keepdim=True), near])
    return (weights / weights.sum(0)).to(torch.float32)[:, None]


def blended(predict: Predict, text: TextCondition, weights: Float[Tensor, "prompts 1 rows columns"]) -> Predict:
    """Return a prediction that takes the mean by ``weights`` where it is given ``text``, the prompts of these weights.

    Other texts, that of guidance's negative branch, have one row. The prompts come one after the other: memory does not
    grow with their number.
    """
    # Where its words count nowhere, a prompt needs no prediction.
    rows = [number for number, weight in enumerate(weights) if weight.any()]
    each = [(text[row : row + 1].constant(), weights[row : row + 1]) for row in rows]

    def predict_blended(
        latents: Tensor, timesteps: Tensor, given: TextCondition, condition: InpaintCondition
    ) -> Tensor:
        if len(given) == 1:
            return predict(latents, timesteps, given, condition)
        mean = torch.zeros_like(latents)
        for one, weight in each:
            mean += weight.to(latents) * predict(latents, timesteps, one, condition)
        return mean

    return predict_blended
