"""Do the tests see a mistake? Each mutation is made in a copy of the code, and the tests named with it must fail.

python benchmarks/code_mutations.py --only ema
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet import cli  # noqa: E402

TRAINER, PHASES = "tests/training/test_trainer.py", "tests/training/test_phases.py"

log = logging.getLogger("aognet.code_mutations")


@dataclass(frozen=True)
class CodeMutation:
    """``before`` in ``file`` becomes ``after``, which the test file ``seen_by`` must see."""

    file: str
    before: str
    after: str
    seen_by: str


MUTATIONS = (
    CodeMutation("aognet/training/ema.py", "weights, 1 - decay", "weights, decay", TRAINER),
    CodeMutation("aognet/training/ema.py", "min(self.decay, (1 + step) / (10 + step))", "self.decay", TRAINER),
    CodeMutation("aognet/training/trainer.py", "self.ema.update(step + 1)", "self.ema.update(step)", TRAINER),
    CodeMutation("aognet/training/trainer.py", "if config.threads:", "if False:", TRAINER),
    CodeMutation("aognet/training/setup.py", "config.weight_decay}", "0.0}", TRAINER),
    CodeMutation("aognet/training/setup.py", '"betas": config.betas', '"betas": (0.9, 0.999)', TRAINER),
    CodeMutation("aognet/training/setup.py", "config.learning_rate * warmup", "config.learning_rate", TRAINER),
    CodeMutation("aognet/training/updates.py", 'group["lr"] = rate', "pass", TRAINER),
    CodeMutation("aognet/training/updates.py", "self.config.max_grad_norm or", "0 or", TRAINER),
    CodeMutation("aognet/training/trainer.py", "self.model.eval()", "self.model.train()", TRAINER),
    CodeMutation("aognet/training/trainer.py", "untouched_randomness(self.device)", "nullcontext()", TRAINER),
    CodeMutation("aognet/training/trainer.py", "value.detach().float() * weight", "value.detach().float()", TRAINER),
    CodeMutation("aognet/training/setup.py", "parameter.requires_grad_(False)", "pass", TRAINER),
    CodeMutation("aognet/training/ui.py", "/ max(self._seconds", "* max(self._seconds", TRAINER),
    CodeMutation("aognet/training/updates.py", "requires_grad_(False)", "requires_grad_(True)", PHASES),
    CodeMutation("aognet/training/updates.py", ", self._first_step)", ")", PHASES),
    CodeMutation("aognet/training/updates.py", "config.of_optimizer(name), one", "config, one", PHASES),
    CodeMutation("aognet/training/phases.py", "(step - self.start) % self.every", "step % self.every", PHASES),
    CodeMutation("aognet/training/trainer.py", "if one.optimized.averaged else {}", "", PHASES),
    CodeMutation("aognet/training/trainer.py", "if len(due) == 1 else list(loaded)", "", PHASES),
    CodeMutation("aognet/training/trainer.py", "self.accelerator.scaler.load_state_dict", "str", PHASES),
)


def survives(mutation: CodeMutation, folder: Path) -> bool:
    """Whether the tests pass all the same. Raises ValueError if the text to change is not there exactly once."""
    for entry in ROOT.iterdir():
        copied = entry.name in ("aognet", "tests")
        if copied:
            shutil.copytree(entry, folder / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    file = folder / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.before) != 1:
        raise ValueError(f"{mutation.file}: {mutation.before!r} is there {text.count(mutation.before)} times")
    file.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.seen_by]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if ran.returncode not in (0, 1):
        raise ValueError(f"{mutation.seen_by} did not run: {ran.stdout[-500:]}")
    return ran.returncode == 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="mutations whose file or text has this in it")
    only = parser.parse_args(arguments).only
    chosen = [one for one in MUTATIONS if only in f"{one.file} {one.before}"]
    survivors = 0
    for mutation in chosen:
        with tempfile.TemporaryDirectory() as folder:
            alive = survives(mutation, Path(folder))
        survivors += alive
        seen = "SURVIVES" if alive else "is seen"
        log.info("%-8s  %s: %s -> %s", seen, mutation.file, mutation.before, mutation.after or "(nothing)")
    log.info("%d of %d mutations survive", survivors, len(chosen))
    return 1 if survivors else 0


if __name__ == "__main__":
    cli.run(main)
