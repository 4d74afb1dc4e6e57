"""Layers of image networks that see the six faces of a cube as one picture, with the weights that they have.

Faces lie one after the other in the batch: row ``6 i + j`` is face ``j`` of panorama ``i``. `see_all_faces` changes a
diffusers UNet or VAE in place. Weights and their names stay, so it loads and saves as before.
"""

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aognet.geometry.cubemap import pad_faces
from aognet.nn.padding import padded_convolutions

FACES = 6
Texts = Literal["own", "all"]


class FacesGroupNorm(nn.GroupNorm):
    """A group norm with statistics over all faces of a panorama: one brightness and one contrast (CubeDiff, sec.
    3.2).
    """

    faces: int

    def forward(self, input: Float[Tensor, "rows channels *size"]) -> Float[Tensor, "rows channels *size"]:
        if self.faces == 1:
            return super().forward(input)
        together = input.unflatten(0, (-1, self.faces)).transpose(1, 2)
        return super().forward(together).transpose(1, 2).flatten(0, 1)


class FacesConv2d(nn.Conv2d):
    """A convolution whose padding is what neighbouring faces show (multi-plane synchronisation, DreamCube, sec. 3.2).

    ``before`` is the padding in pixels above and left, ``after`` below and right. ``fov_degrees`` is that of the faces.
    """

    before: int
    after: int
    fov_degrees: float

    def _conv_forward(
        self, input: Float[Tensor, "rows channels size size"], weight: Tensor, bias: Tensor | None
    ) -> Float[Tensor, "rows out _ _"]:
        border = max(self.before, self.after)
        padded = pad_faces(input.unflatten(0, (-1, FACES)), border, self.fov_degrees).flatten(0, 1)
        kept = slice(border - self.before, padded.shape[-1] - (border - self.after))
        return functional.conv2d(padded[..., kept, kept], weight, bias, self.stride, 0, self.dilation, self.groups)


class FacesAttention:
    """An attention processor of diffusers: queries of a face attend to the keys of all faces (CubeDiff, sec. 3.2).

    ``texts`` says whether, in cross-attention, a face sees its ``own`` text or those of ``all`` faces. If all faces
    have one text, both are the same.
    """

    def __init__(self, faces: int = FACES, texts: Texts = "own"):
        from diffusers.models.attention_processor import AttnProcessor2_0

        self.faces, self.texts, self.plain = faces, texts, AttnProcessor2_0()

    def __call__(
        self, attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **others: Any
    ) -> Tensor:
        text = encoder_hidden_states
        if self.faces == 1 or (text is not None and self.texts == "own"):
            return self.plain(attention, hidden_states, text, **others)
        side_by_side, rows = hidden_states.unflatten(0, (-1, self.faces)), len(hidden_states)
        if hidden_states.ndim == 4:  # images, of which the processor makes tokens: one face below the other
            tall = side_by_side.transpose(1, 2).flatten(2, 3)
            return (
                self.plain(attention, tall, text, **others).unflatten(2, (self.faces, -1)).transpose(1, 2).flatten(0, 1)
            )
        text = None if text is None else text.unflatten(0, (-1, self.faces)).flatten(1, 2)
        return self.plain(attention, side_by_side.flatten(1, 2), text, **others).reshape(rows, *hidden_states.shape[1:])


def see_all_faces(
    network: Any,
    faces: int = FACES,
    fov_degrees: float = 90.0,
    *,
    attention: bool = True,
    texts: Texts = "own",
    norms: bool = True,
    padding: bool = False,
) -> None:
    """Change the attention, the group norms and the padded convolutions of a diffusers network in place."""
    from diffusers.models.attention_processor import Attention

    inside_attention = set()
    if attention:
        network.set_attn_processor(FacesAttention(faces, texts))
        # A norm inside of such an attention is given all faces already.
        inside_attention = {id(module.group_norm) for module in network.modules() if isinstance(module, Attention)}
    for module in list(network.modules()):
        if norms and isinstance(module, nn.GroupNorm) and id(module) not in inside_attention:
            module.__class__ = FacesGroupNorm
            assert isinstance(module, FacesGroupNorm)
            module.faces = faces
    for convolution, before, after in padded_convolutions(network) if padding else ():
        _pad_from_neighbours(convolution, before, after, fov_degrees)


def _pad_from_neighbours(convolution: nn.Conv2d, before: int, after: int, fov_degrees: float) -> None:
    convolution.__class__ = FacesConv2d
    assert isinstance(convolution, FacesConv2d)
    convolution.before, convolution.after, convolution.fov_degrees = before, after, fov_degrees
