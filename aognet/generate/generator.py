"""A loaded model that makes panoramas: requests in, results out, each in a folder that can be continued."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from aognet.callbacks import UNHEARD, Listener, Progress
from aognet.canvas import Canvas
from aognet.captioning.captioner import SMALL_MODEL, CaptionerConfig
from aognet.config import LoadedConfig, build_config
from aognet.diffusion.execution import ExecutionConfig, place
from aognet.errors import Setting, UserError
from aognet.generate.asked import Asked, ModelConfig
from aognet.generate.auto_prompt import with_prompts
from aognet.generate.beginning import complete, continuable, read_inputs, with_depth
from aognet.generate.editing import check_model, find_run, repaint_view
from aognet.generate.expander import Expander, ExpansionConfig, loaded, with_network
from aognet.generate.journal import Journal
from aognet.generate.names import safe_name
from aognet.generate.outpaint import Outpaint
from aognet.generate.run import Run
from aognet.generate.run_files import JOURNAL, is_displaced
from aognet.generate.showing import read_result, show, show_canvas
from aognet.generate.view_journal import ViewJournal, check_free, open_journal
from aognet.io.files import made_folder
from aognet.methods.identity import model_identity
from aognet.methods.method import Method
from aognet.methods.preferred import preferred_settings
from aognet.methods.pretrained import load_method, locate, method_of
from aognet.perception.depth_network import DepthNetwork, DepthNetworkConfig
from aognet.provenance import provenance
from aognet.request import AUTO, DirectedPrompt, Request
from aognet.result import Result
from aognet.system.locking import exclusive
from aognet.system.processes import Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Defaults:
    """What requests leave open: the rows of the panorama, the settings of the model's method, and the seed."""

    height: int
    settings: Any
    seed: int = 0


