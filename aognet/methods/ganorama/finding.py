"""Classes, z and class vectors are found for words and for a photograph, with the generator as it is.

First classes are tried whose names are nearest. Then z and class vectors are optimised through the generator, whose
views agree as ever, by what views are to show (`aognet.methods.ganorama.aims`): by words as StyleCLIP does (Patashnik
et al. 2021), by a photograph as Image2StyleGAN does (Abdal et al. 2019). z stays within the truncated normal
distribution. The best is kept, so nothing gets worse than it began.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from aognet.callbacks import UNHEARD, Cancelled, Listener
from aognet.diffusion.sampling.moments import Moment, unfit
from aognet.gan.biggan import BigGan
from aognet.gan.truncation import REACH
from aognet.geometry.agreement import View
from aognet.methods.ganorama.aims import Aims, Measured
from aognet.methods.ganorama.settings import GanoramaSettings
from aognet.methods.ganorama.together import made_together
from aognet.methods.ganorama.wanted import Group
from aognet.methods.recording import Recording

log = logging.getLogger(__name__)
Begin = Callable[[Sequence[int | None], Sequence[int]], tuple[Tensor, Tensor]]
"""z and the weights of classes of views, from their classes (None: as drawn) and which draw their z are of (0: the
first).
"""


@dataclass(frozen=True, eq=False)
class Space:
    """What views can become: ``groups`` of them begin with classes and z (``begin``), and have ``aims``."""

    network: BigGan
    views: Sequence[View]
    settings: GanoramaSettings
    groups: Sequence[Group]
    begin: Begin
    aims: Aims

    def candidate(self, group: int, number: int) -> tuple[int, int]:
        """Return the class and the draw of z of a candidate for a group: each class, then all of them drawn anew."""
        classes = self.groups[group].classes
        return classes[number % len(classes)], number // len(classes)

    def start(self, chosen: Sequence[int]) -> tuple[Float[Tensor, "views z_dim"], Float[Tensor, "views classes"]]:
        """Return z and class weights of all views, with so many candidates' numbers for the groups."""
        numbers: list[int | None] = [None] * len(self.views)
        draws = [0] * len(self.views)
        for group, number in enumerate(chosen):
            for view in self.groups[group].views:
                numbers[view], draws[view] = self.candidate(group, number)
        z, classes = self.begin(numbers, draws)
        device = self.network.start.weight.device
        return z.to(device), classes.to(device)

    def measured(self, z: Tensor, classes: Tensor, moved: Tensor | None = None) -> Measured:
        """Return how near the views are to their aims."""
        at_once = self.settings.finding.views_at_once
        made = made_together(self.network, z, classes, self.views, self.settings, moved=moved, at_once=at_once)
        return self.aims.measured(made)

    def by_view(self, moved: Float[Tensor, "groups class_dim"]) -> Float[Tensor, "views class_dim"]:
        """Return how far the class vector of each view was moved: all of a group as far, the others not at all."""
        return torch.cat([moved.new_zeros(1, moved.shape[1]), moved])[self._rows.to(moved.device)]

    @cached_property
    def _rows(self) -> Tensor:
        rows = torch.zeros(len(self.views), dtype=torch.long)
        for number, group in enumerate(self.groups):
            rows[list(group.views)] = number + 1
        return rows


@dataclass(frozen=True, eq=False)
class Found:
    """What views are made of: z, the weights of classes, how far class vectors were moved (None: not), and a report of
    plain values.
    """

    z: Float[Tensor, "views z_dim"]
    classes: Float[Tensor, "views classes"]
    moved: Float[Tensor, "views class_dim"] | None
    report: dict[str, Any]


def find(space: Space, names: Sequence[str], recording: Recording | None = None, listener: Listener = UNHEARD) -> Found:
    """Return what fits the aims of a space best. ``names``: of the classes, for the report.

    It goes on from what is recorded, and is recorded where it is cancelled.

    :raises UserError: if what is recorded is no such search.
    :raises aognet.callbacks.Cancelled: if the ``listener`` wants it.
    """
    moment = None if recording is None else recording.begin
    chosen = tried(space, listener) if moment is None else _chosen(space, moment)
    search = Search(space, chosen)
    if moment is not None:
        search.return_to(moment)
    try:
        search.run(recording, listener)
    except Cancelled:
        if recording is not None:
            recording.record()
        raise
    return search.found(names)


