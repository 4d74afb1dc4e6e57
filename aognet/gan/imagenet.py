"""The 1000 classes of ImageNet (ILSVRC 2012), which the public generators were trained on."""

from functools import cache
from pathlib import Path

IMAGENET_CLASSES = 1000
FILE = Path(__file__).with_name("imagenet_classes.txt")


@cache
def imagenet_classes() -> dict[str, str]:
    """Return the names of the classes by their WordNet ids, in the order of their numbers.

    A name has synonyms with commas between them: ``n09421951``, which has the number 977, is ``sandbar, sand bar``.
    """
    lines = FILE.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return dict(line.split(" ", 1) for line in lines)


def imagenet_names() -> tuple[str, ...]:
    """Return the names of the classes in the order of their numbers."""
    return tuple(imagenet_classes().values())
