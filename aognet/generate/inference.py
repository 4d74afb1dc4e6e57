"""A whole inference run: the configuration, the model, and one folder for each panorama."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from aognet.callbacks import UNHEARD, Listener
from aognet.captioning.captioner import SMALL_MODEL, CaptionerConfig
from aognet.config import LoadedConfig, build_config
from aognet.diffusion.additions import Additions
from aognet.diffusion.execution import ExecutionConfig
from aognet.diffusion.loading import check_dtype
from aognet.diffusion.vocabulary import read_vocabulary
from aognet.errors import Setting, UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.beginning import UnreadableInput
from aognet.generate.editing import find_run, repaint_view, undo_views
from aognet.generate.expander import ExpansionConfig
from aognet.generate.flat import Bars, make_flat_images
from aognet.generate.generator import Defaults, Generator
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.method_settings import settings_with_size, without_others
from aognet.generate.run import Run
from aognet.generate.run_files import check_inputs, mesh_files
from aognet.generate.view_journal import ViewJournal, check_free
from aognet.geometry.tiles import TilesConfig
from aognet.hdr.finishing import FinishingConfig
from aognet.installed import installed
from aognet.io.captions import a_few
from aognet.io.files import check_writable, made_folder
from aognet.methods.method import Method, find_method
from aognet.perception.depth_network import DepthNetworkConfig
from aognet.request import AUTO, DirectedPrompt, Request
from aognet.style.styling import StyleConfig
from aognet.system.processes import Processes

log = logging.getLogger(__name__)


def silent(name: str) -> AbstractContextManager[Listener]:
    """Show nothing."""
    return nullcontext(UNHEARD)


@dataclass(frozen=True)
class InferenceConfig(Additions):
    """Everything that ``inference.py`` reads from YAML, and what is added to the checkpoint's backbone.

    ``variant`` and ``dtype``: which of the frozen backbone's weights are read (``fp16``: the files of that name), and
    in which precision they are held. ``method``: how a checkpoint paints that is a backbone alone (null: as AOG-Net).
    ``save_faces``: also write each panorama's cubemap. ``save_ply``, ``save_glb``: also its mesh;
    ``displace``: as far away as its depth says. ``panoramas_per_batch``: how many are painted side by side;
    their views share batches of ``generator.views_per_batch``. ``generator``: ``height`` (rows of the panorama),
    ``seed``, and the settings of the checkpoint's method (`aognet.methods.method.Method.settings`). ``captioner``: the
    model that writes the prompt if ``inputs.prompt`` is ``auto``. ``depth_network``: the network that estimates the
    depth if ``inputs.depth`` is ``auto``. ``tiles``: flat images of so many tiles are made in place of panoramas, by
    methods that can (null: panoramas). ``hdr``, ``upscale``, ``sritmo``, ``upscaler``, ``finishing``, ``style``: what
    is made of each panorama besides itself (`aognet.generate.expander.ExpansionConfig`).
    """

    checkpoint: str = field(default_factory=lambda: installed("assets/embedded/aognet"))
    revision: str | None = None
    variant: str | None = None
    method: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: str | None = None
    out_dir: str = "outputs"
    save_faces: bool = False
    save_ply: bool = False
    save_glb: bool = False
    displace: bool = False
    panoramas_per_batch: int = 1
    inputs: InputsConfig = field(default_factory=InputsConfig)
    generator: dict[str, Any] = field(default_factory=dict)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    captioner: CaptionerConfig = field(default_factory=lambda: CaptionerConfig(model=SMALL_MODEL))
    depth_network: DepthNetworkConfig = field(default_factory=DepthNetworkConfig)
    tiles: TilesConfig | None = None
    hdr: bool = False
    upscale: float = 1.0
    sritmo: str = ""
    upscaler: str = ""
    finishing: FinishingConfig = field(default_factory=FinishingConfig)
    style: StyleConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype is not None:
            check_dtype(self.dtype)
        if self.method is not None:
            find_method(self.method)
        if self.tiles is not None and self.expansion.asked:
            key = "hdr" if self.hdr else "style" if self.upscale == 1 else "upscale"
            raise UserError("is of panoramas, and flat images are made", key=key)
        for key in ("save_faces", "save_ply", "save_glb"):
            if self.tiles is not None and getattr(self, key):
                raise UserError("is of panoramas, and flat images are made", key=key, value=True)
        if self.displace and not self.meshes:
            wanted = Setting("save_ply"), " or ", Setting("save_glb")
            raise UserError("changes nothing without ", *wanted, key="displace", value=self.displace)
        if self.panoramas_per_batch < 1:
            raise UserError("must be at least 1", key="panoramas_per_batch", value=self.panoramas_per_batch)

    @property
    def meshes(self) -> tuple[str, ...]:
        """Which meshes of each panorama are written."""
        return mesh_files(self.save_ply, self.save_glb, self.displace)

    @property
    def expansion(self) -> ExpansionConfig:
        """What is made of each panorama besides itself."""
        return ExpansionConfig(self.hdr, self.upscale, self.sritmo, self.upscaler, self.finishing, style=self.style)

    @property
    def model(self) -> ModelConfig:
        """Which model generates."""
        return ModelConfig(self.checkpoint, self.revision, self.variant, self.dtype).with_more(self)


def read_inference(loaded: LoadedConfig) -> tuple[InferenceConfig, Generator, Request]:
    """Return the checked configuration, the generator it names, and what all of its requests have in common.

    Only the configuration of the model is read, not its weights. Raises UserError naming file, key and value.
    """
    config = read_config(loaded)
    generator = Generator(
        config.model,
        alone=config.method,
        device=config.device,
        execution=config.execution,
        captioner=config.captioner,
        depth_network=config.depth_network,
        expansion=config.expansion,
    )
    generator.defaults = read_defaults(loaded, generator.method, generator.defaults.settings)
    return config, generator, generator.resolved(Request(seed=generator.defaults.seed))


def read_config(loaded: LoadedConfig) -> InferenceConfig:
    """Return the configuration, checked but for the section ``generator``. Raises UserError naming file, key, value."""
    loaded.check_keys(["SHARE", *(one.name for one in fields(InferenceConfig))])
    return build_config(loaded.without({"SHARE"}), InferenceConfig)


def read_defaults(loaded: LoadedConfig, method: Method, preferred: Any = None) -> Defaults:
    """Return what the section ``generator`` says of size and settings of a method, and of the seed.

    ``preferred``: the settings of the model; what the section leaves out is as they say.

    Raises UserError naming file, key and value.
    """
    section = loaded.section("generator") if loaded.has("generator") else LoadedConfig({}, loaded.sources, "generator")
    section = without_others(section, method)
    left_out = {} if preferred is None else vars(preferred)
    chosen = build_config(section, settings_with_size(method.settings_class), left_out)
    settings = {one.name: getattr(chosen, one.name) for one in fields(method.settings_class)}
    return Defaults(chosen.height, method.settings_class(**settings), chosen.seed)


def paint_all(loaded: LoadedConfig, overwrite: bool = False, read: Sequence[Path] = (), bars: Bars = silent) -> int:
    """Paint every panorama the configuration asks for; return the exit code (1 if an input had to be skipped).

    ``read``: files that the command line was read from, besides those of the configuration. ``bars``: show progress.

    :raises UserError: before anything is written, where a run would write over an input or over what no run wrote.
    """
    config, generator, common = read_inference(loaded)
    bare = ("panorama" if config.tiles is None else "image") if "label" in generator.method.takes else None
    requests, out_dir = list_requests(config.inputs, common, bare), Path(config.out_dir)
    texts = [*config.inputs.captions, *([config.inputs.prompts] if config.inputs.prompts else [])]
    style = [] if config.style is None else [Path(config.style.photo)]
    settings = [*read, *style, *map(Path, {*loaded.sources.values(), *texts})]
    if config.tiles is not None:
        return make_flat_images(generator, config.tiles, requests, out_dir, overwrite, bars)
    folders = [out_dir / request.name for request in requests]
    check_inputs(folders, [*settings, *(path for request in requests for path in request.files)])
    for folder in folders:
        check_free(folder)
    _note_unused(config.words, requests)
    with made_folder(out_dir, "out_dir"):
        check_writable(out_dir, "out_dir")
        with Processes.start(config.device) as processes:
            # Waits for the others too: the launcher ends them all when one leaves with an error.
            ours = requests[processes.number :: processes.count]
            batches = Batches(config, generator, overwrite, len(requests) == 1, bars)
            skipped = processes.total(batches.paint(ours))
    if skipped and processes.first:
        log.error("%d of %d inputs could not be read and were left out", skipped, len(requests))
    return 1 if skipped else 0


def _note_unused(words: Sequence[str], requests: Sequence[Request]) -> None:
    """Say so if words were given that no prompt has: they would change nothing."""
    vocabulary = read_vocabulary(words)
    said = (text for one in requests for text in (one.prompt, one.negative, *(at.text for at in one.prompts_at)))
    if words and requests and not any(map(vocabulary.has, said)):
        names = a_few([*vocabulary.aliases, *vocabulary.words])
        log.warning("%s: no prompt has a word of these files (%s), so they change nothing", Setting("words"), names)


@dataclass(frozen=True)
class Batches:
    """Paints requests, as many side by side as the configuration says. ``alone``: there is one request in all."""

    config: InferenceConfig
    generator: Generator
    overwrite: bool
    alone: bool
    bars: Bars

    def paint(self, requests: Sequence[Request]) -> int:
        """Paint requests of this process; return how many had to be skipped."""
        skipped, together = 0, self.config.panoramas_per_batch
        folders = [Path(self.config.out_dir) / request.name for request in requests]
        prompted = self.generator.prompted(requests, folders, self.overwrite)
        captioned = [request.prompt == AUTO for request in requests]
        asked = list(zip(prompted, folders, captioned, strict=True))
        for first in range(0, len(asked), together):
            with ExitStack() as held:
                runs = []
                for one in asked[first : first + together]:
                    try:
                        runs += self._begun(*one, held)
                    except UnreadableInput as error:
                        if self.alone:
                            raise
                        log.error("%s; left out", error)
                        skipped += 1
                self._paint(runs)
        return skipped

    def _begun(self, request: Request, folder: Path, captioned: bool, held: ExitStack) -> list[Run]:
        """Return the run of a request; none if everything is painted and shown."""
        faces, meshes = self.config.save_faces, self.config.meshes
        run = self.generator.begin(request, folder, held, self.overwrite, faces, captioned, meshes)
        if run.journal.shown:
            said = "%s: painted already with these settings (%s paints it again)"
            log.info(said, folder / "result.png", Setting("overwrite"))
            return []
        if run.start is None and not run.journal.finished:
            log.info("%s: going on after %d %s", folder, run.journal.done, run.journal.kind)
        return [run]

    def _paint(self, runs: Sequence[Run]) -> None:
        if runs:
            name = runs[0].journal.folder.name if len(runs) == 1 else f"{len(runs)} panoramas"
            with self.bars(name) as listener:
                self.generator.make(runs, listener)


def edit_run(folder: Path, undo: int | None, repaint: str | None, bars: Bars = silent) -> int:
    """Take views of a run back, or paint a direction again, with the settings in its journal.

    What a killed process began with the same words is completed, not done twice.
    """
    at, folder = None if repaint is None else DirectedPrompt.parse(repaint, "repaint"), find_run(folder)
    if at is None:
        undo_views(folder, undo or 0)
        return 0
    with bars(folder.name) as listener:
        repaint_view(folder, at, lambda journal: _generator_of(journal).painted_again(journal, at, listener))
    return 0


def _generator_of(journal: ViewJournal) -> Generator:
    """Return the generator that made a run. Raises UserError if its model is not there."""
    return Generator(journal.asked.model, alone=journal.asked.request.method)
