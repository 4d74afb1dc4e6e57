"""How well images and texts, or two images, agree in the features of a CLIP."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def clip_score(images: Float[Tensor, "pairs dim"], texts: Float[Tensor, "pairs dim"]) -> Float[Tensor, "pairs"]:
    """Return 100 max(cos, 0) of each image's embedding and its text's. Embeddings may have any length.

    J. Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning", EMNLP 2021, section 3, which
    scales by 2.5 instead. torchmetrics also scales by 100, but cuts the mean over all pairs at 0, not every pair.
    """
    return 100 * embedding_similarity(images, texts).clamp(min=0)


def embedding_similarity(a: Float[Tensor, "pairs dim"], b: Float[Tensor, "pairs dim"]) -> Float[Tensor, "pairs"]:
    """Return the cosine of every pair of embeddings, in [-1, 1]: the CLIP similarity of two images, or of two texts."""
    return functional.cosine_similarity(a.float(), b.float(), dim=-1)