@torch.no_grad()
def tried(space: Space, listener: Listener = UNHEARD) -> list[int]:
    """Return the numbers of the best candidates for each group.

    For one number after the other, each group in turn takes that candidate if all views together come nearer to their
    aims. So more candidates never leave them further away.
    """
    chosen, count = [0] * len(space.groups), space.settings.finding.candidates
    total = 1 + (count - 1) * len(space.groups)
    if total == 1:
        return chosen
    least = float(space.measured(*space.start(chosen)).objective)
    listener.tell("candidates", 1, total)
    for number in range(1, count):
        for group in range(len(space.groups)):
            other = [*chosen[:group], number, *chosen[group + 1 :]]
            objective = float(space.measured(*space.start(other)).objective)
            if objective < least:
                chosen, least = other, objective
            listener.tell("candidates", 2 + (number - 1) * len(space.groups) + group, total)
    return chosen


class Search:
    """The optimisation of z and of the groups' class vectors, by how many standard deviations each is moved."""

    def __init__(self, space: Space, chosen: Sequence[int]):
        self.space, self.chosen, self.config = space, list(chosen), space.settings.finding
        self.z, self.classes = space.start(chosen)
        device, weights = self.z.device, space.network.embeddings.weight.detach()
        self.moved = {
            "z": torch.zeros_like(self.z).requires_grad_(),
            "classes": torch.zeros(len(space.groups), weights.shape[0], device=device).requires_grad_(),
        }
        self.unit = {
            "z": abs(space.settings.truncation * space.settings.z_mul),
            "classes": float(weights.square().mean().sqrt()) * abs(space.settings.class_mul),
        }
        self.most = max(REACH * self.unit["z"], float(self.z.abs().max()))
        self.optimizer = torch.optim.Adam(list(self.moved.values()), self.config.rate)
        self.done = 0
        self.measured: dict[str, list[float]] = {}  # objective, similarity and PSNR of the start and of the best
        self.best = {name: value.detach().clone() for name, value in self.moved.items()}

    def now(self, moved: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return z and by how much class vectors of all views are moved."""
        z = (self.z + moved["z"] * self.unit["z"]).clamp(-self.most, self.most)
        return z, self.space.by_view(moved["classes"] * self.unit["classes"])

    def run(self, recording: Recording | None, listener: Listener) -> None:
        """Make the steps that are left."""
        steps = self.config.steps
        while True:
            with torch.set_grad_enabled(self.done < steps):
                z, moved = self.now(self.moved)
                objective = self._kept(self.space.measured(z, self.classes, moved))
                if self.done == steps:
                    return
                self._step(objective + self.config.pull * self._strain(z))
            self.done += 1
            if recording is not None:
                recording.passed(self.moment)
            listener.tell("steps", self.done, steps)

    def _kept(self, measured: Measured) -> Tensor:
        """Keep where the search is if nothing was nearer to the aims. Return the objective."""
        told = [float(measured.objective.detach()), measured.similarity, measured.psnr]
        self.measured.setdefault("start", told)
        if "best" not in self.measured or told[0] < self.measured["best"][0]:
            self.measured["best"] = told
            self.best = {name: value.detach().clone() for name, value in self.moved.items()}
        return measured.objective

    def _strain(self, z: Tensor) -> Tensor:
        """Return how far z is from the middle of its distribution, and class vectors from those of their classes."""
        away = self.moved["classes"].square().mean()
        return away + (z / self.unit["z"]).square().mean() if self.unit["z"] else away

    def _step(self, objective: Tensor) -> None:
        variables = list(self.moved.values())
        for variable, gradient in zip(variables, torch.autograd.grad(objective, variables), strict=True):
            variable.grad = gradient
        self.optimizer.param_groups[0]["lr"] = self.config.rate * _slower(self.done / self.config.steps)
        self.optimizer.step()
        if self.unit["z"]:  # not beyond the truncated distribution, where no gradient leads back
            with torch.no_grad():
                lowest, highest = ((edge - self.z) / self.unit["z"] for edge in (-self.most, self.most))
                self.moved["z"].clamp_(lowest, highest)

    def moment(self) -> Moment:
        """Return where the search stands."""
        tensors = {f"best.{name}": value.cpu() for name, value in self.best.items()}
        for name, variable in self.moved.items():
            tensors[f"now.{name}"] = variable.detach().cpu().clone()
            tensors |= {f"{key}.{name}": value.cpu() for key, value in self.optimizer.state[variable].items()}
        # In JSON there is no NaN.
        measured = {name: [_plain(value) for value in told] for name, told in self.measured.items()}
        return Moment(self.done, tensors, {"chosen": self.chosen, "measured": measured})

    def return_to(self, moment: Moment) -> None:
        """Go back to a moment. Raises UserError if it is not of such a search."""
        if not 0 < moment.done <= self.config.steps:
            raise unfit(f"{moment.done} of {self.config.steps} steps are done")
        try:
            for name, told in moment.memory["measured"].items():
                self.measured[name] = [math.nan if value is None else float(value) for value in told]
            with torch.no_grad():
                for name, variable in self.moved.items():
                    variable.copy_(moment.tensors[f"now.{name}"])
                    self.best[name].copy_(moment.tensors[f"best.{name}"])
                    # Adam counts on the CPU.
                    moments = {key: moment.tensors[f"{key}.{name}"].to(variable) for key in ("exp_avg", "exp_avg_sq")}
                    self.optimizer.state[variable] = {"step": moment.tensors[f"step.{name}"].clone(), **moments}
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise unfit(f"it is no search of z: {error}") from error
        self.done = moment.done

    def found(self, names: Sequence[str]) -> Found:
        """Return the best, and say what it is."""
        with torch.no_grad():
            z, moved = self.now(self.best)
        start, best = self.measured["start"], self.measured["best"]
        classes = []
        for group, number in enumerate(self.chosen):
            picked, draw = self.space.candidate(group, number)
            told = {"words": self.space.groups[group].words, "class": picked, "draw": draw}
            classes.append(told | ({"name": names[picked]} if names else {}))
        report: dict[str, Any] = {"classes": classes, "candidates": self.config.candidates, "steps": self.config.steps}
        for place, key in enumerate(("objective", "similarity", "psnr")):
            if not math.isnan(start[place]):
                report[key] = {"start": _plain(start[place], 4), "found": _plain(best[place], 4)}
        report["network"] = self.space.aims.networks.clip.name
        return Found(z, self.classes, moved if bool(moved.any()) else None, report)


def told(report: dict[str, Any]) -> str:
    """Return a report as one line of a log."""
    classes = [
        f"{one.get('name', 'class {}'.format(one['class']))}" + (f" for {one['words']!r}" if one["words"] else "")
        for one in report["classes"]
    ]
    measures = [
        f"{name} {report[key]['start']} -> {report[key]['found']}"
        for key, name in (("similarity", "similarity"), ("psnr", "PSNR where the photograph looks"))
        if key in report
    ]
    return f"{'; '.join(classes)} (of {report['candidates']}); {', '.join(measures)} in {report['steps']} steps"


def _chosen(space: Space, moment: Moment) -> list[int]:
    chosen = moment.memory.get("chosen")
    if not isinstance(chosen, list) or len(chosen) != len(space.groups) or not all(type(one) is int for one in chosen):
        raise unfit("it is no search of z")
    return chosen


def _slower(share: float) -> float:
    """Return how long a step is after a share of them: half a wave of the cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * share)


def _plain(value: float, digits: int | None = None) -> float | None:
    """Return a number as JSON has it."""
    return (value if digits is None else round(value, digits)) if math.isfinite(value) else None
