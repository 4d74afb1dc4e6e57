"""The benchmark that damages files: mutations repeat and differ, and what a command may not do is seen."""

import random
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.attempts import Command
from benchmarks.fuzz_kinds import Target
from benchmarks.mutations import SPECIAL, mutated

TEXT = b'{"file": "a.png", "captions": ["a yard", "a garden"]}\n' * 3


@pytest.mark.parametrize("suffix", [*SPECIAL, ".jpg"])
def test_a_seed_gives_the_same_damage_and_others_another(suffix: str):
    found = {mutated(TEXT, suffix, random.Random(seed), [b"other"])[0] for seed in range(30)}
    assert mutated(TEXT, suffix, random.Random(3)) == mutated(TEXT, suffix, random.Random(3))
    assert len(found) > 20 and b"other" in {
        mutated(TEXT, suffix, random.Random(seed), [b"other"])[0] for seed in range(200)
    }


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n", b"{}", b"[]\n"])
@pytest.mark.parametrize("suffix", [*SPECIAL, ".jpg"])
def test_every_file_can_be_damaged(suffix: str, content: bytes):
    for seed in range(60):
        mutated(content, suffix, random.Random(seed))


@pytest.mark.parametrize(
    ("way", "words"),
    [("read", None), ("crash", "ends with 70"), ("warn", "a raw warning"), ("long", "more than 1 s")],
)
def test_what_a_command_may_not_do_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, words: str | None
):
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 1.0)
    (tmp_path / "inputs" / "words").mkdir(parents=True)
    (tmp_path / "inputs" / "words" / "a.txt").write_text("as it should be")
    target = Target(
        "words", "words", ["a.txt"], lambda case, out, draw: Command("tests.careless", [way, f"{case}/a.txt"])
    )
    bench, found = fuzz.Bench(tmp_path, fuzz.parse(["--files", "1"])), fuzz.Findings("words")
    for number in range(4 if words is None else 1):
        bench.one(target, number, found)
    if words is None:
        assert not found.failures and found.results + found.errors == 4
    else:
        assert words in found.failures[0] and "--only words --seed 0 --number 0" in found.failures[0]


@pytest.mark.slow
def test_damaged_texts_end_in_a_line_or_a_result(capsys: pytest.CaptureFixture[str]):
    assert fuzz.main(["--files", "92", "--only", "caption pickles", "poses (YAML)"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    *each, together = [int(row[1]) for row in rows]
    assert len(each) == 2 and together == sum(each) > 5
