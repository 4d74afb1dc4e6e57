"""Continues photographs without AOG-Net: what its results are compared with.

python benchmarks/baselines.py --kind mirrored --panoramas FILES --out_dir DIR [--captions FILES] [--set key.sub=value]

Of each panorama the middle 90 degree view is known. mirrored: the picture mirrored at the photograph's edges, again and
again. telea: OpenCV's inpainting (Telea 2004). one-shot: the backbone of the checkpoint inpaints the equirectangular
image as a whole, as if it were a photograph, with as many rows as a view has, and the result is enlarged.

The last two are bounds: no painting of that model can be expected to be nearer to the truth. reduced: the truth, made
smaller by what the checkpoint makes its views larger, and enlarged again. decoded: that small truth encoded and decoded
by the checkpoint's autoencoder, and made larger by its upscaler.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aognet.system import threads  # noqa: E402

threads.settle()

KINDS = ("mirrored", "telea", "one-shot", "reduced", "decoded")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--panoramas", type=Path, nargs="+", required=True, help="image files")
    parser.add_argument("--captions", type=Path, nargs="+", default=[], help="JSONL: prompts of one-shot")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="key.sub=value", help="settings of inference.py")
    return parser.parse_args(argv)


def mirrored(canvas):
    """Longitudes beyond 45 and latitudes beyond 35 degrees are folded back: that box the 90 degree view contains."""
    from aognet.geometry import sphere

    height, across = canvas.height, math.pi / 4
    up = math.atan(math.cos(across))
    latitudes = fold(sphere.pixel_latitudes(height), up)[:, None].expand(-1, 2 * height)
    longitudes = fold(sphere.pixel_longitudes(2 * height), across).expand(height, -1)
    positions = sphere.pixel_positions(sphere.directions(longitudes, latitudes), height, 2 * height)
    return sphere.sample(canvas.image, positions)


def fold(angles, most: float):
    """Angles mirrored at plus and minus ``most`` until they lie between."""
    turned = (angles + most) % (4 * most)
    return most - (turned - 2 * most).abs()


def telea(canvas):
    """OpenCV's inpainting of the panorama with its two halves beside it again, so that it closes."""
    import cv2
    import torch

    from aognet.io.images import from_uint8, to_uint8

    half = canvas.height
    wide = to_uint8(torch.cat([canvas.image[0, ..., half:], canvas.image[0], canvas.image[0, ..., :half]], dim=-1))
    known = canvas.known[0, 0]
    unknown = ~torch.cat([known[:, half:], known, known[:, :half]], dim=-1)
    painted = cv2.inpaint(wide.permute(1, 2, 0).contiguous().numpy(), unknown.byte().numpy(), 3, cv2.INPAINT_TELEA)
    return from_uint8(torch.from_numpy(painted)).permute(2, 0, 1)[None, ..., half : 3 * half]


class OneShot:
    """The whole equirectangular image as one picture to inpaint."""

    def __init__(self, config, defaults):
        from aognet.methods.outpainter import painted_settings
        from aognet.methods.pretrained import load_method

        model = load_method(config.checkpoint, config.revision, config.dtype)
        settings = painted_settings(model, defaults.settings)
        self.backbone, self.sampler, self.seed, self.rows = model.backbone, settings.sampler, 0, settings.plan.size

    def __call__(self, canvas, prompt: str):
        from torch.nn import functional

        from aognet.diffusion.inpaint import TextContext, inpaint
        from aognet.diffusion.sampling.noise import generators

        backbone, sampler, source = self.backbone, self.sampler, generators([self.seed])
        size = (self.rows, 2 * self.rows)
        known = functional.interpolate(canvas.known.float(), size, mode="area") > 0.999
        image = functional.interpolate(canvas.image, size, mode="bicubic", antialias=True).clamp(-1, 1)
        condition = backbone.prepare_condition(image * known, known, source)
        context = TextContext.of_prompts(backbone, [prompt], sampler.negative)
        painted = inpaint(backbone, condition, context, sampler, source)
        return functional.interpolate(painted, canvas.image.shape[-2:], mode="bicubic").clamp(-1, 1)


class Kept:
    """What the small views of a model keep of the truth, and what its autoencoder keeps of that."""

    def __init__(self, config, defaults):
        from aognet.methods.pretrained import load_method

        model = load_method(config.checkpoint, config.revision, config.dtype)
        self.latents, self.height = model.backbone.latents, defaults.height
        self.upscaler = model.upscaler if defaults.settings.enlarge_views else None

    def reduced(self, path: Path):
        """The small truth."""
        from aognet.io.images import load_panorama

        return load_panorama(path, self.height // (self.upscaler.scale if self.upscaler else 1))[None]

    def decoded(self, small):
        """What becomes of it: in [-1, 1], as large as the model paints."""
        import torch

        with torch.no_grad():
            decoded = self.latents.decode(self.latents.encode(small)).clamp(-1, 1)
            return decoded if self.upscaler is None else self.upscaler(decoded / 2 + 0.5).clamp(0, 1) * 2 - 1

    def enlarged(self, small):
        """The small truth, as large as the model paints."""
        from torch.nn import functional

        return functional.interpolate(small, (self.height, 2 * self.height), mode="bicubic").clamp(-1, 1)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    import torch

    from aognet.config import load_config
    from aognet.generate.inference import read_inference
    from aognet.generate.start import read_start
    from aognet.io.captions import check_captions, load_captions
    from aognet.io.images import save_image
    from aognet.request import Pose, Request

    config, generator, _ = read_inference(load_config([ROOT / "config" / "inference_config.yaml"], options.set))
    defaults = generator.defaults
    captions = {name: texts for path in options.captions for name, texts in load_captions(path).items()}
    one_shot = OneShot(config, defaults) if options.kind == "one-shot" else None
    kept = Kept(config, defaults) if options.kind in ("reduced", "decoded") else None
    options.out_dir.mkdir(parents=True, exist_ok=True)
    names, where = [path.name for path in options.panoramas], ", ".join(map(str, options.captions))
    keys = check_captions(captions, names, where, paths=options.panoramas)
    for path, key in zip(options.panoramas, keys, strict=True):
        out = options.out_dir / f"{path.stem}.png"
        if out.exists():
            continue
        prompt = next(iter(() if key is None else captions[key]), "")
        canvas = read_start(Request(truth=str(path), pose=Pose(fov=90.0)), defaults.height).canvas
        if one_shot is not None:
            painted = one_shot(canvas, prompt)
        elif kept is not None:
            small = kept.reduced(path)
            painted = kept.decoded(small) if options.kind == "decoded" else kept.enlarged(small)
        else:
            painted = {"mirrored": mirrored, "telea": telea}[options.kind](canvas)
        save_image(torch.where(canvas.known, canvas.image, painted)[0], out)


if __name__ == "__main__":
    main()
