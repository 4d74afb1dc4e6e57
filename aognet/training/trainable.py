"""The interfaces of models and datasets for the :class:`~aognet.training.trainer.Trainer`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.streams import PanoramaStream


@runtime_checkable
class Batch(Protocol):
    """A frozen dataclass of tensors and prompts. ``seeds`` has one integer for each sample."""

    seeds: Tensor

    def to(self, device: Any) -> "Batch":
        """Return the batch with its tensors on a device."""


@runtime_checkable
class Samples(Protocol):
    """An endless dataset. Sample ``n >= 0`` depends only on the dataset's config and ``n``."""

    def __getitem__(self, number: int) -> Any: ...

    def collate(self, samples: Sequence[Any]) -> Batch:
        """Return samples as a batch."""


@runtime_checkable
class StreamedSamples(Protocol):
    """A dataset whose panoramas come from a stream. ``stream`` is None if it has `Samples` by number instead."""

    stream: PanoramaStream | None

    def draw(self, panorama: CaptionedPanorama, number: int) -> Any:
        """Return a sample. It depends only on the arguments and the dataset's config."""

    def collate(self, samples: Sequence[Any]) -> Batch:
        """Return samples as a batch."""


@runtime_checkable
class Trainable(Protocol):
    """An ``nn.Module`` with frozen and trained parts.

    Everything random in ``forward``, ``training_step`` and ``preview`` comes from ``batch.seeds``, so that neither the
    number of processes nor a restart changes what is learned. Frozen parts stay out of training mode by themselves.

    What a model may have besides:

    - ``find_unused_parameters = True``, if a step may leave trained parameters unused;
    - ``finish(batches)``, called with some batches before the last ``save_pretrained``, to measure something;
    - ``training_step(batch, phase, step)``, used in the place of ``forward`` in training, and ``optimizers()``: several
      optimizers and losses (:class:`~aognet.training.phases.HasPhases`).
    """

    def trainable_parts(self) -> dict[str, nn.Module]:
        """Return modules by name. Only their parameters are optimized, averaged and checkpointed."""

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the ``loss`` (scalar, mean over the batch) and other scalars to log."""

    def preview(self, batch: Any) -> dict[str, Tensor]:
        """Return images to look at by name, [batch, 1 or 3, height, width] in [-1, 1]; may be empty."""

    def save_pretrained(self, folder: Path) -> None:
        """Write config and trained weights, which ``from_pretrained(folder)`` of the same class reads."""

    def enable_gradient_checkpointing(self) -> None:
        """Trade computing time for memory in the backward pass."""

    # What every nn.Module has
    def __call__(self, batch: Any) -> dict[str, Tensor]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def to(self, *where: Any, **options: Any) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def compile(self) -> Any: ...
