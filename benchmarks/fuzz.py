"""Damages files in every way they are damaged, and gives them to the commands that read them.

python benchmarks/fuzz.py [--only PNG models ...] [--files 1000] [--seed 0] [--number 17] [--keep FOLDER]

One line for each kind of file (`benchmarks/fuzz_kinds.py`), each file changed once to three times
(`benchmarks/mutations.py`: bits, cuts, blocks twice or missing, numbers of headers, values of JSON, other files) and
read by the real command on tiny models. A *result*: exit code 0. A *clear error*: exit code 2 with one line that
begins with "error:", or 1 with lines of the log that name what was left out. All else is a failure: a traceback, a raw
warning of a library, a signal, 20 seconds, 4 GB, an output folder that is left empty. *Peak* is the memory of the
largest process, Python and its libraries included. Prints a Markdown table, and below it the failures, each with the
command that tries it again; `--keep` keeps their files. Linux.
"""

import argparse
import logging
import random
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet import cli  # noqa: E402
from aognet.errors import UserError  # noqa: E402
from benchmarks import attempts, fault_kinds, fuzz_kinds  # noqa: E402
from benchmarks.attempts import Ended  # noqa: E402
from benchmarks.fuzz_kinds import Target  # noqa: E402
from benchmarks.mutations import mutated  # noqa: E402
from benchmarks.tables import table  # noqa: E402

log = logging.getLogger("aognet.fuzz")

MAX_SECONDS, MAX_BYTES = 20.0, 4 * 10**9
REFUSED_BYTES = 6 * 10**9  # of addresses beyond those of the libraries: so that this computer goes on
HEAD = ("damaged", "files", "results", "clear errors", "failures", "slowest, s", "peak, MB")


@dataclass
class Findings:
    """What became of the files of a kind."""

    name: str
    results: int = 0
    errors: int = 0
    slowest: float = 0.0
    peak: int = 0
    failures: list[str] = field(default_factory=list)

    def row(self) -> list[object]:
        counts = [self.results + self.errors + len(self.failures), self.results, self.errors, len(self.failures)]
        return [self.name, *map(str, counts), self.slowest, f"{self.peak / 1e6:.0f}"]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="KIND", help="kinds as in the first column of the table")
    parser.add_argument("--files", type=int, default=1000, help="of all kinds together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, metavar="N", help="of each kind this file alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where files that failed go")
    options = parser.parse_args(argv)
    if options.files < 1:
        raise UserError(f"--files must be at least 1, got {options.files}")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    attempts.alone()
    attempts.warm(fault_kinds.MODULES)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        found = Bench(Path(name), options).tried()
    sys.stdout.write(table(HEAD, [one.row() for one in [*found, _together(found)]]))
    failures = [f"- {line}\n" for one in found for line in one.failures]
    sys.stdout.write("".join(["\n", *failures]) if failures else "")
    return 1 if failures else 0


class Bench:
    """Files damaged and read, one after the other."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.inputs, self.log, self.options = folder / "inputs", folder / "log.txt", options
        # Beside the good files, which commands read, too.
        self.case, self.out = self.inputs / "case", self.inputs / "out"
        self.others: list[bytes] = []

    def tried(self) -> list[Findings]:
        attempts.apart(lambda: fuzz_kinds.make_inputs(self.inputs))
        for command in fuzz_kinds.make_runs(self.inputs):
            attempts.learn(command, self.log)
        targets = fuzz_kinds.targets(self.inputs)
        self.others = [(self.inputs / one.folder / name).read_bytes() for one in targets for name in one.files]
        names = [target.name for target in targets]
        unknown = [name for name in self.options.only or () if name not in names]
        if unknown:
            raise UserError(f"--only {unknown[0]!r}: must be one of {', '.join(names)}")
        shares = [len(range(place, self.options.files, len(targets))) for place in range(len(targets))]
        return [
            self._of_kind(target, share)
            for target, share in zip(targets, shares, strict=True)
            if not self.options.only or target.name in self.options.only
        ]

    def _of_kind(self, target: Target, share: int) -> Findings:
        found = Findings(target.name)
        self._begin(target)
        attempts.learn(target.command(self.case, self.out, random.Random(0)), self.log)  # good files are read
        for number in range(share) if self.options.number is None else [self.options.number]:
            self.one(target, number, found)
        log.info("%s: %d files, %d failures", found.name, share, len(found.failures))
        return found

    def one(self, target: Target, number: int, found: Findings) -> None:
        """Damage file ``number`` of a kind, have it read, and count what became of it."""
        draw = random.Random(f"{self.options.seed} {target.name} {number}")
        self._begin(target)
        path = self.case / draw.choice(target.files)
        if target.made_anew:
            how = target.made_anew(path, draw)
        else:
            content, how = mutated(path.read_bytes(), path.suffix, draw, self.others)
            path.write_bytes(content)
        command = target.command(self.case, self.out, draw)
        ended, _ = attempts.run(command, self.log, MAX_SECONDS, before=lambda: attempts.bounded_memory(REFUSED_BYTES))
        found.slowest, found.peak = max(found.slowest, ended.seconds), max(found.peak, ended.peak)
        wrong = self._wrong(ended)
        if wrong is None:
            found.results += ended.code == 0
            found.errors += ended.code != 0
            return
        again = f"--only {shlex.quote(target.name)} --seed {self.options.seed} --number {number}"
        found.failures.append(f"{target.name}, {path.name} ({how}): {wrong} (`{again}`)")
        if self.options.keep:
            kept = self.options.keep / f"{target.name.replace('/', ' ')}-{self.options.seed}-{number}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.case, kept)
            kept.joinpath("log.txt").write_text(f"{command}\n{ended.code}\n{ended.output}")

    def _begin(self, target: Target) -> None:
        for folder in (self.out, self.case):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.inputs / target.folder, self.case)

    def _wrong(self, ended: Ended) -> str | None:
        """What may not be, or None."""
        lines = [line for line in ended.output.splitlines() if line.strip()]
        last = lines[-1][:200] if lines else "without a word"
        if ended.timed_out:
            return f"more than {MAX_SECONDS:.0f} s"
        if ended.peak > MAX_BYTES:
            return f"{ended.peak / 1e9:.1f} GB"
        if ended.code not in (0, 1, 2):
            return f"ends with {ended.code}: {last}"
        if any("Traceback (most recent call last)" in line for line in lines):
            return f"a traceback: {last}"
        raw = [line for line in lines if re.search(r"\b\w*Warning: ", line)]
        if raw:
            return f"a raw warning: {raw[0][:200]}"
        said = [line for line in lines if line.startswith("error: ")]
        if ended.code == 2 and (len(said) != 1 or lines[-1] != said[0]):
            return f"exit code 2 without one line that says why: {last}"
        if ended.code == 1 and not any(" ERROR " in line or " WARNING " in line for line in lines):
            return f"exit code 1 without a word of why: {last}"
        if ended.code == 2 and self.out.is_dir() and not fault_kinds.results(self.out):
            return f"an empty output folder is left: {last}"
        return None


def _together(found: Sequence[Findings]) -> Findings:
    whole = Findings("together", sum(one.results for one in found), sum(one.errors for one in found))
    whole.slowest, whole.peak = max(one.slowest for one in found), max(one.peak for one in found)
    whole.failures = [line for one in found for line in one.failures]
    return whole


if __name__ == "__main__":
    cli.run(main)
