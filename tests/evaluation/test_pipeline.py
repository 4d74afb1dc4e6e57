"""An evaluation from folders to a report: what is paired and checked, what is kept, and what goes on after a stop."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from aognet.errors import UserError
from aognet.evaluation import measure, pipeline
from aognet.evaluation.measure import Measurer, UnitDigests
from aognet.evaluation.pipeline import EvaluationConfig, evaluate
from aognet.evaluation.sets import find_sets
from aognet.io.images import save_image
from aognet.io.store import TENSORS, CacheConfig, Store
from tests.evaluation.folders import ALONE, COUNT, numbers, panoramas, run, small, values, write

CAMERA = {"yaw_degrees": 20.0, "fov_degrees": 70.0, "width": 32, "height": 32}
PSNR = "psnr"
SIMPLE = ("discontinuity", PSNR, "frechet/panorama/image")


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    """As many panoramas as the reference, of the same names."""
    return write(tmp_path / "generated", [image.flip(-1) for image in panoramas()])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """What `inference.py` leaves of three photographs."""
    folder = tmp_path / "runs"
    for number, image in enumerate(panoramas(3)):
        one = folder / f"p{number}"
        (one / "steps").mkdir(parents=True)
        (one / "run.json").write_text(json.dumps({"request": {"camera": CAMERA, "prompt": "a room"}, "other": [1]}))
        (one / "prompt.txt").write_text(f"room number {number}\n")
        for name, picture in (("result.png", image.flip(-1)), ("gt.png", image), ("input.png", image[:, :, :32]),
                              ("steps/0.png", image)):  # fmt: skip
            save_image(picture.clamp(-1, 1), one / name)
    return folder


# ------------------------------------------------------------------------------------------------- pairs


def test_runs_are_generated_and_reference_in_one(runs: Path) -> None:
    keys = ("clip_score/horizon/clip", PSNR, "psnr/photo", "psnr/outside")
    report = run(runs, runs, small(*keys))
    assert [sample.name for sample in report.samples] == ["p0", "p1", "p2"]
    assert {(sample.generated.name, sample.reference.name) for sample in report.samples} == {("result.png", "gt.png")}
    assert [sample.caption for sample in report.samples] == [f"room number {number}" for number in range(3)]
    assert all(value.value is not None for value in report.values)
    inside = numbers(run(runs, runs, small(*keys), photo_fov=120.0))
    assert inside["psnr/photo"] == numbers(report)["psnr/photo"], "what a run says goes before --photo_fov"


def test_runs_find_their_truth_among_files(runs: Path, reference: Path) -> None:
    found = find_sets(runs, reference, photo_fov=90.0)
    assert [(unit.generated.name, unit.reference.name) for unit in found.units[:3]] == [
        (f"p{number}", f"p{number}.png") for number in range(3)
    ]
    assert [unit.generated for unit in found.units[3:]] == [None, None]
    assert {unit.photo.yaw_degrees for unit in found.units[:3]} == {20.0}


def test_suffixes_do_not_matter(tmp_path: Path, reference: Path) -> None:
    generated = write(tmp_path / "generated", panoramas(), ".jpg")
    report = run(generated, reference, small(PSNR))
    assert [(sample.name, sample.reference.name) for sample in report.samples] == [
        (f"p{number}.jpg", f"p{number}.png") for number in range(COUNT)
    ]
    assert 30 < numbers(report)[PSNR] < 60


def test_some_without_reference_are_named_or_left_unpaired(generated: Path, reference: Path) -> None:
    (generated / "p3.png").rename(generated / "other.png")
    with pytest.raises(UserError, match=r"reference lacks 1 of 5 generated .*: other.png; .* unpaired"):
        find_sets(generated, reference)
    found = find_sets(generated, reference, unpaired=True)
    assert len(found.units) == 2 * COUNT and not found.warnings
    assert all((unit.generated is None) != (unit.reference is None) for unit in found.units)


def test_no_common_name_is_warned_of(generated: Path, reference: Path) -> None:
    for path in generated.iterdir():
        path.rename(path.with_name(f"other_{path.name}"))
    found = find_sets(generated, reference)
    assert [line for line in found.warnings if "no name is in both sets" in line] == found.warnings != []
    report = run(generated, reference, small(*SIMPLE))
    assert values(report)[PSNR].value is None and "reference of its name" in values(report)[PSNR].note
    assert {sample.reference for sample in report.samples} == {None}


def test_counts_that_differ_are_warned_of(generated: Path, reference: Path) -> None:
    (generated / "p4.png").unlink()
    warned = find_sets(generated, reference).warnings
    assert len(warned) == 1 and warned[0].startswith("4 generated panoramas against 5 references")


# ------------------------------------------------------------------------------------------------- refused


def test_one_pair_is_measured_without_distances(reference: Path, generated: Path, tmp_path: Path) -> None:
    alone = write(tmp_path / "alone", [image.flip(-1) for image in panoramas(1)])
    true = write(tmp_path / "true", panoramas(1))
    protocol = small()
    found = numbers(run(alone, true, protocol))
    assert math.isfinite(found[PSNR]) and math.isfinite(found["ssim"])
    for one, other in ((alone, true), (alone, reference), (generated, true)):
        report = run(one, other, protocol, unpaired=one is generated)
        for value in report.values:
            if value.section == "Distribution":
                assert value.value is None and "at least 2" in value.note


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"threads": -1}, "threads must be at least 0, got -1"),
        ({"limit": -1}, "limit must be"),
        ({"shown": -1}, "shown must be"),
        ({"cache_gigabytes": -1.0}, "cache_gigabytes must be"),
        ({"photo_fov": 180.0}, "photo_fov must be more than 0 and less than 180 degrees, got 180"),
        ({"dtype": "int8"}, "dtype must be one of"),
    ],
)
def test_settings_out_of_range_are_named(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        EvaluationConfig(Path("a"), Path("b"), Path("c"), **options)


def test_a_broken_panorama_is_named_and_no_report_written(generated: Path, reference: Path, tmp_path: Path) -> None:
    content = (generated / "p2.png").read_bytes()
    (generated / "p2.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="p2.png: not a readable image"):
        run(generated, reference, small("discontinuity"), out=tmp_path / "report")
    assert not list(tmp_path.glob("report*"))


# ------------------------------------------------------------------------------------------------- kept


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were decoded."""
    names: list[str] = []
    decode = measure.decode
    monkeypatch.setattr(measure, "decode", lambda content, item, height: names.append(str(item.path)) or decode(
        content, item, height))  # fmt: skip
    return names


