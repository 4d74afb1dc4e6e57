"""Panoramas of linear light in an evaluation: the section HDR, beside a truth or alone, and the spheres on the page."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aognet.errors import UserError
from aognet.evaluation.protocol import HDR, WEIGHABLE, load_protocol
from aognet.evaluation.report_pictures import spheres_under
from aognet.hdr.three_spheres import sphere_errors, three_spheres
from aognet.io.panorama_files import read_panorama, write_panorama
from aognet.metrics.dynamic_range import brightest_share, peak_to_mean, stops
from aognet.metrics.irradiance import irradiance
from aognet.metrics.log_luminance import log_luminance_error
from aognet.metrics.peak_direction import peak_angle
from aognet.metrics.pu21 import pu21_psnr
from aognet.metrics.si_rmse import si_rmse
from tests.evaluation.folders import panoramas, run, small, values, write

ALONE = {"dynamic_range", "peak_to_mean", "brightest_share", "irradiance"}


def lights(count: int = 2, gain: float = 1.0) -> list[Tensor]:
    """Panoramas of light with a lamp each, at another place in each."""
    found = [torch.exp2(3 * image) * gain for image in panoramas(count)]
    for number, light in enumerate(found):
        light[:, 8 + number, 12 + 5 * number] = 400 * gain
    return found


def write_light(folder: Path, images: list[Tensor], suffix: str = ".exr") -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        write_panorama(image, folder / f"p{number}{suffix}", "linear")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generated panoramas whose lamps are turned, and the truth. Do not write in them."""
    folder = tmp_path_factory.mktemp("light")
    turned = [light.roll(4, -1) for light in lights(gain=3.0)]
    return write_light(folder / "generated", turned), write_light(folder / "reference", lights())


def test_the_section_has_what_the_measures_give(sets: tuple[Path, Path], tmp_path: Path) -> None:
    report = run(*sets, load_protocol("hdr"), out=tmp_path / "report", cache=tmp_path / "cache", shown=1)
    found = values(report)
    assert {value.section for value in report.values} == {HDR} and len(found) == len(load_protocol("hdr").measures)
    assert all(value.value is not None and value.counts == "2" for value in report.values)
    generated, reference = (
        torch.stack([read_panorama(folder / f"p{number}.exr")[0] for number in range(2)]) for folder in sets
    )
    expected = {
        "si_rmse": si_rmse(generated, reference),
        "si_rmse/solid_angle": si_rmse(generated, reference, by_solid_angle=True),
        "log_luminance": log_luminance_error(generated, reference),
        "pu21_psnr": pu21_psnr(generated, reference),
        "peak_angle": peak_angle(generated, reference),
        "dynamic_range": stops(generated),
        "peak_to_mean": peak_to_mean(generated),
        "brightest_share": brightest_share(generated),
        "irradiance": irradiance(generated) @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64),
    }
    for key, numbers in expected.items():
        assert found[key].value == pytest.approx(float(numbers.mean()), rel=1e-5), key
        assert [sample.scores[key] for sample in report.samples] == pytest.approx(numbers.tolist(), rel=1e-5), key
    assert f"reference {float(stops(reference).mean()):.4g}" in found["dynamic_range"].note
    spheres = [sphere_errors(three_spheres(generated[:1]), three_spheres(reference[:1]))]
    for measure, errors in spheres[0].items():
        for material, error in errors.items():
            assert report.samples[0].scores[f"{material}_{measure}"] == pytest.approx(error, rel=1e-5)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<figure class="spheres">') == 4 and ">HDR<" in page
    again = run(*sets, load_protocol("hdr"), out=tmp_path / "again", cache=tmp_path / "cache", shown=0)
    assert again.values == report.values


def test_results_alone_have_statistics(sets: tuple[Path, Path], tmp_path: Path) -> None:
    drawn = write(tmp_path / "drawn", panoramas(2))
    for reference, options in ((sets[1], {"unpaired": True}), (drawn, {})):
        report = run(sets[0], reference, load_protocol("hdr"), out=tmp_path / "report", shown=0, **options)
        assert set(values(report)) == ALONE and all(value.value is not None for value in report.values)
    assert "reference" not in values(report)["irradiance"].note


def test_display_values_have_no_section(tmp_path: Path) -> None:
    drawn = write(tmp_path / "drawn", panoramas(2))
    assert not {value.section for value in run(drawn, drawn, small("psnr", "si_rmse", "irradiance")).values} & {HDR}
    with pytest.raises(UserError, match="generated has no EXR or HDR files, and this protocol measures nothing else"):
        run(drawn, drawn, load_protocol("hdr"), out=tmp_path / "nothing")
    assert not list(tmp_path.glob("nothing*"))


def test_only_what_holds_light_counts(sets: tuple[Path, Path], tmp_path: Path) -> None:
    mixed = write_light(tmp_path / "mixed", lights(1, gain=2.0), ".hdr")
    write(mixed, panoramas(2))
    (mixed / "p0.png").unlink()
    report = run(mixed, sets[1], small("psnr", "si_rmse", "irradiance"), out=tmp_path / "report", shown=0)
    assert {value.key: value.counts for value in report.values} == {"psnr": "2", "si_rmse": "1", "irradiance": "1"}
    assert values(report)["si_rmse"].value < 0.1, "RGBE rounds"


def test_black_light_is_measured(sets: tuple[Path, Path], tmp_path: Path) -> None:
    black = write_light(tmp_path / "black", [torch.zeros(3, 32, 64)] * 2)
    report = run(black, sets[1], load_protocol("hdr"), out=tmp_path / "report", shown=0)
    assert values(report)["irradiance"].value == 0 and values(report)["dynamic_range"].value is None
    assert math.isfinite(values(report)["si_rmse"].value) and values(report)["peak_angle"].value is None


def test_only_measures_of_pixels_can_be_weighed() -> None:
    with pytest.raises(UserError, match="by_solid_angle is of measures of kind si_rmse"):
        load_protocol("hdr", ["measures=[{kind: peak_angle, by_solid_angle: true}]"])
    assert set(WEIGHABLE) <= {measure.kind for measure in load_protocol("hdr").measures}


def test_spheres_on_the_page_have_one_exposure(tmp_path: Path) -> None:
    write_light(tmp_path / "light", [lights(1)[0], lights(1, gain=8.0)[0]])
    one, other = (spheres_under(tmp_path / "light" / f"p{number}.exr") for number in range(2))
    assert one.shape == (3, 128, 384)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
