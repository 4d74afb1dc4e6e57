"""Protocols: those that are shipped, what a file may say, where pictures look, and what names results that are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.evaluation.protocol import (
    MEASURES,
    PROTOCOLS,
    MeasureConfig,
    NetworkRole,
    PictureConfig,
    Protocol,
    cameras_of,
    digest_of,
    load_protocol,
)
from aognet.geometry.cubemap import LATERAL, POLAR

SHIPPED = sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))
CROPS = {"crops": PictureConfig("random")}
CLIP = {"clip": NetworkRole("clip")}


def test_the_protocols_of_the_field_are_there() -> None:
    assert {"ours", "aognet", "cubediff", "panfusion"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_protocol_uses_all_it_names_and_says_what_it_does(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name and protocol.notes and protocol.measures
    assert {measure.network for measure in protocol.measures} - {""} == set(protocol.networks)
    used = {picture for measure in protocol.measures for picture in measure.picture_names}
    assert used == set(protocol.pictures)


def test_only_the_default_runs_in_the_embedded_models_features_unasked() -> None:
    assert {name: load_protocol(name).embedded for name in SHIPPED} == {name: name == "ours" for name in SHIPPED}


def test_the_default_measures_every_kind() -> None:
    assert {measure.kind for measure in load_protocol("ours").measures} == set(MEASURES)


def test_a_model_given_plays_every_role_of_its_kind_and_no_other() -> None:
    before = load_protocol("panfusion")
    protocol = load_protocol("panfusion", models={"inception": "here.safetensors", "clip": "", "lpips": None})
    assert protocol.networks["inception"] == replace(before.networks["inception"], model="here.safetensors")
    assert protocol.networks["clip"] == before.networks["clip"]
    with pytest.raises(UserError, match="lpips is not used: no network of the protocol 'panfusion' is of this kind"):
        load_protocol("panfusion", models={"lpips": "x"})


def test_a_model_given_has_no_revision_of_another() -> None:
    path = "networks.clip.revision=abc"
    assert load_protocol("ours", [path]).networks["clip"].revision == "abc"
    assert load_protocol("ours", [path], {"clip": "other"}).networks["clip"].revision is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pictures.crops.cuont=3", r"pictures.crops.cuont is an unknown key; did you mean 'count'"),
        ("pictures.crops.kind=cubes", "pictures.crops.*kind must be one of panorama, random.*got 'cubes'"),
        ("pictures.crops.count=0", r"pictures.crops.*count must lie in \[1, 1000\], got 0"),
        ("pictures.crops.size=4", "pictures.crops.*size must lie in"),
        ("pictures.crops.fov_degrees=180", "pictures.crops.*fov_degrees must be more than 0 and less than 180"),
        ("pictures.crops.size=big", "pictures.crops.size"),
        ("networks.clip.kind=resnet", "networks.clip.*kind must be one of inception"),
        ("height=8", "height must lie in"),
        ("measures=[{kind: fid}]", "kind must be one of frechet.*got 'fid'"),
        ("measures=[{kind: frechet, pictures: crops}]", "network is missing: a measure of kind 'frechet' needs it"),
        ("measures=[{kind: frechet, network: clip}]", "pictures is missing"),
        (
            "measures=[{kind: frechet, pictures: cops, network: clip}]",
            "pictures is without 'cops', .* got .'panorama', 'crops'",
        ),
        (
            "measures=[{kind: frechet, pictures: crops, network: clap}]",
            "networks is without 'clap', .* got .'image', 'clip'",
        ),
        ("measures=[{kind: psnr, region: left}]", "region must be whole, photo or outside, got 'left'"),
        ("measures=[{kind: psnr}, {kind: psnr}]", "measures has 'psnr' twice"),
        ("measures=[{kind: kernel, pictures: crops, network: clip, subset_size: 1}]", "subset_size must be at least 2"),
        ("measures=[{kind: inception_score, pictures: crops, network: clip, splits: 0}]", "splits must be at least 1"),
    ],
)
def test_a_mistake_names_the_key(override: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_protocol("ours", [override])
    assert "\n" not in str(caught.value)


def test_a_file_is_a_protocol_and_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nmeasures: [{kind: discontinuity}]\n")
    assert [measure.key for measure in load_protocol(str(path)).measures] == ["discontinuity"]
    path.write_text("name: mine\nmeasurs: []\n")
    with pytest.raises(UserError, match=r"mine.yaml: measurs is an unknown key; did you mean 'measures'"):
        load_protocol(str(path))
    with pytest.raises(
        UserError, match="protocol must be one of aognet, cubediff, hdr, imagenet, ours, panfusion, or .*, got 'fid'"
    ):
        load_protocol("fid")


def test_omnifid_wants_all_faces() -> None:
    measure = MeasureConfig("omnifid", network="clip")
    with pytest.raises(UserError, match="pictures must have equator and poles"):
        Protocol("x", networks=CLIP, pictures={"equator": PictureConfig("equator")}, measures=[measure])
    assert measure.picture_names == ("equator", "poles")


def test_a_network_looks_only_at_what_is_measured_in_its_features() -> None:
    protocol = load_protocol("ours")
    assert set(protocol.pictures_for("faed")) == {"panorama"}
    assert set(protocol.pictures_for("lpips")) == set()
    assert {"equator", "poles", "crops"} <= set(protocol.pictures_for("image"))


def test_settings_that_differ_have_another_digest() -> None:
    base = PictureConfig("random")
    others = [
        replace(base, **change)
        for change in ({"kind": "seam"}, {"count": 9}, {"size": 8}, {"fov_degrees": 80.0}, {"seed": 1})
    ]
    digests = {digest_of("features", {"crops": picture}, None) for picture in [base, *others]}
    assert len(digests) == 1 + len(others)
    assert digest_of({"b": base, "a": None}) == digest_of({"a": None, "b": PictureConfig("random")})
    assert digest_of("a", "b") != digest_of("ab")


def test_titles_say_what_was_looked_at() -> None:
    titles = [PictureConfig(kind, turn_degrees=180.0).title for kind in ("panorama", "random", "horizon", "seam")]
    assert titles[0] == "panorama rolled by 180°" and len(set(titles)) == 4
    assert "20" in PictureConfig("random", 20, fov_degrees=75.5).title
    assert "75.5°" in PictureConfig("random", 20, fov_degrees=75.5).title


# ------------------------------------------------------------------------------------------------- cameras


def test_random_directions_are_even_on_the_sphere() -> None:
    cameras = cameras_of(PictureConfig("random", count=1000, size=8))
    directions = torch.stack([camera.forward for camera in cameras])
    assert directions.mean(0).abs().max() < 0.06
    # The second moments of the even distribution are 1/3 each; even in latitude instead, up would have 1/2.
    assert_close(directions.T @ directions / 1000, torch.eye(3, dtype=torch.float64) / 3, atol=0.04, rtol=0)
    assert {camera.roll_degrees for camera in cameras} == {0.0}


def test_directions_are_of_the_seed_alone() -> None:
    first, again, other = (cameras_of(PictureConfig("random", 20, size, seed=seed)) for size, seed in
                           ((16, 0), (32, 0), (16, 1)))  # fmt: skip
    looks = [[(camera.yaw_degrees, camera.pitch_degrees) for camera in cameras] for cameras in (first, again, other)]
    assert looks[0] == looks[1] and looks[0] != looks[2]


def test_kinds_look_where_they_should() -> None:
    horizon = cameras_of(PictureConfig("horizon", 8, 8))
    assert [camera.yaw_degrees for camera in horizon] == [45.0 * number for number in range(8)]
    assert {camera.pitch_degrees for camera in [*horizon, *cameras_of(PictureConfig("random_horizon", 8, 8))]} == {0.0}
    yaws = [camera.yaw_degrees for camera in cameras_of(PictureConfig("random_horizon", 200, 8))]
    assert min(yaws) < -150 and max(yaws) > 150 and abs(np.mean(np.exp(1j * np.radians(yaws)))) < 0.2
    seam = cameras_of(PictureConfig("seam", 50, 8))
    assert {camera.yaw_degrees for camera in seam} == {180.0}
    assert max(camera.pitch_degrees for camera in seam) > 45 and min(camera.pitch_degrees for camera in seam) < -45


def test_faces_are_those_of_the_cube_whatever_else_is_said() -> None:
    ahead = {name: (0, 0, 1) for name in ("front",)} | {"right": (1, 0, 0), "back": (0, 0, -1), "left": (-1, 0, 0)}
    ahead |= {"up": (0, 1, 0), "down": (0, -1, 0)}
    cameras = [*cameras_of(PictureConfig("equator", 3, 8, 60.0)), *cameras_of(PictureConfig("poles", 3, 8, 60.0))]
    assert (*LATERAL, *POLAR) == tuple(ahead)
    for camera, direction in zip(cameras, ahead.values(), strict=True):
        assert_close(camera.forward, torch.tensor(direction, dtype=torch.float64))
        assert camera.fov_degrees == 90.0
