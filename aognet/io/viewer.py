"""A panorama as one web page that needs nothing else: no network, no server, no library.

The page itself is ``viewer.html``, into which ``look.js`` is put, the part that the studio's page has too. Its address
says where it looks: ``viewer.html#yaw=90&pitch=10&fov=60``, in degrees, with the signs of the rest of the project;
``fov`` is horizontal.
"""

import base64
import hashlib
import html
import io
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.io.files import write_atomically
from aognet.io.gpano import clean_text

_MAX_WIDTH = 8192  # the largest texture most graphics cards and software renderers take
_MAX_TITLE = 1000
_PARTS = ("viewer.html", "look.js")
_SATURATED = 254.5 / 255


def write_viewer(
    panorama: Path | Image.Image,
    path: Path,
    *,
    title: str,
    photo_camera: Camera | None = None,
    light: Float[Tensor, "3 height width"] | None = None,
) -> None:
    """Write a page on which one looks around in an equirectangular panorama with mouse, touch and keys.

    ``title`` (usually the prompt) is the caption; it may contain anything. With ``photo_camera`` the page can outline
    what the photograph showed. With the ``light`` of the panorama, which then shows it tone-mapped, the page can change
    the exposure: it knows by how much light is more than what is shown white. Panoramas wider than 8192 pixels are
    shrunk to that width.

    Raises:
        UserError: the panorama cannot be read or is not twice as wide as high, or the page cannot be written.
    """
    template = _template()
    title = clean_text(title, _MAX_TITLE) or "Panorama"
    image = _picture(panorama)
    stops, most = (b"", 0.0) if light is None else _beyond_white(image, light)
    values = {
        "policy": content_policy(template),
        "title": html.escape(title),
        "photo": html.escape(_photo(photo_camera)),
        "image": "data:image/jpeg;base64," + base64.b64encode(_jpeg(image)).decode(),
        "light": "" if light is None else f"{most:.4f}",
        "beyond": f' src="data:image/png;base64,{base64.b64encode(stops).decode()}"' if stops else "",
    }
    # One pass, so that a title that spells a placeholder stays a title.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
    write_atomically(path, page)


def _template() -> str:
    """Return the page with its script in one piece: a module's names are the script's own there."""
    page, look = (resources.files("aognet.io").joinpath(name).read_text(encoding="utf-8") for name in _PARTS)
    return page.replace("{{look}}", re.sub(r"^export ", "", look, flags=re.MULTILINE).strip(), 1)


def _picture(panorama: Path | Image.Image) -> Image.Image:
    try:
        image = panorama if isinstance(panorama, Image.Image) else Image.open(panorama)
        width, height = image.size
        if width != 2 * height:
            name = panorama if isinstance(panorama, Path) else "the image"
            raise UserError(f"a panorama must be twice as wide as high, got {width}x{height} from {name}")
        image = image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the panorama {panorama}: {error}") from error
    if width > _MAX_WIDTH:
        image = image.resize((_MAX_WIDTH, _MAX_WIDTH // 2), Image.Resampling.LANCZOS)
    return image


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()


def _beyond_white(image: Image.Image, light: Float[Tensor, "3 height width"]) -> tuple[bytes, float]:
    """Return a PNG file that says how many stops more light there is than is shown white, and what its 255 stands for.

    Elsewhere it is 0, so that what is shown stays as it is: a gain map.
    """
    import cv2

    values = light.detach().float().cpu().permute(1, 2, 0).numpy()
    size = (min(image.width, values.shape[1]), min(image.height, values.shape[0]))
    shown = np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BOX))
    if values.shape[:2] != shown.shape[:2]:
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    white = shown >= 255 * _SATURATED
    if not white.any():
        return _png(np.zeros((1, 2, 3), np.uint8)), 0.0
    least = max(float(np.percentile(values[white], 1)), 1e-6)
    stops = np.where(white, np.log2(np.maximum(values / least, 1)), 0)
    most = float(stops.max())
    return _png(np.rint(stops * (255 / max(most, 1e-6))).astype(np.uint8)), most


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def _photo(camera: Camera | None) -> str:
    """Return what the page needs to outline the photograph: rows of camera-to-world, tangents of half the fields of
    view.
    """
    if camera is None:
        return ""
    tangents = [camera.width / 2 / camera.focal_pixels, camera.height / 2 / camera.focal_pixels]
    return json.dumps({"rotation": camera.rotation.flatten().tolist(), "tangents": tangents})


def content_policy(template: str) -> str:
    """Return a Content-Security-Policy that lets only this page's own style and script run, and blocks the network."""
    rules = ["default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
        rules.append(f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'")
    return "; ".join(rules)