def test_a_second_run_decodes_nothing(generated: Path, reference: Path, tmp_path: Path, prepared: list[str]) -> None:
    protocol = small(*SIMPLE, "omnifid/image", "image_similarity/horizon/clip")
    first = run(generated, reference, protocol, cache=tmp_path / "cache")
    assert len(prepared) == len(set(prepared)) == 2 * COUNT
    prepared.clear()
    second = run(generated, reference, protocol, cache=tmp_path / "cache")
    assert prepared == [] and second.values == first.values and second.samples == first.samples


def test_only_a_changed_file_is_measured_again(
    generated: Path, reference: Path, tmp_path: Path, prepared: list[str]
) -> None:
    before = run(generated, reference, small(*SIMPLE[:2]), cache=tmp_path / "cache")
    shutil.copy(generated / "p1.png", generated / "p2.png")
    prepared.clear()
    after = run(generated, reference, small(*SIMPLE[:2]), cache=tmp_path / "cache")
    assert prepared == [str(generated / "p2.png"), str(reference / "p2.png")], "the pair is new, what is in p2 is known"
    same = [one == other for one, other in zip(before.samples, after.samples, strict=True)]
    assert same == [True, True, False, True, True]
    assert after.samples[2].scores["discontinuity"] == after.samples[1].scores["discontinuity"]


