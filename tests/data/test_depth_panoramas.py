"""Panoramas with their depth: found by name, turned and mirrored together, decoded once."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aognet.data import depths
from aognet.data.augment import AugmentConfig
from aognet.data.depth_panoramas import DepthSamples
from aognet.data.streams import StreamConfig
from aognet.errors import UserError
from aognet.io.hdr import write_exr
from aognet.io.images import save_image
from aognet.io.store import CacheConfig
from tests.smooth import smooth_panorama

HEIGHT = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Panoramas whose depth is their grey: distances in EXR and NPY, levels of inverse distance in PNG."""
    place = tmp_path_factory.mktemp("place")
    for number, kind in enumerate(("exr", "npy", "png")):
        # From 0 to 1, so that the spread of distances changes nothing.
        near = (smooth_panorama(HEIGHT)[0].mean(0) * (1 + number)).sin()
        near = (near - near.min()) / (near.max() - near.min())
        distance = (1 / near.clamp(min=0)).numpy()  # inf where nothing is near
        (place / "images" / "deep").mkdir(parents=True, exist_ok=True)
        (place / "depth" / "deep").mkdir(parents=True, exist_ok=True)
        save_image(near.mul(2).sub(1).expand(3, -1, -1), place / "images" / "deep" / f"{kind}.png")
        file = place / "depth" / "deep" / f"{kind}.{kind}"
        if kind == "exr":
            write_exr({"Z": np.ascontiguousarray(distance)}, file)
        elif kind == "npy":
            np.save(file, distance)
        else:
            save_image(near.mul(2).sub(1).expand(3, -1, -1), file)
    return place


def samples(place: Path, **settings: Any) -> DepthSamples:
    defaults = {"folders": [str(place / "images")], "depth_folders": [str(place / "depth")], "height": HEIGHT}
    return DepthSamples(DepthSamples.Config(**defaults | settings))


def test_depth_is_turned_and_mirrored_with_its_panorama(place: Path):
    found = samples(place, augment=AugmentConfig(mirror=True))
    drawn = [found[number] for number in range(12)]
    batch = found.collate(drawn).to(torch.device("cpu"))
    assert {sample.panorama.mirrored for sample in drawn} == {False, True}
    grey = batch.turned().mean(1, keepdim=True).add(1).div(2)
    assert_close(batch.turned_depth(), grey, atol=0.006, rtol=0)
    assert (batch.depth - grey).abs().amax((1, 2, 3)).median() > 0.1  # where it is not turned
    assert batch.depth.amin((1, 2, 3)).max() < 0.01 and batch.depth.amax((1, 2, 3)).min() > 0.99
    again = samples(place, augment=AugmentConfig(mirror=True))[7]
    assert torch.equal(again.depth, drawn[7].depth) and again.panorama.columns == drawn[7].panorama.columns


def test_a_depth_map_is_decoded_once(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = {"cache": CacheConfig(str(tmp_path / "cache"))}
    first = [samples(place, **settings)[number].depth for number in range(6)]
    monkeypatch.setattr(depths, "load_depth", None)
    again = samples(place, **settings)
    assert all(torch.equal(again[number].depth, depth) for number, depth in enumerate(first))
    with pytest.raises(TypeError):  # what another kind means is not what was kept
        _ = samples(place, **settings, depth_kind="inverse")[0]


def test_panoramas_without_depth_are_left_out_and_told(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    there = shutil.copytree(place, tmp_path / "there")
    (there / "depth" / "deep" / "npy.npy").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(samples(there)) == 2
    assert "depth_folders: 1 panorama(s) without a depth map (deep/npy.png)" in caplog.text
    # Beside one that cannot be read another takes its place.
    (there / "depth" / "deep" / "exr.exr").write_bytes(b"no depth")
    with caplog.at_level(logging.WARNING):
        found = samples(there)
        assert {found[number].panorama.image.mean().item() for number in range(4)} == {
            found[0].panorama.image.mean().item()
        }
    assert "exr.exr" in caplog.text


def test_each_folder_has_its_own(place: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(place / "images", other / "images")
    shutil.copytree(place / "depth", other / "depth")
    for file in (other / "depth" / "deep").iterdir():
        file.unlink()
    black = torch.full((3, HEIGHT, 2 * HEIGHT), -1.0)
    black[..., 0, 0] = 1.0
    save_image(black, other / "depth" / "deep" / "png.png")
    both = samples(
        place,
        folders=[str(place / "images"), str(other / "images")],
        depth_folders=[str(place / "depth"), str(other / "depth")],
    )
    means = sorted(round(float(both[number].depth.mean()), 2) for number in range(4))
    assert len(both) == 4 and means[0] == 0 and means[1] > 0.1


def test_two_maps_of_one_name_or_none_at_all_are_refused(place: Path, tmp_path: Path):
    there = shutil.copytree(place, tmp_path / "there")
    shutil.copy(there / "depth" / "deep" / "png.png", there / "depth" / "deep" / "exr.png")
    with pytest.raises(UserError, match="depth_folders .*: exr.exr and exr.png are depth maps of one name"):
        samples(there)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="depth_folders no panorama has a depth map of its name in .*nothing"):
        samples(place, depth_folders=[str(tmp_path / "nothing")])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"depth_folders": []}, r"depth_folders must be one folder for each of 1 folders, got \[\]"),
        ({"depth_folders": ["nowhere"]}, "depth_folders nowhere: no such folder"),
        ({"folders": [], "manifests": ["x.csv"], "depth_folders": []}, "manifests has no depth maps"),
        ({"folders": [], "stream": StreamConfig(shards=["x.tar"]), "depth_folders": []}, "stream has no depth maps"),
    ],
)
def test_what_cannot_be(place: Path, settings: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        samples(place, **settings)
