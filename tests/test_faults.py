"""The benchmark that kills commands: it sees what is written by halves or twice, and nothing where all is well."""

import argparse
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.attempts import Command
from benchmarks.fault_kinds import Kind
from tests.slow import rest_slow


def tried(folder: Path, way: str, kills: int = 12) -> faults.Findings:
    kind = Kind(way, lambda inputs, out: Command("tests.careless", [way, str(out)]))
    return faults.Bench(kind, folder, argparse.Namespace(kills=kills, seed=0, trial=None, keep=None)).tried()


def test_a_careful_command_is_killed_at_every_call_and_ends_as_if_undisturbed(tmp_path: Path):
    found = tried(tmp_path, "good", kills=24)
    left_over = [line for line in found.failures if ".tmp is left over" not in line]
    assert not left_over and found.kills >= 24 and found.at_calls >= 15


@pytest.mark.parametrize("way", rest_slow(["twice", "half"]))
def test_what_is_written_by_halves_or_twice_is_found(tmp_path: Path, way: str):
    found = tried(tmp_path, way)
    assert any(": a differs" in line or "; a differs" in line for line in found.failures), found.failures
    assert all(f"--only {way} --seed 0 --kills 12 --trial " in line for line in found.failures)


def test_a_command_that_fails_by_itself_says_why(tmp_path: Path):
    with pytest.raises(RuntimeError, match="NoneType"):
        tried(tmp_path, "crash")


@pytest.mark.slow
def test_a_folder_of_light_is_converted_after_kills(capsys: pytest.CaptureFixture[str]):
    assert faults.main(["--only", "exr2png", "--kills", "3"]) == 0
    assert "| exr2png | 0 | " in capsys.readouterr().out
