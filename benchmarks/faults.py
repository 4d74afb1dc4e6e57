"""Kills commands at any moment, gives them again until they end, and compares what they leave with an undisturbed run.

python benchmarks/faults.py [--only painting-photo training ...] [--kills 100] [--seed 0] [--trial 17] [--keep FOLDER]

One line for each kind of work (`benchmarks/fault_kinds.py`: tiny models, a second a run). A trial begins with an empty
folder (or with a finished run, to edit), is killed (SIGKILL) once to three times, and then left alone until the same
command ends with exit code 0; an edit that is whole on the disk is not given again. *At calls*: just before a call that
changes the output folder (opening for writing, renaming, removing, making a folder, fsync), every one of an undisturbed
run in turn, and once more with half of what was written last missing. *At times*: drawn evenly over the length of an
undisturbed run. Kills reach all processes of a command; every tenth at a time reaches the first process alone, and the
others have to end within 20 seconds by themselves (other ranks are ended as torchrun does). A trial is *identical* if
every file, hidden ones included, has the bytes that the undisturbed run left; of metrics, speed and memory are left
out, and the lists of starts are not compared. Attempts are forks of a process that has imported what they need, ranks
are given the environment that torchrun gives. Prints a Markdown table, and below it what was not identical, each with
the command that tries it again.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet import cli  # noqa: E402
from aognet.errors import UserError  # noqa: E402
from benchmarks import attempts, fault_kinds  # noqa: E402
from benchmarks.attempts import Kill  # noqa: E402
from benchmarks.fault_kinds import KINDS, Kind  # noqa: E402
from benchmarks.tables import table  # noqa: E402
from benchmarks.write_calls import Calls, Moment, moments, read_calls  # noqa: E402

log = logging.getLogger("aognet.faults")

MAX_KILLS_A_TRIAL = 3
LAST_ATTEMPTS = 3  # without a kill; the first should do
ORPHANS_SECONDS = 20.0
DYING_SECONDS = 0.1
HEAD = ("killed", "kills at calls", "kills at times", "trials", "identical", "undisturbed, s", "all, s")


class Failed(Exception):
    """A trial that did not end as it should; says how."""


@dataclass
class Findings:
    """What the trials of a kind gave."""

    kind: Kind
    seconds: float = 0.0
    at_calls: int = 0
    at_times: int = 0
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    all_seconds: float = 0.0

    @property
    def kills(self) -> int:
        return self.at_calls + self.at_times

    def row(self) -> list[object]:
        counts = [str(count) for count in (self.at_calls, self.at_times, self.trials)]
        identical = str(self.trials - len(self.failures))
        return [self.kind.name, *counts, identical, self.seconds, self.all_seconds]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [kind.name for kind in KINDS]
    parser.add_argument("--only", nargs="+", metavar="KIND", default=names, help=", ".join(names))
    parser.add_argument("--kills", type=int, default=100, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trial", type=int, metavar="N", help="this one alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where folders of failed trials go")
    options = parser.parse_args(argv)
    unknown = [name for name in options.only if name not in names]
    if unknown:
        raise UserError(f"--only {unknown[0]}: must be one of {', '.join(names)}")
    if options.kills < 1:
        raise UserError(f"--kills must be at least 1, got {options.kills}")
    attempts.alone()
    attempts.warm(fault_kinds.MODULES)
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        attempts.apart(lambda: fault_kinds.make_inputs(folder / "inputs"))
        found = []
        for kind in KINDS:
            if kind.name in options.only:
                found.append(Bench(kind, folder, options).tried())
                log.info("%s: %d kills, %d failures", kind.name, found[-1].kills, len(found[-1].failures))
    sys.stdout.write(table(HEAD, [one.row() for one in found]))
    failures = [f"- {line}\n" for one in found for line in one.failures]
    sys.stdout.write("".join(["\n", *failures]) if failures else "")
    return 1 if failures else 0


class Bench:
    """Trials of one kind."""

    def __init__(self, kind: Kind, folder: Path, options: argparse.Namespace) -> None:
        self.kind, self.options = kind, options
        # Always the same place, so that files which hold paths can be compared.
        self.inputs, self.work, self.log = folder / "inputs", folder / "work", folder / "log.txt"
        self.out = self.work / "out"
        self.calls = folder / f"{kind.name}.calls"
        self.found = Findings(kind)
        self.groups: list[int] = []

    def tried(self) -> Findings:
        """As many trials as it takes for the kills that were asked for, or the one that was asked for."""
        began = time.monotonic()
        if self.kind.begin is fault_kinds.finished and not (self.inputs / "finished").is_dir():
            attempts.learn(fault_kinds.FINISHED(inputs=self.inputs, out=self.inputs / "finished"), self.log)
        self._begin()
        attempts.learn(self._command(), self.log)
        self._begin()
        self.found.seconds = self._undisturbed(self._watch(None))
        self.expected = fault_kinds.results(self.out)
        self.moments = moments(read_calls(self.calls)) if self.kind.calls else []
        number = self.options.trial or 0
        while self.found.kills < self.options.kills:
            self._trial(number)
            number += 1
            if self.options.trial is not None:
                break
        self.found.all_seconds = time.monotonic() - began
        return self.found

    def _trial(self, number: int) -> None:
        draw = random.Random(f"{self.options.seed} {self.kind.name} {number}")
        plan = self._plan(draw, number)
        self.found.trials += 1
        self.groups = []
        self._begin()
        try:
            self._carried_out(plan)
            self._compared()
            self._without_orphans()
        except Failed as failure:
            again = f"--only {self.kind.name} --seed {self.options.seed} --kills {self.options.kills} --trial {number}"
            self.found.failures.append(f"{self.kind.name}, killed {_said(plan)}: {failure} (`{again}`)")
            if self.options.keep:
                kept = self.options.keep / f"{self.kind.name}-{self.options.seed}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(self.work, kept)
                shutil.copy(self.log, kept / "log.txt")
        finally:
            for group in self.groups:
                attempts.end_group(group)

    def _plan(self, draw: random.Random, number: int) -> list[Moment | Kill]:
        """When the attempts of a trial are killed. Every moment comes first once, evenly chosen if there are many."""
        count = draw.choice(range(1, MAX_KILLS_A_TRIAL + 1))
        some = self.moments[:: max(1, -(-len(self.moments) // self.options.kills))]
        plan: list[Moment | Kill] = [some[number]] if number < len(some) else [self._at_time(draw)]
        while len(plan) < count:
            at_call = self.moments and draw.random() < 0.5
            plan.append(draw.choice(self.moments) if at_call else self._at_time(draw))
        return plan

    def _at_time(self, draw: random.Random) -> Kill:
        return Kill(draw.random() * self.found.seconds, first_alone=draw.random() < 0.1)

    def _carried_out(self, plan: Sequence[Moment | Kill]) -> None:
        for planned in plan:
            at_call = isinstance(planned, Moment)
            ended = self._attempt(None if at_call else planned, self._watch(planned) if at_call else None)
            if ended.code == 0:
                return
            if ended.code != -9:
                raise Failed(_cause(ended))
            self.found.at_calls += at_call
            self.found.at_times += not at_call
            if self.kind.once and fault_kinds.results(self.out) == self.expected:
                return
        ended = self._attempt()
        for _ in range(LAST_ATTEMPTS - 1):
            if ended.code == 0:
                return
            ended = self._attempt()
        if ended.code != 0:
            raise Failed(_cause(ended))

    def _attempt(self, kill: Kill | None = None, before: Callable[[], None] | None = None) -> attempts.Ended:
        limit = 60 + 20 * self.found.seconds
        ended, group = attempts.run(self._command(), self.log, limit, kill, before or (lambda: None))
        self.groups.append(group)
        self._let_go(group, kill is not None and kill.first_alone)
        if ended.timed_out:
            raise Failed(f"an attempt hung for {limit:.0f} s")
        return ended

    def _let_go(self, group: int, first_alone: bool) -> None:
        """Until all that was killed has ended: a process that is dying may hold its folder for a moment."""
        until = time.monotonic() + (DYING_SECONDS if first_alone else ORPHANS_SECONDS)
        while attempts.members(group) and time.monotonic() < until:
            time.sleep(0.005)

    def _compared(self) -> None:
        found = fault_kinds.results(self.out)
        wrong = [f"{name} is missing" for name in self.expected if name not in found]
        wrong += [f"{name} is left over" for name in found if name not in self.expected]
        wrong += [f"{name} differs" for name in found if name in self.expected and found[name] != self.expected[name]]
        if wrong:
            raise Failed("; ".join(wrong[:6]) + (f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""))

    def _without_orphans(self) -> None:
        until = time.monotonic() + ORPHANS_SECONDS
        while left := [one for group in self.groups for one in attempts.members(group)]:
            if time.monotonic() > until:
                raise Failed(f"{len(left)} processes outlive the one that was killed")
            time.sleep(0.1)

    def _undisturbed(self, before: Callable[[], None] | None = None) -> float:
        """Seconds of a run that has to succeed."""
        ended, _ = attempts.run(self._command(), self.log, 600, None, before or (lambda: None))
        attempts.succeeded(self._command(), ended)
        return ended.seconds

    def _watch(self, moment: Moment | None) -> Callable[[], None]:
        calls = Calls(self.work, self.calls, moment)
        return calls.watch

    def _begin(self) -> None:
        attempts.emptied(self.work)
        self.kind.begin(self.inputs, self.out)

    def _command(self) -> attempts.Command:
        return self.kind.command(inputs=self.inputs, out=self.out)


def _said(plan: Sequence[Moment | Kill]) -> str:
    def words(planned: Moment | Kill) -> str:
        if isinstance(planned, Moment):
            return f"at call {planned.number}" + (" with half a file" if planned.torn else "")
        return f"after {planned.after:.2f} s" + (", the first process alone" if planned.first_alone else "")

    return ", then ".join(map(words, plan))


def _cause(ended: attempts.Ended) -> str:
    lines = [line for line in ended.output.splitlines() if line.strip()]
    return f"ended by itself with {ended.code}: {lines[-1] if lines else 'without a word'}"


if __name__ == "__main__":
    cli.run(main)