def test_a_stopped_run_goes_on(
    generated: Path, reference: Path, tmp_path: Path, prepared: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, protocol = tmp_path / "cache", small(*SIMPLE)
    finish, calls = Measurer.finish, []

    def stops(self, one):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return finish(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(Measurer, "finish", stops)
        with pytest.raises(KeyboardInterrupt):
            run(generated, reference, protocol, cache=cache)
    assert not list(tmp_path.glob("report*"))
    prepared.clear()
    report = run(generated, reference, protocol, cache=cache)
    assert {Path(name).name for name in prepared} == {"p2.png", "p3.png", "p4.png"}
    assert report.values == run(generated, reference, protocol, cache=tmp_path / "other").values


def test_what_broke_in_the_cache_is_measured_anew(generated: Path, reference: Path, tmp_path: Path) -> None:
    cache, protocol = tmp_path / "cache", small(*SIMPLE)
    first = run(generated, reference, protocol, cache=cache)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    again = run(generated, reference, protocol, cache=cache)
    assert again.values == first.values


def test_equal_panoramas_may_be_there_many_times(reference: Path, tmp_path: Path) -> None:
    black = write(tmp_path / "black", [torch.zeros(3, 32, 64)] * 12)
    report = run(black, reference, small("discontinuity"), unpaired=True, cache=tmp_path / "cache")
    assert [sample.scores["discontinuity"] for sample in report.samples] == [0.0] * 12


def test_the_store_is_pruned_of_what_was_not_used(generated: Path, reference: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run(generated, reference, small("discontinuity"), cache=cache)
    kept = {path.name for path in cache.iterdir()}
    other = write(tmp_path / "other", [image.flip(-2) for image in panoramas()])
    run(other, reference, small("discontinuity"), cache=cache, cache_gigabytes=0.0, unpaired=True)
    left = {path.name for path in cache.iterdir()}
    assert left and len(left & kept) == COUNT, "the reference was used again, the first generated set was not"


def test_another_run_removes_nothing_that_this_one_still_needs(
    generated: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, measuring = tmp_path / "cache", pipeline.measure_units

    def then_another_ends(*args: Any) -> list[UnitDigests]:
        contents = measuring(*args)
        for path in cache.iterdir():
            os.utime(path, (1e9, 1e9))
        Store(CacheConfig(str(cache), 0.0), TENSORS).make_room()
        return contents

    monkeypatch.setattr(pipeline, "measure_units", then_another_ends)
    assert run(generated, reference, small(*SIMPLE), cache=cache).values
    Store(CacheConfig(str(cache), 0.0), TENSORS).make_room()
    assert not list(cache.iterdir())


# ------------------------------------------------------------------------------------------------- the report


def test_the_report_says_what_was_set_and_by_whom_it_was_seen(generated: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "report.html"
    protocol = small("frechet/crops/image", overrides=["pictures.crops.seed=5"])
    run(generated, reference, protocol, out=out)
    written = json.loads(out.with_suffix(".json").read_text())
    assert written["protocol"] == "ours" and written["notes"] == protocol.notes
    assert written["settings"]["pictures"]["crops"] == {
        "kind": "random",
        "count": 3,
        "size": 24,
        "fov_degrees": 90.0,
        "seed": 5,
        "turn_degrees": 0.0,
    }
    assert [measure["kind"] for measure in written["settings"]["measures"]] == ["frechet"]
    assert "assets/embedded, sha256 " in written["networks"]["embedded CLIP"]
    assert written["provenance"]["height"] == 32 and written["provenance"]["processes"] == 1
    assert (written["generated"], written["reference"]) == (str(generated), str(reference))
    assert "Fréchet distance" in out.read_text() and "p0.png" in out.read_text()


def test_panoramas_are_measured_at_the_height_that_is_asked_for(reference: Path, tmp_path: Path) -> None:
    large = write(tmp_path / "large", panoramas(COUNT, 64))
    with pytest.raises(UserError, match="the panoramas have several sizes: .*height brings all of them to one"):
        find_sets(large, reference)
    report = run(large, reference, small(PSNR, "frechet/crops/image", overrides=["height=32"]))
    assert report.provenance["height"] == 32
    assert numbers(report)[PSNR] > 35, "the same panoramas but for their size"


def test_a_limit_takes_the_first(generated: Path, reference: Path) -> None:
    found = find_sets(generated, reference, limit=2)
    assert [unit.generated.name for unit in found.units] == ["p0.png", "p1.png"]
    assert all(unit.reference for unit in found.units)


def test_a_limit_keeps_the_pairs_of_what_it_takes(generated: Path, reference: Path) -> None:
    for name in ("p0.png", "p1.png"):
        (generated / name).unlink()
    units = find_sets(generated, reference, limit=2).units
    assert [(unit.generated.name, unit.reference.name) for unit in units] == [("p2.png",) * 2, ("p3.png",) * 2]


def test_a_report_that_can_go_nowhere_is_refused_before_anything_is_measured(generated: Path, reference: Path) -> None:
    config = EvaluationConfig(generated, reference, generated / "p0.png" / "report")
    with pytest.raises(UserError, match="out .*p0.png: cannot make this folder"):
        evaluate(config, small(), ALONE)


def test_a_panorama_of_too_few_rows_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "low", panoramas(2, height=16))
    with pytest.raises(UserError, match="p0.png: a panorama must have at least 32 rows"):
        find_sets(folder, folder)
