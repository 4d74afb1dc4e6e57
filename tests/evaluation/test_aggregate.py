"""The numbers of a report: laws that any measure of panoramas keeps, and what the numbers are computed from."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev

import pytest
import torch
from PIL import Image
from torch import Tensor

from aognet.data.viewing import bordered
from aognet.evaluation import networks, statistics
from aognet.evaluation.measure import decode, take
from aognet.evaluation.networks import load_networks
from aognet.evaluation.protocol import Protocol, cameras_of
from aognet.evaluation.sets import PanoramaFile
from aognet.geometry import sphere
from aognet.geometry.cubemap import FACES
from aognet.geometry.perspective import rotate
from aognet.io.images import load_image
from aognet.metrics.clip_score import clip_score, embedding_similarity
from aognet.metrics.frechet import Moments, frechet_distance
from aognet.metrics.inception_score import ClassSums
from aognet.metrics.kernel import kernel_distance
from aognet.metrics.omnifid import omnifid_by_face, omnifid_pooled
from aognet.perception import inception
from aognet.perception.load_network import load_network
from aognet.perception.network import FeatureNetwork
from tests.evaluation.folders import ALONE, COUNT, numbers, panoramas, run, small, values, write

CROPS, HORIZON, PANORAMA, SEAM = (f"frechet/{name}/image" for name in ("crops", "horizon", "panorama", "seam"))
POOLED, BY_FACE = "omnifid/image", "omnifid/by_face/image"
SHAPES = ("discontinuity", "wrap_gradient", "pole_gradient", "cube_edges", "unknown")
FOV = 80.0


def noisy(images: Sequence[Tensor], strength: float) -> list[Tensor]:
    """The same noise, louder or softer."""
    generator = torch.Generator().manual_seed(0)
    return [image + strength * torch.randn(image.shape, generator=generator) for image in images]


def seamed(image: Tensor, strength: float) -> Tensor:
    """Brighter towards the right border, where the wrap then shows; nowhere else a step, and nothing at the poles."""
    rows, columns = image.shape[-2:]
    level = torch.cos(sphere.pixel_latitudes(rows))[:, None].float() ** 4
    return image + strength * level * torch.linspace(-1, 1, columns).clamp(min=0)


# ------------------------------------------------------------------------------------------------- laws


def test_equal_sets_are_at_no_distance(reference: Path, tmp_path: Path) -> None:
    found = values(run(reference, reference, small(), out=tmp_path / "report", photo_fov=FOV))
    for key, value in found.items():
        if value.section == "Distribution" and not key.startswith(("kernel", "inception")):
            assert value.value == pytest.approx(0, abs=1e-4), key
        if key.startswith("kernel"):
            assert value.value < 0, f"{key}: unbiased, so below 0 where every picture meets itself"
        if key.startswith("psnr"):
            assert value.value == math.inf and value.deviation is None and f"{COUNT} pair(s) are equal" in value.note
        if key.startswith(("ssim", "image_similarity")):
            assert value.value == pytest.approx(1, abs=1e-5) and value.deviation == pytest.approx(0, abs=1e-5)
    written = json.loads((tmp_path / "report.json").read_text())
    assert {value["value"] for value in written["values"] if value["key"].startswith("psnr")} == {None}


@pytest.mark.slow
def test_a_quarter_turn_matters_only_where_faces_are_told_apart(reference: Path, tmp_path: Path) -> None:
    other = noisy(panoramas(), 0.2)
    straight = write(tmp_path / "straight", other)
    turned = write(tmp_path / "turned", [image.roll(16, -1) for image in other])
    keys = (HORIZON, POOLED, BY_FACE, "kernel/horizon/image", *SHAPES[2:])
    before, after = (numbers(run(folder, reference, small(*keys))) for folder in (straight, turned))
    for key in (HORIZON, *SHAPES[2:]):
        assert after[key] == pytest.approx(before[key], rel=0.02), key
    assert after["kernel/horizon/image"] == pytest.approx(before["kernel/horizon/image"], abs=0.02)
    # The polar faces turn with the panorama, so that pooled is the same only as far as features do not see that.
    assert abs(after[POOLED] / before[POOLED] - 1) < abs(after[BY_FACE] / before[BY_FACE] - 1)
    assert after[BY_FACE] > 1.5 * before[BY_FACE]


@pytest.mark.slow
def test_a_seam_shows_in_what_looks_at_seams(reference: Path, tmp_path: Path) -> None:
    images = panoramas()
    found = [
        numbers(run(write(tmp_path / f"{step}", [seamed(image, step) for image in images]), reference,
                    small(SEAM, HORIZON, *SHAPES)))
        for step in (0.0, 0.3, 0.6)
    ]  # fmt: skip
    for key in (SEAM, HORIZON, "discontinuity", "wrap_gradient"):
        assert found[0][key] < found[1][key] < found[2][key], key
    risen = {key: found[2][key] / found[0][key] for key in SHAPES[:4]}
    assert min(risen["discontinuity"], risen["wrap_gradient"]) > 3
    assert max(risen["pole_gradient"], risen["cube_edges"]) < 1.3
    assert found[2][SEAM] > 2 * found[2][HORIZON]


@pytest.mark.slow
def test_more_noise_is_farther_from_the_reference(reference: Path, tmp_path: Path) -> None:
    keys = (CROPS, PANORAMA, "frechet/panorama/faed", POOLED, "psnr", "ssim", "image_similarity/horizon/clip")
    found = [
        numbers(run(write(tmp_path / f"{strength}", noisy(panoramas(), strength)), reference, small(*keys)))
        for strength in (0.05, 0.15, 0.4)
    ]
    for key in keys:
        first, second, third = (one[key] for one in found)
        assert first < second < third if key in keys[:4] else first > second > third, key


@pytest.mark.slow
def test_more_tilt_is_farther_from_the_reference(tmp_path: Path) -> None:
    level = panoramas(COUNT, 64)
    # A sky above and a ground below, else a tilted set is as good as a level one.
    level = [image + torch.linspace(0.7, -0.7, 64)[:, None] for image in level]
    reference = write(tmp_path / "reference", level)
    found = []
    for degrees in (5.0, 15.0, 40.0):
        tilted = [rotate(image[None], 0.0, degrees)[0] for image in level]
        folder = write(tmp_path / f"{degrees}", tilted)
        found.append(numbers(run(folder, reference, small(CROPS, HORIZON, "psnr"))))
    for key in (CROPS, HORIZON):
        assert found[0][key] < found[1][key] < found[2][key], key
    assert found[0]["psnr"] > found[1]["psnr"] > found[2]["psnr"]


# ------------------------------------------------------------------------------------------------- direct computation


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    """The embedded model's image and text encoder, as the default protocol loads it."""
    return load_networks(small(CROPS), "float32", ALONE.device).features["image"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy panoramas. Do not write in it."""
    return write(tmp_path_factory.mktemp("generated"), noisy(panoramas(), 0.2))


def seen(folder: Path, protocol: Protocol, pictures: str, network: FeatureNetwork) -> Tensor:
    """Features [panoramas, pictures, dim], without the store and in one batch."""
    every = []
    for path in sorted(folder.glob("*.png")):
        pixels = decode(path.read_bytes(), PanoramaFile(path.name, path), 32).pixels
        every.append(take(bordered(pixels), protocol.pictures[pictures]))
    return network.features(torch.cat(every)).view(len(every), -1, network.dim)


def test_distances_are_those_of_the_features(generated: Path, reference: Path, network: FeatureNetwork) -> None:
    protocol = small(CROPS, "kernel/crops/image", POOLED, BY_FACE, "inception_score/crops/image")
    found = values(run(generated, reference, protocol))
    sides = [seen(folder, protocol, "crops", network).flatten(0, 1) for folder in (generated, reference)]
    assert found[CROPS].value == pytest.approx(frechet_distance(*map(Moments.of, sides)), rel=1e-4)
    assert found[CROPS].counts == "15 / 15" and found[CROPS].better == "lower"
    whole = kernel_distance(*sides, subsets=1)
    assert found["kernel/crops/image"].value == pytest.approx(whole.mean, rel=1e-4)
    assert found["kernel/crops/image"].deviation is None, "one subset has no spread"
    logits = network.logits(sides[0]).cpu()
    score = ClassSums.of(logits, torch.arange(15), 10).score()
    assert found["inception_score/crops/image"].value == pytest.approx(score.mean, rel=1e-4)
    assert found["inception_score/crops/image"].deviation == pytest.approx(score.deviation, rel=1e-3)
    folders, names = (generated, reference), ("equator", "poles")
    kinds = [[seen(folder, protocol, name, network) for name in names] for folder in folders]
    faces = [dict(zip(FACES, torch.cat(both, 1).unbind(1), strict=True)) for both in kinds]
    cubes = [{face: Moments.of(features) for face, features in side.items()} for side in faces]
    assert found[POOLED].value == pytest.approx(omnifid_pooled(*cubes), rel=1e-4)
    assert found[BY_FACE].value == pytest.approx(omnifid_by_face(*cubes), rel=1e-4)
    assert found[POOLED].counts == "30 / 30"


def test_a_kernel_distance_of_subsets_has_a_spread(generated: Path, reference: Path, network: FeatureNetwork) -> None:
    protocol = small("kernel/crops/image")
    measure = replace(protocol.measures[0], subsets=7, subset_size=6)
    found = values(run(generated, reference, replace(protocol, measures=[measure])))["kernel/crops/image"]
    sides = [seen(folder, protocol, "crops", network).flatten(0, 1) for folder in (generated, reference)]
    # Which pictures a subset takes depends on the order of the sample, so that only the size of the number is known.
    expected = kernel_distance(*sides, subsets=2000, subset_size=6)
    assert found.deviation > 0 and found.note == "7 subsets of 6"
    assert abs(found.value - expected.mean) < 3 * expected.deviation


def test_similarity_is_of_the_same_views(generated: Path, reference: Path, network: FeatureNetwork) -> None:
    key = "image_similarity/horizon/clip"
    report = run(generated, reference, small(key))
    mine, theirs = (seen(folder, small(key), "horizon", network) for folder in (generated, reference))
    each = embedding_similarity(mine.flatten(0, 1), theirs.flatten(0, 1)).view(COUNT, -1).mean(1).tolist()
    value = values(report)[key]
    assert (value.value, value.deviation) == pytest.approx((fmean(each), pstdev(each)), rel=1e-4)
    assert [sample.scores[key] for sample in report.samples] == pytest.approx(each, rel=1e-4)
    assert (report.ranking, report.ranking_better) == (key, "higher")


def test_shape_scores_are_means_with_their_spread_beside_the_references(generated: Path, reference: Path) -> None:
    report = run(generated, reference, small("discontinuity"))
    value, each = values(report)["discontinuity"], [sample.scores["discontinuity"] for sample in report.samples]
    assert (value.value, value.deviation) == pytest.approx((fmean(each), pstdev(each)))
    there = numbers(run(reference, generated, small("discontinuity")))["discontinuity"]
    assert value.counts == "5" and f"reference {there:.4g}" in value.note


# ------------------------------------------------------------------------------------------------- captions

WHOLE, VIEWS = "clip_score/horizon/clip", "clip_score/views/horizon/clip"


def captions(path: Path, of: dict[int, list[str]], yaws: dict[int, list[list[float]]] | None = None) -> Path:
    records = [{"file": f"p{number}.png", "captions": said} for number, said in of.items()]
    for number, record in zip(of, records, strict=True):
        record |= {"yaws": yaws[number]} if yaws else {}
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def cosines(features: Tensor, network: FeatureNetwork, text: str) -> Tensor:
    return clip_score(features, network.texts([text]).expand(len(features), -1))


def test_clip_scores_are_of_every_view_and_caption(
    generated: Path, reference: Path, network: FeatureNetwork, tmp_path: Path
) -> None:
    said = {number: [f"a room with {number} chairs", "a forest"][: 1 + number % 2] for number in range(COUNT)}
    report = run(generated, reference, small(WHOLE), captions=[captions(tmp_path / "c.jsonl", said)])
    features = seen(generated, small(WHOLE), "horizon", network)

    def score(number: int, of: int, sides: Tensor = features) -> float:
        return fmean(float(cosines(sides[number], network, text).mean()) for text in said[of])

    each = [score(number, number) for number in range(COUNT)]
    swapped = fmean(score(number, (number + 1) % COUNT) for number in range(COUNT))
    there = seen(reference, small(WHOLE), "horizon", network)
    value = values(report)[WHOLE]
    assert (value.value, value.deviation) == pytest.approx((fmean(each), pstdev(each)), rel=1e-4)
    assert f"next panorama's captions {swapped:.2f}" in value.note
    assert f"{fmean(score(number, number, there) for number in range(COUNT)):.2f}" in value.note
    assert [sample.scores[WHOLE] for sample in report.samples] == pytest.approx(each, rel=1e-4)
    assert [sample.caption for sample in report.samples] == [texts[0] for texts in said.values()]


def test_captions_of_directions_are_held_against_views_that_look_there(
    generated: Path, reference: Path, network: FeatureNetwork, tmp_path: Path
) -> None:
    said = {number: ["a door", "a lamp"] for number in range(COUNT)}
    yaws = {number: [[-3.0, 100.0], [185.0]] for number in range(COUNT)}
    protocol = small(WHOLE, VIEWS)
    report = run(generated, reference, protocol, captions=[captions(tmp_path / "c.jsonl", said, yaws)])
    features = seen(generated, protocol, "horizon", network)
    assert [camera.yaw_degrees for camera in cameras_of(protocol.pictures["horizon"])][:5] == [0, 45, 90, 135, 180]
    pairs = [("a door", 0), ("a door", 2), ("a lamp", 4)]
    each = [fmean(float(cosines(one[[view]], network, text)) for text, view in pairs) for one in features]
    value = values(report)[VIEWS]
    assert value.value == pytest.approx(fmean(each), rel=1e-4)
    assert values(report)[WHOLE].value is None, "there are no captions of whole panoramas"


def test_without_captions_or_directions_the_reason_is_said(generated: Path, reference: Path, tmp_path: Path) -> None:
    protocol = small(WHOLE, VIEWS)
    found = values(run(generated, reference, protocol))
    assert {value.value for value in found.values()} == {None}
    assert all("no captions were given" in value.note for value in found.values())
    said = captions(tmp_path / "c.jsonl", {number: ["a room"] for number in range(COUNT)})
    found = values(run(generated, reference, protocol, captions=[said]))
    assert found[WHOLE].value is not None and found[VIEWS].value is None
    assert "directions" in found[VIEWS].note


# ------------------------------------------------------------------------------------------------- names and notes


def test_the_report_says_fid_where_it_is_one(
    inception_weights: dict[int, str], generated: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "FEATURES", 128)
    monkeypatch.setattr(networks, "load_network", load_network)
    overrides = [f"networks.image.model={inception_weights[1008]}", "pictures.crops.count=1"]
    protocol = small(PANORAMA, "inception_score/crops/image", overrides=overrides)
    found = values(run(generated, reference, protocol))
    assert [value.title for value in found.values()] == ["FID", "Inception Score"]
    assert {value.network for value in found.values()} == {"Inception (FID)"}


def test_the_report_of_an_embedded_model_never_says_fid(generated: Path, reference: Path, tmp_path: Path) -> None:
    report = run(generated, reference, small(), out=tmp_path / "report")
    titles = {value.key: value.title for value in report.values}
    assert not [title for title in titles.values() if "FID" in title or "KID" in title or "Inception" in title]
    assert titles["frechet/panorama/faed"] == "FAED"
    assert {value.network for value in report.values if value.key.endswith(("/image", "/clip"))} == {"embedded CLIP"}
    assert "assets/embedded" in report.networks["embedded CLIP"] and "sha256" in report.networks["embedded CLIP"]


def test_few_pictures_are_warned_of_once(generated: Path, reference: Path) -> None:
    report = run(generated, reference, small(CROPS, "frechet/crops/clip", HORIZON, "psnr"))
    assert [line for line in report.warnings if "15 of 160 features" in line and "40 of 160" in line] == report.warnings
    assert [value.key for value in report.values] == [CROPS, HORIZON, "psnr"], "two roles of one network count once"


def test_a_distance_is_read_beside_that_of_two_halves(generated: Path, reference: Path, network) -> None:
    features = seen(reference, small(CROPS), "crops", network)
    halves = [Moments.of(features[first::2].flatten(0, 1)) for first in range(2)]
    note = values(run(generated, reference, small(CROPS)))[CROPS].note
    assert note == f"between two halves of the reference {frechet_distance(*halves):.4g}"


def test_unknown_pixels_are_counted_and_warned_of(generated: Path, reference: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "generated", panoramas())
    clear = Image.open(folder / "p1.png").convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 16, 64, 32))
    clear.save(folder / "p1.png")
    report = run(folder, reference, small("unknown"))
    assert [sample.scores["unknown"] for sample in report.samples] == pytest.approx([0, 0.5, 0, 0, 0])
    assert values(report)["unknown"].value == pytest.approx(0.1)
    assert "1 generated panorama(s) have unknown pixels" in report.warnings


def test_statistics_of_a_set_are_gathered_once(
    generated: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    gather = statistics.gather
    monkeypatch.setattr(statistics, "gather", lambda *given: calls.append(1) or gather(*given))
    cache, protocol = tmp_path / "cache", small(CROPS, "kernel/crops/image", HORIZON)
    first = numbers(run(generated, reference, protocol, cache=cache))
    assert len(calls) == 4, "two kinds of pictures of two sets"
    assert numbers(run(generated, reference, protocol, cache=cache)) == first
    assert len(calls) == 4
    other = write(tmp_path / "other", noisy(panoramas(), 0.3))
    run(other, reference, protocol, cache=cache)
    assert len(calls) == 6, "the reference is not gathered again"


def test_without_pairs_panoramas_rank_by_how_unusual_they_are(reference: Path, tmp_path: Path) -> None:
    images = panoramas()
    images[2] = noisy(images, 0.8)[2]
    folder = write(tmp_path / "generated", images)
    report = run(folder, reference, small(CROPS, "psnr"), unpaired=True)
    scores = {sample.name: sample.scores[report.ranking] for sample in report.samples}
    assert report.ranking_better == "lower" and max(scores, key=scores.get) == "p2.png"
    assert values(report)["psnr"].value is None and values(report)["psnr"].note


def test_pairs_are_measured_inside_the_photograph_only_where_it_is_known(generated: Path, reference: Path) -> None:
    keys = ("psnr", "psnr/photo", "psnr/outside")
    found = values(run(generated, reference, small(*keys)))
    assert found["psnr"].value and found["psnr/photo"].value is found["psnr/outside"].value is None
    assert "photo_fov" in found["psnr/photo"].note
    image, truth = (load_image(folder / "p0.png") for folder in (generated, reference))
    report = run(generated, reference, small(*keys), photo_fov=FOV)
    error = (image - truth).square().mean()
    assert report.samples[0].scores["psnr"] == pytest.approx(float(10 * (4 / error).log10()), rel=1e-4)
    assert report.samples[0].scores["psnr/photo"] != report.samples[0].scores["psnr/outside"]
