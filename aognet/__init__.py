"""360-degree panoramas from a photograph and a sentence.

``from aognet import Panorama, Photo, Request, load`` is all that a program needs. What they name is imported when it
is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aognet.generate.generator import Generator
    from aognet.generate.load import load
    from aognet.generate.panorama_pipeline import PanoramaPipeline
    from aognet.request import Control, DirectedPrompt, Photo, Pose, Request
    from aognet.result import Panorama, Result

__version__ = "0.1.0"
__all__ = [
    "Control",
    "DirectedPrompt",
    "Generator",
    "Panorama",
    "PanoramaPipeline",
    "Photo",
    "Pose",
    "Request",
    "Result",
    "load",
]
_PLACES = {
    "Generator": "aognet.generate.generator",
    "load": "aognet.generate.load",
    "PanoramaPipeline": "aognet.generate.panorama_pipeline",
    **dict.fromkeys(("Control", "DirectedPrompt", "Photo", "Pose", "Request"), "aognet.request"),
    **dict.fromkeys(("Panorama", "Result"), "aognet.result"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
