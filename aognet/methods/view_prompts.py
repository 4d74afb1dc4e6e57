"""Words for single directions: the prompt of a view."""

import math
from collections.abc import Callable, Sequence

from aognet.geometry.camera import Camera
from aognet.request import DirectedPrompt


def plainly(words: str, prompt: str) -> str:
    """Return the words of a direction, followed by the common prompt."""
    return f"{words}, {prompt}"


def prompt_for(
    camera: Camera,
    prompt: str,
    directed: Sequence[DirectedPrompt],
    join: Callable[[str, str], str] = plainly,
    reach_degrees: float = 45.0,
) -> str:
    """Return the prompt of a view: that of the nearest direction within reach, joined with the common one."""
    near = [(float(camera.forward @ Camera(at.yaw, at.pitch).forward), at) for at in directed]
    near = [(cosine, at) for cosine, at in near if cosine >= math.cos(math.radians(reach_degrees)) - 1e-9]
    if not near:
        return prompt
    text = max(near, key=lambda pair: pair[0])[1].text
    return join(text, prompt) if prompt else text
