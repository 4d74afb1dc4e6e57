"""How well pictures and words, or two pictures, agree in the features of a CLIP."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def clip_score(images: Float[Tensor, "pairs dim"], texts: Float[Tensor, "pairs dim"]) -> Float[Tensor, "pairs"]:
    """100 max(cos, 0) of every image's embedding and its text's; embeddings of any length.

    J. Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning", EMNLP 2021, section 3, which
    scales by 2.5 instead. torchmetrics scales by 100 too, but cuts the mean over all pairs at 0, not every pair.
    """
    return 100 * embedding_similarity(images, texts).clamp(min=0)


def embedding_similarity(a: Float[Tensor, "pairs dim"], b: Float[Tensor, "pairs dim"]) -> Float[Tensor, "pairs"]:
    """Cosine of every pair of embeddings, in [-1, 1]: CLIP similarity of two images, or of two texts."""
    return functional.cosine_similarity(a.float(), b.float(), dim=-1)
