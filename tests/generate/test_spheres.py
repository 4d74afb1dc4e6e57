"""What is transparent, masked or outside of a part is unknown; what is known lies where the sphere has it."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.testing import assert_close

from aognet.errors import UserError
from aognet.evaluation.measure import decode
from aognet.evaluation.sets import PanoramaFile
from aognet.generate.inputs import InputsConfig, list_requests
from aognet.generate.result_files import write_truth
from aognet.generate.start import read_start
from aognet.geometry.perspective import rotate
from aognet.io.hdr import write_exr
from aognet.io.images import decode_panorama, load_panorama, to_uint8
from aognet.io.masks import read_mask
from aognet.request import Photo, Request
from tests.smooth import smooth_panorama

HEIGHT = 32
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" {}/></rdf:RDF></x:xmpmeta>'
)


def pixels_of(image: Tensor) -> np.ndarray:
    return to_uint8(image).permute(1, 2, 0).numpy()


def save(path: Path, pixels: np.ndarray, properties: dict[str, object] | None = None) -> Path:
    chunks = PngImagePlugin.PngInfo()
    if properties is not None:
        named = {"ProjectionType": "equirectangular"} | properties
        chunks.add_itxt("XML:com.adobe.xmp", PACKET.format(" ".join(f'GPano:{k}="{v}"' for k, v in named.items())))
    Image.fromarray(pixels).save(path, pnginfo=chunks)
    return path


def part(left: int, top: int, width: int, height: int, full: int = HEIGHT) -> dict[str, object]:
    return {
        "FullPanoWidthPixels": 2 * full,
        "FullPanoHeightPixels": full,
        "CroppedAreaLeftPixels": left,
        "CroppedAreaTopPixels": top,
        "CroppedAreaImageWidthPixels": width,
        "CroppedAreaImageHeightPixels": height,
    }


def start(path: Path, mask: Path | None = None, height: int = HEIGHT):
    config = InputsConfig(partial=str(path), mask=None if mask is None else str(mask))
    return read_start(list_requests(config, Request())[0], height).canvas


def refused(path: Path, mask: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        start(path, mask)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def world() -> Tensor:
    return smooth_panorama(HEIGHT)


# ---------------------------------------------------------------------------------------------------- transparency


def hidden(world: Tensor, hole: np.ndarray, opacity: int = 0) -> np.ndarray:
    """RGBA pixels with a hole, under which the file hides white and black."""
    pixels = np.dstack([pixels_of(world[0]), np.full(hole.shape, 255, np.uint8)])
    pixels[hole] = [255, 0, 255, opacity]
    return pixels


@pytest.mark.parametrize("height", [HEIGHT, HEIGHT // 2, 12, 48])
@pytest.mark.parametrize("opacity", [0, 40, 120])
def test_a_transparent_hole_is_painted_and_shows_nowhere(
    tmp_path: Path, world: Tensor, height: int, opacity: int
) -> None:
    hole = np.zeros((HEIGHT, 2 * HEIGHT), bool)
    hole[9:21, 17:41] = hole[12:20, :5] = True
    canvas = start(save(tmp_path / "a.png", hidden(world, hole, opacity)), height=height)
    share = 1 - canvas.known.float().mean().item()
    assert share == pytest.approx(hole.mean(), abs=3 / height)
    # Magenta would differ by far more; what is known is the world itself, up to a pixel's size.
    error = (canvas.image - smooth_panorama(height)).abs() * canvas.known
    assert error.max() < 0.02 + 2.5 / height


def test_a_transparent_hole_in_linear_light(tmp_path: Path, world: Tensor) -> None:
    light = (world[0] + 1.5).permute(1, 2, 0).numpy()
    alpha = np.ones((HEIGHT, 2 * HEIGHT), np.float32)
    alpha[9:21, 17:41], alpha[0, 0] = 0, 0.6
    for opacity, name in ((alpha, "a.exr"), (np.ones_like(alpha), "b.exr")):
        premultiplied = light * opacity[..., None]
        write_exr({"A": opacity} | {"RGB"[i]: premultiplied[..., i] for i in range(3)}, tmp_path / name)
    canvas = start(tmp_path / "a.exr")
    assert torch.equal(canvas.known[0, 0], torch.from_numpy(alpha > 0.5))
    # Its median was measured without the hole, so shades shift a little; hues do not.
    opaque = load_panorama(tmp_path / "b.exr", HEIGHT)
    assert ((canvas.image - opaque).abs() * canvas.known).mean() < 0.05
    assert ((canvas.image - opaque).abs() * canvas.known).max() < 0.15


def test_a_cut_out_photograph_is_painted_around(tmp_path: Path) -> None:
    rows, columns = 60, 80
    y, x = np.mgrid[:rows, :columns]
    inside = np.hypot(x - 40, y - 30) < 22
    pixels = np.where(inside[..., None], [200, 100, 50, 255], [0, 255, 0, 0]).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for height in (32, 64, 256):  # made smaller, and not
        canvas = read_start(Request(photos=[Photo(image=str(tmp_path / "a.png"), fov=90.0)]), height).canvas
        known = canvas.known[0, 0]
        colours = canvas.image[0][:, known]
        expected = torch.tensor([200, 100, 50]) / 127.5 - 1
        assert_close(colours, expected[:, None].expand_as(colours), atol=0.012, rtol=0)
        # The disc's solid angle: half an angle of atan(22 / 40).
        cosine = 40 / math.hypot(22, 40)
        latitudes = (0.5 - (torch.arange(height) + 0.5) / height) * math.pi
        share = (known.float().mean(1) * latitudes.cos()).sum() * math.pi / height / 2
        assert share.item() == pytest.approx((1 - cosine) / 2, rel=0.15)


def test_a_file_without_anything_opaque_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((HEIGHT, 2 * HEIGHT, 4), np.uint8))
    assert "a.png: is transparent throughout" in refused(tmp_path / "a.png")
    with pytest.raises(UserError, match="a.png: is transparent throughout, so nothing of it is known"):
        read_start(Request(photos=[Photo(image=str(tmp_path / "a.png"))]), HEIGHT)


def test_the_truth_is_no_view_where_it_is_transparent(tmp_path: Path, world: Tensor) -> None:
    hole = np.zeros((HEIGHT, 2 * HEIGHT), bool)
    hole[10:22, 28:36] = True
    path = save(tmp_path / "a.png", hidden(world, hole))
    found = read_start(list_requests(InputsConfig(panoramas=[str(path)]), Request())[0], HEIGHT)
    assert not found.canvas.known[0, 0][hole].any() and found.canvas.known[0, 0][8, 32]
    write_truth(tmp_path, found.truth)
    content = (tmp_path / "gt.png").read_bytes()
    measured = decode(content, PanoramaFile("gt.png", tmp_path / "gt.png"), HEIGHT)
    assert torch.equal(measured.known[0, 0], ~torch.from_numpy(hole))  # no grey is measured against


# ------------------------------------------------------------------------------------------------------------ masks

WHITE = np.zeros((64, 128), bool)
WHITE[10:30, 20:60] = WHITE[40:44, 70:110] = WHITE[30:60, 0:3] = WHITE[50:60, 125:] = True


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    """All pixels within ``by`` of one that is True, across the wrap too."""
    found = mask.copy()
    for down in range(-by, by + 1):
        for right in range(-by, by + 1):
            moved = np.roll(mask, right, 1)
            moved = np.roll(moved, down, 0)
            if down:
                moved[: down if down > 0 else 0] = moved[down if down < 0 else len(mask) :] = False
            found |= moved
    return found


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_mask_misses_nothing_and_adds_no_specks(tmp_path: Path, quality: int, subsampling: int) -> None:
    image = Image.fromarray((WHITE * 255).astype(np.uint8)).convert("RGB")
    image.save(tmp_path / "m.jpg", quality=quality, subsampling=subsampling)
    found = read_mask(tmp_path / "m.jpg")[0].numpy()
    assert (found | ~WHITE).all()
    assert not (found & ~grown(WHITE, 2)).any()


def test_a_png_mask_is_exact_and_its_soft_edge_is_painted(tmp_path: Path) -> None:
    Image.fromarray((WHITE * 255).astype(np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0].numpy(), WHITE)
    box = np.zeros_like(WHITE)
    box[10:30, 20:60] = True
    large = Image.fromarray((box.repeat(4, 0).repeat(4, 1) * 255).astype(np.uint8)).rotate(7)
    touched = np.asarray(large.resize((128, 64), Image.Resampling.BOX)) > 8
    large.resize((128, 64), Image.Resampling.BOX).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png")[0].numpy() | ~touched).all()


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> Image.Image:
    levels = [(part * 255).astype(np.uint8) for part in (colour, colour, colour, alpha)]
    return Image.fromarray(np.dstack(levels))


EVERYWHERE, NOWHERE = np.ones_like(WHITE), np.zeros_like(WHITE)
OTHER = np.zeros_like(WHITE)
OTHER[:8] = True


@pytest.mark.parametrize(
    ("colour", "alpha", "painted"),
    [
        (WHITE, EVERYWHERE, WHITE),
        (EVERYWHERE, WHITE, WHITE),  # white strokes on a transparent layer
        (WHITE, WHITE, WHITE),  # the same, with black under what is transparent
        (NOWHERE, ~WHITE, WHITE),  # a hole in a black layer
        (WHITE, ~WHITE, WHITE),  # the same, with white under the hole
        (WHITE, WHITE | OTHER, WHITE),  # white and black strokes
    ],
)
def test_masks_with_alpha(tmp_path: Path, colour: np.ndarray, alpha: np.ndarray, painted: np.ndarray) -> None:
    with_alpha(colour, alpha).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0].numpy(), painted)
    with_alpha(colour, alpha).convert("LA").save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0].numpy(), painted)


def test_masks_that_say_nothing_are_refused(tmp_path: Path, world: Tensor) -> None:
    whole = save(tmp_path / "whole.png", pixels_of(world[0]))
    save(tmp_path / "black.png", np.zeros((HEIGHT, 2 * HEIGHT), np.uint8))
    save(tmp_path / "white.png", np.full((HEIGHT, 2 * HEIGHT), 255, np.uint8))
    save(tmp_path / "clear.png", np.zeros((HEIGHT, 2 * HEIGHT, 4), np.uint8))
    assert "black.png: is black throughout, so nothing is to be painted" in refused(whole, tmp_path / "black.png")
    assert "white.png: leaves nothing of whole.png" in refused(whole, tmp_path / "white.png")
    assert "clear.png: is transparent throughout" in refused(whole, tmp_path / "clear.png")
    assert "whole.png: has colours, so it is no mask" in refused(whole, whole)
    assert "whole.png: is known throughout" in refused(whole)


def test_a_hole_and_a_mask_are_both_painted(tmp_path: Path, world: Tensor) -> None:
    hole, mask = np.zeros((HEIGHT, 2 * HEIGHT), bool), np.zeros((HEIGHT, 2 * HEIGHT), np.uint8)
    hole[:10], mask[:, :20] = True, 255
    path = save(tmp_path / "a.png", hidden(world, hole))
    save(tmp_path / "m.png", mask)
    expected = torch.from_numpy(~hole & (mask == 0))
    assert torch.equal(start(path, tmp_path / "m.png").known[0, 0], expected)
    save(tmp_path / "m.png", mask * 0)
    assert torch.equal(start(path, tmp_path / "m.png").known[0, 0], torch.from_numpy(~hole))


# ----------------------------------------------------------------------------------------------- parts of the sphere


@pytest.mark.parametrize(
    ("left", "top", "width", "height"),
    [(16, 8, 32, 16), (0, 8, 64, 20), (50, 4, 30, 15), (0, 0, 64, 10), (10, 22, 20, 10), (3, 5, 7, 9)],
)
@pytest.mark.parametrize("scale", [1, 2])
def test_a_part_lies_where_its_metadata_says(
    tmp_path: Path, world: Tensor, left: int, top: int, width: int, height: int, scale: int
) -> None:
    large = smooth_panorama(HEIGHT * scale)[0]
    columns = (torch.arange(width * scale) + left * scale) % (2 * HEIGHT * scale)
    crop = large[:, top * scale : (top + height) * scale][..., columns]
    path = save(tmp_path / "a.png", pixels_of(crop), part(left, top, width, height))
    canvas = start(path)
    expected = torch.zeros(HEIGHT, 2 * HEIGHT, dtype=torch.bool)
    expected[top : top + height, (torch.arange(width) + left) % (2 * HEIGHT)] = True
    assert torch.equal(canvas.known[0, 0], expected)
    assert ((canvas.image - world).abs() * canvas.known).max() < (0.009 if scale == 1 else 0.05)


def test_a_part_in_other_sizes(tmp_path: Path) -> None:
    large = smooth_panorama(64)[0]
    path = save(tmp_path / "a.png", pixels_of(large[:, 13:50, 21:99]), part(21, 13, 78, 37, 64))
    for height in (16, 33, 64, 100):
        canvas = start(path, height=height)
        assert canvas.known.float().mean().item() == pytest.approx(37 * 78 / (64 * 128), abs=1.5 / height)
        error = (canvas.image - smooth_panorama(height)).abs() * canvas.known
        assert error.max() < 0.2 and error.sum() / canvas.known.sum() < 0.05


def test_a_mask_of_a_part_belongs_to_its_pixels(tmp_path: Path, world: Tensor) -> None:
    path = save(tmp_path / "a.png", pixels_of(world[0, :, 8:24, 16:48]), part(16, 8, 32, 16))
    mask = np.zeros((16, 32), np.uint8)
    mask[:, :4] = 255
    known = start(path, save(tmp_path / "m.png", mask)).known[0, 0]
    assert known[8:24, 20:48].all() and known.sum() == 16 * 28
    mask = np.zeros((HEIGHT, 2 * HEIGHT), np.uint8)
    mask[:12] = 255
    known = start(path, save(tmp_path / "m.png", mask)).known[0, 0]
    assert known[12:24, 16:48].all() and known.sum() == 12 * 32


def test_a_part_is_never_stretched(tmp_path: Path, world: Tensor) -> None:
    path = save(tmp_path / "a.png", pixels_of(world[0, :, 8:24, 16:48]), part(16, 8, 32, 16))
    said = r"a.png: is a part of a panorama \(180x90 degrees\), as its GPano metadata says"
    with pytest.raises(UserError, match=said):
        load_panorama(path, 16)
    with pytest.raises(UserError, match=said):
        decode_panorama(path.read_bytes(), "a.png", 16)
    with pytest.raises(UserError, match=said):
        read_start(list_requests(InputsConfig(panoramas=[str(path)]), Request())[0], HEIGHT)
    with pytest.raises(UserError, match=said + ", and no photograph: give it with .*panorama"):
        read_start(Request(photos=[Photo(image=str(path))]), HEIGHT)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_whole_panorama_is_no_photograph(tmp_path: Path, world: Tensor, suffix: str) -> None:
    packet = PACKET.format('GPano:ProjectionType="equirectangular"')
    image, chunks = Image.fromarray(pixels_of(world[0])), PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet)
    image.save(tmp_path / f"a{suffix}", **({"pnginfo": chunks} if suffix == ".png" else {"xmp": packet.encode()}))
    with pytest.raises(
        UserError, match="is a whole panorama, .* no photograph: give it with inputs.panoramas or panorama"
    ):
        read_start(Request(photos=[Photo(image=str(tmp_path / f"a{suffix}"))]), HEIGHT)


@pytest.mark.parametrize(
    "properties",
    [
        part(0, 0, 64, 32),  # cropped since by a program that left the metadata
        part(-4, 0, 32, 16),
        part(0, 30, 20, 16),
        part(0, 0, 0, 0, 0),
        {**part(0, 0, 32, 24), "FullPanoWidthPixels": "many"},
        {**part(0, 0, 32, 24), "FullPanoWidthPixels": "inf"},
        {**part(0, 0, 32, 24), "FullPanoHeightPixels": 999},
        {**part(0, 0, 32, 24), "PosePitchDegrees": 400},
    ],
)
def test_metadata_that_does_not_fit_is_left_aside(
    tmp_path: Path, world: Tensor, caplog: pytest.LogCaptureFixture, properties: dict[str, object]
) -> None:
    path = save(tmp_path / "a.png", pixels_of(world[0, :, :24, :32]), properties)
    found = read_start(Request(photos=[Photo(image=str(path))]), HEIGHT)
    assert found.camera is not None and found.canvas.known.any()
    assert "a.png: its GPano metadata does not fit its 32x24 pixels; it is left aside" in caplog.text


@pytest.mark.parametrize(("pitch", "roll"), [(10.0, 0.0), (0.0, 20.0), (-15.0, 30.0), (60.0, -170.0)])
def test_a_tilted_panorama_gets_its_horizon_back(tmp_path: Path, pitch: float, roll: float) -> None:
    world = smooth_panorama(64)
    tilted = rotate(world, 0.0, pitch, roll)
    tilt = {"PosePitchDegrees": pitch, "PoseRollDegrees": roll, "PoseHeadingDegrees": 77}
    path = save(tmp_path / "a.png", pixels_of(tilted[0]), tilt)
    mask = np.zeros((64, 128), np.uint8)
    mask[:20] = 255
    canvas = start(path, save(tmp_path / "m.png", mask), 64)
    assert ((canvas.image - world).abs() * canvas.known).max() < 0.05
    # The mask is turned with the picture: its cap's centre lies where the tilted camera has its zenith.
    expected = rotate(torch.from_numpy(mask)[None, None] / 255.0, 0.0, 0.0, 0.0)
    back = rotate((~canvas.known).float(), 0.0, pitch, roll)
    assert (back - expected).abs().mean() < 0.04
    truth = read_start(list_requests(InputsConfig(panoramas=[str(path)]), Request())[0], 64).truth.image
    assert_close(truth, world, atol=0.05, rtol=0)


def test_a_level_panorama_is_left_to_the_bit(tmp_path: Path, world: Tensor) -> None:
    path = save(tmp_path / "a.png", pixels_of(world[0]), {"PosePitchDegrees": 0.0, "PoseHeadingDegrees": 12})
    truth = read_start(list_requests(InputsConfig(panoramas=[str(path)]), Request())[0], HEIGHT).truth.image
    assert torch.equal(to_uint8(truth[0]), to_uint8(world[0]))


def test_no_metadata_breaks_a_reader(tmp_path: Path, world: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    random, packet = np.random.default_rng(0), PACKET.format('GPano:ProjectionType="equirectangular"').encode()
    image = Image.fromarray(pixels_of(world[0]))
    for number in range(150):
        odd = bytearray(packet)
        for place in random.integers(0, len(odd), 3):
            odd[place] = random.integers(256)
        odd = bytes(odd[: random.integers(len(odd))] if number % 3 == 0 else odd)
        content = io.BytesIO()
        image.save(content, "JPEG", xmp=odd)
        assert decode_panorama(content.getvalue(), "a.jpg", 16).shape == (16, 32, 3)
    assert all("\n" not in record.getMessage() for record in caplog.records)
