"""What all methods share that are saved as their trained parts alone."""

from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from aognet.diffusion.additions import Additions
from aognet.diffusion.backbone import Backbone
from aognet.diffusion.saved import NOTHING, load_trained, save_trained
from aognet.nn.srvgg import SrvggCompact


class TrainedMethod(nn.Module):
    """A method whose folder has its trained parts, its configuration, and a reference to frozen networks.

    ``method`` is the name of its `aognet.methods.method.Method`.
    """

    method: ClassVar[str]
    config: Any

    @property
    def upscaler(self) -> SrvggCompact | None:
        """What makes painted views larger, if its backbone has it."""
        backbone = getattr(self, "backbone", None)
        return backbone.upscaler if isinstance(backbone, Backbone) else None

    def trainable_parts(self) -> dict[str, nn.Module]:
        """Return the parts that are trained and saved, by name."""
        raise NotImplementedError

    def enable_gradient_checkpointing(self) -> None:
        """Compute the activations of a backbone's UNet again in the backward pass: less memory, more time."""
        backbone = getattr(self, "backbone", None)
        if isinstance(backbone, Backbone):
            backbone.denoiser.enable_gradient_checkpointing()

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``: the configuration and the trained parts."""
        save_trained(Path(folder), self.config, self.trainable_parts(), self.method)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        revision: str | None = None,
        dtype: str | None = None,
        variant: str | None = None,
        additions: Additions = NOTHING,
    ) -> Any:
        """Load what ``save_pretrained`` wrote, from a folder or the hub, and the frozen networks it refers to.

        ``additions`` come to those of the saved backbone.

        :raises UserError: naming file and key.
        """
        model = load_trained(cls, str(folder), cls.method, revision, dtype, variant, additions)
        model.finish_loading()
        return model

    def finish_loading(self) -> None:
        """Change what was loaded to what generates fastest; by default nothing."""