class Generator:
    """A model, and how it runs. The model is loaded when a panorama first needs it.

    Several threads may call `generate`. Their panoramas are made one after the other.
    """

    def __init__(
        self,
        model: ModelConfig,
        defaults: Defaults | None = None,
        *,
        alone: str | None = None,
        device: str | torch.device = "auto",
        execution: ExecutionConfig | None = None,
        captioner: CaptionerConfig | None = None,
        depth_network: DepthNetworkConfig | None = None,
        expansion: ExpansionConfig | None = None,
    ):
        """Find out the method of the model. ``alone`` is the method for a backbone alone
        (`aognet.methods.pretrained.load_method`). ``expansion``: what is made of each panorama besides itself.

        :raises UserError: if the model does not exist or is of no known method.
        """
        self.config, self.alone = model, alone
        self.method: Method = method_of(model.checkpoint, model.revision, alone)
        self.defaults = defaults or Defaults(2048, self._preferred())
        if model.controlnets and "controls" not in self.method.takes:
            raise UserError(f"are not for the method {self.method.name}", key="controlnets", value=model.controlnets)
        self.expansion = None
        if expansion is not None and expansion.asked:
            self.expansion = with_network(expansion, locate(model.checkpoint, model.revision))
        if self.expansion and self.expansion.needs_display and self.method.encoding == "linear":
            key = "hdr" if self.expansion.hdr else "upscale"
            raise UserError(f"is of display values, and the method {self.method.name} makes light", key=key)
        self._device = device
        self.execution = execution or ExecutionConfig()
        self.captioner = captioner or CaptionerConfig(model=SMALL_MODEL)
        self.depth_network = depth_network or DepthNetworkConfig()
        self._queue = Lock()

    def _preferred(self) -> Any:
        """Return the settings that the model paints best with.

        A model that is not there any more may still have finished runs; whoever needs it says so.
        """
        try:
            folder = locate(self.config.checkpoint, self.config.revision)
        except UserError:
            return self.method.settings_class()
        return preferred_settings(folder, self.method)

    @cached_property
    def device(self) -> torch.device:
        """Where the model runs. A launcher's processes meet when it is first asked for, not at a mistake before."""
        return Processes.start(self._device).device if isinstance(self._device, str) else self._device

    @property
    def paints_views(self) -> bool:
        """Whether the method continues views, so that `Outpaint` drives it. If not, it makes panoramas by itself."""
        return hasattr(self.method.model_class, "outpaint")

    @cached_property
    def weights(self) -> str:
        """The identity of the model, by its content."""
        return model_identity(self.config.checkpoint, self.config.revision, self.config.variant, self.config)

    @cached_property
    def model(self) -> Any:
        """The model on the device. It is loaded when it is first asked for."""
        config, expected = self.config, self.weights
        model = load_method(config.checkpoint, config.revision, config.dtype, self.alone, config.variant, config)
        if model_identity(config.checkpoint, config.revision, config.variant, config) != expected:
            raise UserError(f"{config.checkpoint}: changed while it was read; give the command again")
        return place(model, self.execution, self.device)

    # Requests

    def resolved(self, request: Request) -> Request:
        """Return a complete request: with size, method and all of the method's settings.

        :raises UserError: for another method than the model's, or settings that it does not have.
        """
        if request.method not in (None, self.method.name):
            wanted = f"must be {self.method.name}, as of {self.config.checkpoint}"
            raise UserError(wanted, key="method", value=request.method)
        settings = asdict(self.settings_of(request))
        sampler, negative = settings.get("sampler"), request.negative
        if isinstance(sampler, dict) and "negative" in sampler:  # where configurations say it
            negative, sampler["negative"] = negative or sampler["negative"], ""
        height = self.defaults.height if request.height is None else request.height
        return replace(request, height=height, method=self.method.name, settings=settings, negative=negative)

    def settings_of(self, request: Request) -> Any:
        """Return the settings of the method: those of the model, changed as the request says."""
        values = _merged(asdict(self.defaults.settings), request.settings)
        return build_config(LoadedConfig(values, {"": "request"}, "settings"), self.method.settings_class)

    def prompted(self, requests: Sequence[Request], folders: Sequence[Path], overwrite: bool = False) -> list[Request]:
        """Return resolved requests with captions as prompts where these are ``auto``.

        A run in one of the ``folders`` keeps the caption that it began with, if the request is otherwise the same.
        """
        places = {request.name: folder for request, folder in zip(requests, folders, strict=True)}

        def earlier(request: Request) -> str | None:
            folder = places[request.name]
            if overwrite or not (folder / JOURNAL).is_file():
                return None
            asked = open_journal(folder).asked
            same = asked.captioner and asked.contents == self._asked(request).contents
            return asked.request.prompt if same else None

        return with_prompts(requests, self.captioner, self.device, earlier)

    def _asked(self, request: Request, captioned: bool = False) -> Asked:
        depth_network = asdict(self.depth_network) if request.depth == AUTO else None
        captioner = asdict(self.captioner) if captioned else None
        return Asked.of(request, self.config, self.weights, captioner, depth_network)

    @cached_property
    def _estimator(self) -> DepthNetwork:
        return DepthNetwork.load(self.depth_network, self.device)

    # Panoramas

    def generate(
        self,
        request: Request,
        folder: str | Path | None = None,
        *,
        overwrite: bool = False,
        faces: bool = False,
        meshes: Sequence[str] = (),
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Make the panorama of a request.

        ``folder``: everything is recorded there while it is made, and in the end the result, the viewer and, with
        ``faces``, the cubemap; ``meshes`` are some of `aognet.generate.run_files.MESHES`. An interrupted run there is
        continued; a finished run is returned; ``overwrite`` makes it anew. None: nothing is left on the disk.
        ``progress`` is called with what is counted, how many are done and how many there are. ``cancel`` is asked
        whether to stop.

        :raises UserError: for settings, inputs or a folder that cannot be used; nothing is written then.
        :raises aognet.callbacks.Cancelled: if ``cancel`` said so; the same call continues.
        """
        listener = Listener(progress or UNHEARD.progress, cancel or UNHEARD.cancel)
        with self._queue, ExitStack() as held:
            place = Path(held.enter_context(_folder(request, folder)))
            request = self.resolved(request)
            (prompted,) = self.prompted([request], [place], overwrite)
            run = self.begin(prompted, place, held, overwrite, faces, request.prompt == AUTO, meshes)
            (result,) = self.make([run], listener)
            given = run.journal.start().known[0].cpu()
            return replace(result, given=given, folder=None if folder is None else place)

    def begin(
        self,
        request: Request,
        folder: Path,
        held: ExitStack,
        overwrite: bool = False,
        faces: bool = False,
        captioned: bool = False,
        meshes: Sequence[str] = (),
    ) -> Run:
        """Return the run of a resolved request in its folder, new or continued. ``held`` holds the folder.

        What a killed process left half done is completed. ``captioned``: the prompt is a caption.

        :raises UserError: before anything is written, if the folder has another run or somebody else's files.
        :raises UnreadableInput: if an input cannot be used.
        """
        for key in ("prompts_at", "depth", "controls", "label"):  # what is asked for must not be ignored
            if getattr(request, key) and key not in self.method.takes:
                raise UserError(f"is not for the method {self.method.name}", key=key, value=getattr(request, key))
        if request.depth is None and any(map(is_displaced, meshes)):
            raise UserError("needs a depth: give ", Setting("depth"), key="displace")
        expander, expanded = self._expander(request), self.expansion.files if self.expansion else ()
        held.enter_context(made_folder(folder))
        held.enter_context(exclusive(folder))
        asked, before = self._asked(request, captioned), check_free(folder)
        journal = None if overwrite else continuable(before, asked)
        if journal is None or not journal.begun:
            start = read_inputs(request, self.method.encoding)
            self._strategy(request)  # what cannot be loaded or used leaves no folder behind
            start = with_depth(start, request, lambda: self._estimator)
            kind = ViewJournal if self.paints_views else Journal
            journal = kind(folder, replace(asked, camera=start.camera), self.method.encoding, self._provenance())
            journal.expansion = None if expander is None else expander.record
            journal.begin(start.canvas, before, start.truth, faces, start.depth, meshes, expanded)
            return Run(journal, start.canvas)
        complete(journal, request, faces, meshes, expanded, expander, lambda: self._estimator)
        return Run(journal)

    def _expander(self, request: Request) -> Expander | None:
        """Return what makes more of a panorama, loaded and checked; None: nothing does."""
        if self.expansion is None:
            return None
        expander = loaded(self.expansion)
        expander.check(request.rows)
        return expander

    def make(self, runs: Sequence[Run], listener: Listener = UNHEARD) -> list[Result]:
        """Make what is left of runs, side by side if the method can, and write their results. Return these.

        :raises Cancelled: if the ``listener`` wants it; what is made by then is recorded.
        """
        results: list[Result] = []
        for _, group in groupby(runs, key=_told_alike):
            results += self._make_alike(list(group), listener)
        return results

    def _make_alike(self, runs: Sequence[Run], listener: Listener) -> list[Result]:
        """Do what `make` does, for runs that differ only in their inputs, prompts and seeds."""
        if not self.paints_views:
            return [self._make_alone(run.journal, listener) for run in runs]
        left, made = [run for run in runs if not run.journal.finished], {}
        if left:
            canvases = self._strategy(left[0].journal.asked.request).paint(left, listener)
            made = {id(run): canvas for run, canvas in zip(left, canvases, strict=True)}
        return [show_canvas(run.journal, made.pop(id(run), None)) for run in runs]

    def _make_alone(self, journal: Journal, listener: Listener) -> Result:
        """Return the result of a method that makes panoramas by itself."""
        request = journal.asked.request
        if journal.shown:
            return read_result(journal)
        result = self._strategy(request).generate(request, self.settings_of(request), journal, listener)
        if result.encoding != journal.encoding or result.panorama.shape != (3, request.rows, 2 * request.rows):
            raise TypeError(
                f"{self.method.name} made {result.encoding} of shape {tuple(result.panorama.shape)} for {request}"
            )
        return show(journal, replace(result, prompt=request.prompt, camera=journal.photo_camera))

    def _strategy(self, request: Request) -> Any:
        """Return what makes the panorama of a request. Raises UserError for settings that do not fit the model."""
        settings = self.settings_of(request)
        if not self.paints_views:
            self.model.check(request, settings)
            return self.model
        sampler = replace(settings.sampler, negative=request.negative)
        return Outpaint(self.model, replace(settings, sampler=sampler), self.device)

    def repaint(
        self,
        folder: str | Path,
        at: DirectedPrompt,
        *,
        progress: Progress | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Paint a direction of a finished run again, with the settings in its journal.

        ``folder``: of the run, or with nothing but this run in it. ``progress``, ``cancel``: as in `generate`. If the
        process is killed, the same call completes the change.

        :raises UserError: for what is no finished run of views, and for a run of another model.
        """
        listener = Listener(progress or UNHEARD.progress, cancel or UNHEARD.cancel)
        with self._queue:
            return repaint_view(find_run(Path(folder)), at, lambda journal: self.painted_again(journal, at, listener))

    def painted_again(self, journal: ViewJournal, at: DirectedPrompt, listener: Listener) -> Canvas:
        """Return the canvas of a run with a direction painted again (`Outpaint.repaint`). Raises UserError if this is
        not its model.
        """
        check_model(journal, self.method, self.weights)
        return self._strategy(journal.asked.request).repaint(journal, at, listener)

    def fork(self, run: Run, source: ViewJournal, count: int) -> None:
        """Give a run that has no views yet the first views of another; see `Outpaint.fork`."""
        if not self.paints_views:
            raise UserError(f"is of methods that paint views, and {self.method.name} does not", key="view", value=count)
        self._strategy(run.journal.asked.request).fork(run, source, count)

    def _provenance(self) -> dict[str, Any]:
        """Return what the pixels may depend on besides the request.

        It has no time, and not whether files of the program are changed: a repeated run writes the same bytes.
        """
        told = {key: value for key, value in provenance(self.device.type).items() if key not in ("time", "command")}
        return told | {"git": {"commit": told["git"]["commit"]}}


@contextmanager
def _folder(request: Request, folder: str | Path | None) -> Iterator[str | Path]:
    """Yield the folder of a run. If none is given, it is temporary."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="panorama-") as temporary:
        yield Path(temporary) / safe_name(request.name)


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings with the values of others over theirs."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _told_alike(run: Run) -> tuple[dict[str, Any], str]:
    """Return what tells apart runs that cannot be painted side by side."""
    request = run.journal.asked.request
    return request.settings, request.negative
