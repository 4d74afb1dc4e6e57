"""The report: complete and strict as JSON, safe and self-contained as a page, and right about what it points at."""

import base64
import hashlib
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.errors import UserError
from aognet.evaluation.report import MAX_ROWS, Report, Sample, Score, decimals_of, number, write_report
from aognet.evaluation.report_pictures import close_up, pictured, seam_window
from aognet.evaluation.values import Value
from tests.slow import rest_slow

HOSTILE = "</td><script>alert(1)</script>\"' onload=x {{ policy }} {% raw %} \x00\x1b\u202e\udcff"
DISCONTINUITY = Value("discontinuity", "Discontinuity Score", "panorama", "Seams and shape", 1.2, 0.3, "lower")


def panorama(path: Path, height: int = 16, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (height, 2 * height, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def make(folder: Path, scores: list[float], **changes) -> Report:
    """A report of panoramas named p0, p1, ... with these Discontinuity Scores, each its own reference."""
    image = panorama(folder / "image.png")
    samples = [Sample(f"p{i}", image, image, f"caption {i}", {"discontinuity": x}) for i, x in enumerate(scores)]
    report = Report(
        "ours", ["a note"], ["a warning"], "out/generated", "reference", [DISCONTINUITY], samples, "discontinuity",
        "lower", {"clip": "CLIP of somewhere"}, {"time": "2026-01-02T03:04:05+00:00", "command": ["evaluate", "--x"]},
    )  # fmt: skip
    return replace(report, **changes)


def page_of(report: Report, folder: Path, shown: int = 4) -> str:
    write_report(report, folder / "report", shown)
    return (folder / "report.html").read_text(encoding="utf-8")


def pictured_names(page: str) -> list[str]:
    return re.findall(r"<h4><bdi>(.*?)</bdi></h4>", page)


# ----------------------------------------------------------------------------------------------------------- the files


def test_json_holds_everything_and_is_strict(tmp_path: Path):
    report = make(tmp_path, [0.5, math.nan, math.inf], provenance={"path": Path("x"), "of": (1, True, None)})
    write_report(report, tmp_path / "made" / "report")
    text = (tmp_path / "made" / "report.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert [sample["scores"]["discontinuity"] for sample in data["samples"]] == [0.5, None, None]
    assert data["provenance"] == {"path": "x", "of": [1, True, None]}
    assert data["values"] == [
        {"key": "discontinuity", "title": "Discontinuity Score", "pictures": "panorama", "section": "Seams and shape",
         "value": 1.2, "deviation": 0.3, "better": "lower", "network": "", "counts": "", "note": ""}
    ]  # fmt: skip
    assert set(data) == set(Report.__dataclass_fields__)


@pytest.mark.parametrize("name", ["run-v1.2", "run-v1.2.html", "run-v1.2.json"])
def test_only_the_two_suffixes_are_dropped(tmp_path: Path, name: str):
    write_report(make(tmp_path, []), tmp_path / "out" / name)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["run-v1.2.html", "run-v1.2.json"]


def test_numbers_are_kept_when_a_picture_is_gone(tmp_path: Path):
    report = make(tmp_path, [0.5])
    (tmp_path / "image.png").unlink()
    with pytest.raises(UserError, match=r"image\.png: no such image file"):
        write_report(report, tmp_path / "report")
    assert json.loads((tmp_path / "report.json").read_text())["samples"][0]["scores"] == {"discontinuity": 0.5}


def test_mistakes_are_named(tmp_path: Path):
    with pytest.raises(UserError, match="shown must be at least 0, got -1"):
        write_report(make(tmp_path, []), tmp_path / "report", shown=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot make this folder"):
        write_report(make(tmp_path, []), tmp_path / "file" / "report")


def test_page_allows_its_own_style_and_script_and_nothing_else(tmp_path: Path):
    page = page_of(make(tmp_path, [0.1, 0.2]), tmp_path)
    assert not re.search(r"https?:|//[a-z]+\.|@import|\bimport\b|style=|\son[a-z]+=", page)
    assert {source.partition(",")[0] for source in re.findall(r'\bsrc="([^"]*)', page)} == {
        "data:image/jpeg;base64",
        "data:image/png;base64",
    }
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:;") and "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;".replace("+", "&#43;") in policy.replace("+", "&#43;")


def test_text_from_outside_stays_text(tmp_path: Path):
    image = panorama(tmp_path / "image.png")
    value = Value("discontinuity", HOSTILE, HOSTILE, HOSTILE, None, None, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    sample = Sample(HOSTILE, image, image, HOSTILE + "y" * 5000, {"discontinuity": 1.0, HOSTILE: 2.0})
    report = Report(
        HOSTILE, [HOSTILE], [HOSTILE], HOSTILE, HOSTILE, [value], [sample], "discontinuity", HOSTILE,
        {HOSTILE: HOSTILE}, {HOSTILE: {HOSTILE: [HOSTILE]}, "time": HOSTILE},
    )  # fmt: skip
    page = page_of(report, tmp_path)
    assert page.count("<script>") == 1 and page.count("</td><script") == 0 and "\x00" not in page and "\x1b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39; onload=x {{ policy }} {% raw %}" in page
    assert "y" * 4000 not in page
    assert json.loads((tmp_path / "report.json").read_text())["samples"][0]["name"] == HOSTILE


@pytest.mark.parametrize(("shown", "height"), rest_slow([(12, 128), (4, 512)]))
def test_page_stays_small_whatever_it_pictures(tmp_path: Path, shown: int, height: int):
    image = panorama(tmp_path / "noise.png", height)  # nothing is worse for JPEG and PNG
    report = make(tmp_path, [])
    samples = [Sample(f"p{i}", image, image, "", {"discontinuity": float(i)}) for i in range(2 * shown)]
    page = page_of(replace(report, samples=samples), tmp_path, shown)
    assert page.count("<article") == 2 * shown and len(page) < 3.1e6


# ------------------------------------------------------------------------------------------------- what the page shows


@pytest.mark.parametrize(
    ("better", "expected"),
    [("lower", ["p3", "p0", "p1", "p4"]), ("higher", ["p1", "p4", "p3", "p0"]), ("near 1", ["p3", "p1", "p4", "p0"])],
)
def test_worst_and_best(tmp_path: Path, better: str, expected: list[str]):
    scores = [1.1, 0.1, math.nan, 9.0, 0.95]
    values = [replace(DISCONTINUITY, better=better)]
    page = page_of(make(tmp_path, scores, ranking_better=better, values=values), tmp_path, shown=2)
    assert pictured_names(page) == expected
    close_ups = re.findall(r"<figcaption><bdi>(.*?)</bdi>", page)
    assert close_ups == expected


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_no_panorama_is_both_worst_and_best(tmp_path: Path, count: int):
    names = pictured_names(page_of(make(tmp_path, [float(i) for i in range(count)]), tmp_path))
    assert sorted(names) == [f"p{i}" for i in range(count)]


def test_without_ranking_or_references_or_panoramas(tmp_path: Path):
    report = make(tmp_path, [3.0, 1.0])
    samples = [replace(sample, reference=None, caption="") for sample in report.samples]
    page = page_of(replace(report, ranking="", samples=samples, reference=""), tmp_path, shown=1)
    assert pictured_names(page) == ["p0"] and "Worst first" not in page and "Reference" not in page
    page = page_of(make(tmp_path, [], values=[], notes=[], warnings=[], networks={}, provenance={}), tmp_path)
    assert "<article" not in page and "<svg" not in page and "limits" not in page


def test_table_of_values(tmp_path: Path):
    values = [
        Value("a", "Distance", "panorama", "Distribution", 130.116, 4.0, "lower", "CLIP of somewhere", "5 / 6"),
        Value("b", "Distance", "8 views", "Distribution", 7.0, None, "lower"),
        Value("c", "FID", "panorama", "Distribution", None, None, "lower", note="not measured: no network"),
        Value("d", "Ratio", "panorama", "Seams", -0.0123, 0.0, "near 1"),
    ]
    page = page_of(make(tmp_path, [], values=values), tmp_path)
    table = page[page.index('<table class="values">') : page.index("</table>")]
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", table)).strip()
    assert "Distance&nbsp;↓ 130.1± 4.0 panorama clip 5 / 6 Distance&nbsp;↓ 7.0 8 views" in plain
    assert "FID&nbsp;↓ – panorama" in plain and "not measured: no network" in plain
    assert "Seams Ratio&nbsp;→ 1 −0.01230± 0.00000 panorama" in plain
    assert table.count('class="again"') == 1


def test_every_panorama_up_to_a_limit(tmp_path: Path):
    scores = [float(i) for i in range(MAX_ROWS + 7)]
    page = page_of(make(tmp_path, scores), tmp_path, shown=0)
    rows = re.findall(r'<tr><th scope="row" title="(p\d+)"', page)
    assert rows == [f"p{i}" for i in range(MAX_ROWS + 6, 6, -1)]
    assert f"The worst {MAX_ROWS} of {MAX_ROWS + 7}; all scores are in <code>report.json</code>" in page
    assert "<article" not in page and "<figure><div" not in page
    page = page_of(make(tmp_path, [0.5, math.nan, 0.7]), tmp_path, shown=0)
    assert re.findall(r"</bdi><td>(\S+)", page) == ["0.7000", "0.5000", "–"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1.25, 1, "1.2"),
        (-1.5, 2, "−1.50"),
        (-0.001, 2, "0.00"),
        (math.nan, 2, "–"),
        (None, 2, "–"),
        (-math.inf, 0, "−∞"),
    ],
)
def test_number(value: float | None, decimals: int, text: str):
    assert number(value, decimals) == text


@pytest.mark.parametrize(
    ("numbers", "decimals"),
    [([130.0, 2.0], 1), ([45.2, None], 2), ([-7.3], 3), ([0.5], 4), ([0.012], 5), ([1e-9], 6), ([12345.0], 0), ([], 4)],
)
def test_decimals_show_four_digits_of_the_largest(numbers: list[float | None], decimals: int):
    assert decimals_of(numbers) == decimals


def test_histogram_counts_every_value_or_says_which_it_left_out():
    values = np.random.default_rng(0).normal(size=400).tolist()
    score = Score("x", "X", "", "", values)
    assert score.beyond == "" and score.place(score.median) is not None
    counts = [int(text.split()[0]) for *_, text in score.bars()]
    assert sum(counts) == 400 and max(height for _, _, height, _ in score.bars()) == 1
    assert sum(width for _, width, _, _ in score.bars()) == pytest.approx(100)
    far = Score("x", "X", "", "", [*values, 500.0, 900.0, -70.0])
    assert far.beyond == "1 below, to −70.0; 2 above, to 900.0" and far.range == score.range
    assert sum(int(text.split()[0]) for *_, text in far.bars()) == 400
    same = Score("x", "X", "", "", [2.0] * 5)
    assert same.bars() == [(48.0, 4.0, 1.0, "5 at 2.000")] and same.place(2.0) == 50 and same.place(1.0) is None


# ------------------------------------------------------------------------------------------------------------ pictures


def decoded(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))


def test_close_up_is_exact_and_where_the_step_is(tmp_path: Path):
    pixels = np.full((256, 512, 3), 90, np.uint8)
    pixels[100:140, :256] = 140  # a step across the wrap, and the same in the middle
    pixels[:60:2, :] = 200  # rows that differ, but not across the wrap
    Image.fromarray(pixels).save(tmp_path / "seam.png")
    close = close_up(tmp_path / "seam.png")
    first = seam_window(torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)
    assert 76 <= first <= 100
    shown = decoded(close.picture.source)
    assert (shown == np.roll(pixels, 32, 1)[first : first + 64, :64]).all()
    assert (shown[:, 31] != shown[:, 32]).any(-1).sum() == 40
    assert close.north_degrees == 90 - 180 * first / 256 and close.south_degrees == 90 - 180 * (first + 64) / 256


def test_close_up_of_a_small_panorama_is_all_of_its_height(tmp_path: Path):
    picture = close_up(panorama(tmp_path / "small.png", 16)).picture
    assert (picture.width, picture.height) == (32, 16)


def test_views_look_where_they_say(tmp_path: Path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:8, :, 0] = pixels[-8:, :, 1] = 255
    pixels[24:40, [*range(8), *range(120, 128)], 2] = 255
    Image.fromarray(pixels).save(tmp_path / "marked.png")
    shown = pictured(tmp_path / "marked.png", 100_000.0)
    for channel, view in enumerate(("up", "down", "back")):
        centre = decoded(shown.views[view].source)[96, 96].astype(int)
        assert centre.argmax() == channel and centre.max() > 240 and sorted(centre)[1] < 20
    assert (shown.panorama.width, shown.panorama.height) == (128, 64)


# ------------------------------------------------------------------------------------------------------- in a browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_page_in_a_browser(browser, tmp_path: Path, width: int, scheme: str):
    report = make(tmp_path, [0.5, -2.0, math.nan, 11.0, math.inf])
    samples = [replace(sample, name=f"{sample.name}_{'long' * 40}") for sample in report.samples]
    write_report(replace(report, samples=samples, generated="g" * 300), tmp_path / "report")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, complaints = context.new_page(), []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    cells = "[...document.querySelectorAll('.all tbody tr')].map((row) => row.cells[1].textContent)"
    assert [text.strip() for text in page.evaluate(cells)] == ["∞", "11.00", "0.50", "−2.00", "–"]
    page.click(".all thead th:nth-child(2) button")
    assert [text.strip() for text in page.evaluate(cells)] == ["−2.00", "0.50", "11.00", "∞", "–"]
    page.click(".all thead th:nth-child(2) button")
    assert [text.strip() for text in page.evaluate(cells)] == ["∞", "11.00", "0.50", "−2.00", "–"]
    page.click(".all thead th:nth-child(1) button")
    assert page.evaluate("document.querySelector('.all tbody th').textContent.slice(0, 3)") == "p0_"
    assert complaints == []
    context.close()
