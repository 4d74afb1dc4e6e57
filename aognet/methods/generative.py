"""What a method offers that makes whole panoramas by itself, and how it records what it has made so far."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from aognet.callbacks import Listener
from aognet.canvas import Canvas
from aognet.diffusion.condition import ControlImage
from aognet.request import Request
from aognet.result import Result


@runtime_checkable
class Steps(Protocol):
    """What a method has made of a panorama so far, kept where a kill does not reach it.

    `aognet.generate.journal.Journal` is one.
    """

    def start(self) -> Canvas:
        """Return what the request's inputs show, in the method's encoding."""

    def controls(self) -> Sequence[ControlImage]:
        """Return the images that the request has for ControlNets, at the panorama's size: its depth first."""

    def recorded(self) -> Sequence[Any]:
        """Return the steps recorded so far, in order; each has the ``note`` that it was recorded with."""

    def step(self, number: int) -> dict[str, Tensor]:
        """Return the tensors of a recorded step, on the CPU."""

    def record(
        self, tensors: Mapping[str, Tensor], note: Mapping[str, Any] | None = None, passing: bool = False
    ) -> None:
        """Record a step: it is on the disk whole, or not at all. ``note``: plain values for JSON; a whole number
        ``done`` in it says how many steps lie behind. ``passing``: the next step takes its place.
        """


@runtime_checkable
class Generative(Protocol):
    """A method that makes panoramas by itself."""

    def check(self, request: Request, settings: Any) -> None:
        """Raise UserError for a size or settings that `generate` cannot work with, before anything is written."""

    def generate(self, request: Request, settings: Any, steps: Steps, listener: Listener) -> Result:
        """Make the panorama of a request, of ``request.height`` rows, in the method's encoding.

        All random numbers come from the request's seed and name, so that the same request gives the same panorama, also
        where it goes on from the recorded ``steps``. Progress is told to the ``listener``, which may raise
        `aognet.callbacks.Cancelled`.
        """
