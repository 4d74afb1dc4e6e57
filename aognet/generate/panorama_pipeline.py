"""A call as of diffusers' pipelines: ``pipe(prompt=..., image=..., generator=...).images``.

It makes the requests that the command line makes of the same words, photographs and settings, so the pixels are the
same.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from diffusers.utils import BaseOutput
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aognet.callbacks import Progress
from aognet.errors import UserError
from aognet.generate.generator import Generator
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.load import load
from aognet.generate.publishing import publish, save_model
from aognet.io.panorama_files import write_image
from aognet.request import Pose, Request
from aognet.result import Result

Picture = str | Path | Image.Image | Tensor
"""A file; a Pillow image; or a tensor [3, rows, columns] with display values in [0, 1]."""
FORMS = ("pil", "pt", "np")
One = TypeVar("One")


@dataclass
class PanoramaOutput(BaseOutput):
    """``images``: in the form that was asked for. ``panoramas``: the same with all that is known of them, to be saved
    in any format; light stays light there.
    """

    images: Any
    panoramas: list[Result]


class PanoramaPipeline:
    """A loaded model that is called like diffusers' pipelines. ``generator`` is what paints."""

    def __init__(self, generator: Generator):
        """Wrap a loaded model. Its defaults are those of calls that say nothing else."""
        self.generator = generator

    @classmethod
    def from_pretrained(
        cls, model: str | Path | None = None, config: str | Path | None = None, settings: Sequence[str] = ()
    ) -> "PanoramaPipeline":
        """Return the pipeline of a folder or hub id; arguments and errors are those of `aognet.generate.load.load`."""
        return cls(load(model, config, settings))

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] = "",
        image: Picture | Sequence[Picture] | None = None,
        mask_image: Picture | Sequence[Picture] | None = None,
        *,
        negative_prompt: str = "",
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        fov: float | None = None,
        height: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        settings: Mapping[str, Any] | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | int | Sequence[torch.Generator | int] | None = None,
        name: str | None = None,
        output_type: Literal["pil", "pt", "np"] = "pil",
        return_dict: bool = True,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> PanoramaOutput | tuple[Any]:
        """Paint panoramas: one for each prompt, each image, or each pair of both.

        ``image``: a photograph at ``yaw``, ``pitch``, ``roll`` and ``fov`` (degrees); with a ``mask_image`` it is a
        panorama, which is painted where the mask is white. ``generator``: its initial seed counts, not how often it was
        used; or a seed; or a list with one for each panorama. ``name``: the noise depends on it, too; None: the image's
        file, or ``panorama`` for an image without a file and ``text`` for words alone. ``height``: rows.
        ``num_inference_steps`` and ``guidance_scale``: of the method's sampler; ``settings``: others of the method.
        ``output_type``: Pillow images, a tensor [panoramas, 3, height, width] or an array [panoramas, height, width,
        3], in which light stays light. ``progress`` and ``cancel``: as `Generator.generate` has them.

        :raises UserError: naming what cannot be used.
        """
        if output_type not in FORMS:
            raise UserError(f"must be one of {', '.join(FORMS)}", key="output_type", value=output_type)
        changed: dict[str, Any] = dict(settings or {})
        sampler = {"steps": num_inference_steps, "guidance": guidance_scale}
        if given := {key: value for key, value in sampler.items() if value is not None}:
            changed["sampler"] = {**changed.get("sampler", {}), **given}
        common = Request(seed=self.generator.defaults.seed, height=height, settings=changed)
        shared = {"negative": negative_prompt, "pose": Pose(yaw, pitch, roll, fov), "name": name}
        with ExitStack() as held:
            place = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="panorama-")))
            inputs = [
                InputsConfig(prompt=words, count=num_images_per_prompt, **shared, **_files(start, mask, place / str(n)))
                for n, (words, start, mask) in enumerate(_together(prompt, image, mask_image))
            ]
            requests = list(chain.from_iterable(list_requests(one, common) for one in inputs))
            made = [
                self.generator.generate(request, progress=progress, cancel=cancel)
                for request in _seeded(requests, generator)
            ]
        images = _as(made, output_type)
        return PanoramaOutput(images=images, panoramas=made) if return_dict else (images,)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the trained parts, and ``inference.json``: the settings that `from_pretrained` begins with.

        Networks that were not trained are referred to: by hub id, or where they are on this machine.

        :raises UserError: where nothing was trained, and for a folder that has other files.
        """
        save_model(self.generator, Path(folder))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        license: str | None = None,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload model",
        create_pr: bool = False,
    ) -> str:
        """Upload the model with a card (`aognet.generate.publishing.publish`) and return its address.

        A frozen model that is on this machine alone is uploaded, too. ``license``: its identifier on the hub; the card
        names none without it. ``private``: whether a new repository is.

        :raises UserError: for a model that refers to other files of this machine.
        """
        how = {"token": token, "commit_message": commit_message, "create_pr": create_pr}
        return publish(self.generator, repo_id, license, private, **how)


def _together(*given: One | Sequence[One] | None) -> list[tuple[Any, ...]]:
    """Return what belongs together of values, of which any may be a list. Raises UserError for other lengths."""
    lists = [list(one) if isinstance(one, list | tuple) else None for one in given]
    counts = {len(one) for one in lists if one is not None}
    if len(counts) > 1 or 0 in counts:
        raise UserError(f"and image must be as many, got {' and '.join(map(str, sorted(counts)))}", key="prompt")
    count = counts.pop() if counts else 1
    columns = ([one] * count if many is None else many for one, many in zip(given, lists, strict=True))
    return list(zip(*columns, strict=True))


def _files(image: Picture | None, mask: Picture | None, place: Path) -> dict[str, Any]:
    """Return what the configuration of inputs says of an image and a mask. Raises UserError for a mask alone."""
    if mask is not None and image is None:
        raise UserError("is of an image, and there is none", key="mask_image")
    if image is None:
        return {}
    file = _file(image, place / "panorama.png", "image")
    if mask is None:
        return {"photos": [file]}
    return {"partial": file, "mask": _file(mask, place / "mask.png", "mask_image")}


def _file(image: Picture, path: Path, key: str) -> str:
    """Return the file of an image, which is written to ``path`` if it has none."""
    if isinstance(image, str | Path):
        return str(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, Image.Image):
        kept = {name: image.info[name] for name in ("exif", "icc_profile") if image.info.get(name)}
        image.save(path, **kept)
    elif isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] == 3:
        write_image(image, path)
    else:
        said = "must be a file, a Pillow image, or a tensor [3, rows, columns] in [0, 1]"
        raise UserError(said, key=key, value=tuple(getattr(image, "shape", ())) or type(image).__name__)
    return str(path)


def _seeded(requests: list[Request], generator: Any) -> list[Request]:
    """Return the requests with the seeds of a ``generator``, or of one for each."""
    if generator is None:
        return requests
    many = list(generator) if isinstance(generator, list | tuple) else [generator] * len(requests)
    if len(many) != len(requests):
        raise UserError(f"must be one for each of {len(requests)} panoramas", key="generator", value=len(many))
    seeds = [one.initial_seed() if isinstance(one, torch.Generator) else int(one) for one in many]
    return [replace(request, seed=seed) for request, seed in zip(requests, seeds, strict=True)]


def _as(made: Sequence[Result], output_type: str) -> Any:
    if output_type == "pil":
        return [one.to_pil() for one in made]
    images: Float[Tensor, "panoramas 3 height width"] = torch.stack([one.panorama for one in made])
    if output_type == "pt":
        return images
    return images.permute(0, 2, 3, 1).numpy()
