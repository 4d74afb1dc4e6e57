"""Makes captioned panoramas of procedural scenes: `python misc/make_scenes.py --out_dir DIR --count N`.

Writes scene_000000.jpg, ... and captions.jsonl (one object a line: file, captions). Finished images are kept on a
second run unless --overwrite is given; they must come from the same seed, height and kinds.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out_dir", type=Path, required=True, help="folder to write to, made if missing")
    parser.add_argument("--count", type=int, required=True, help="number of scenes")
    parser.add_argument("--height", type=int, default=512, help="height of the panoramas; the width is twice that")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene; each next one has the next seed")
    parser.add_argument("--kinds", nargs="+", default=None, help="only scenes of these kinds, in turn")
    parser.add_argument("--num_workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--format", choices=["jpg", "png"], default="jpg")
    parser.add_argument("--overwrite", action="store_true", help="make finished images again")
    return parser.parse_args(argv)


def _replace(path: Path, data: bytes) -> None:
    """Writes a whole file or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(data)
            file.close()
            # Temporary files are private; these are for everyone the folder is for.
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _start_worker() -> None:
    import torch

    torch.set_num_threads(1)


def _make(number: int, *, out_dir: Path, height: int, seed: int, kinds: list[str] | None, suffix: str, overwrite: bool):
    """Writes one image unless it is there; returns its line of captions.jsonl."""
    import io

    from PIL import Image

    from aognet.data.synthetic import describe_scene, make_scene

    path = out_dir / f"scene_{number:06d}.{suffix}"
    kind = kinds[number % len(kinds)] if kinds else None
    if path.exists() and not overwrite:
        caption = describe_scene(seed + number, kind)
    else:
        scene = make_scene(seed + number, height, kind)
        caption = scene.caption
        buffer = io.BytesIO()
        pixels = Image.fromarray((scene.image * 255).round().astype("uint8"))
        pixels.save(buffer, "JPEG" if suffix == "jpg" else "PNG", quality=95)
        _replace(path, buffer.getvalue())
    return json.dumps({"file": path.name, "captions": [caption]})


def _check(args: argparse.Namespace) -> None:
    from aognet.data.synthetic import KINDS
    from aognet.errors import UserError

    for key, least in (("count", 1), ("num_workers", 1), ("height", 8), ("seed", 0)):
        if getattr(args, key) < least:
            raise UserError(f"--{key} must be at least {least}, got {getattr(args, key)}")
    for kind in args.kinds or []:
        if kind not in KINDS:
            raise UserError(f"--kinds: unknown kind of scene {kind!r}; known: {', '.join(KINDS)}")
    try:
        args.out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=args.out_dir):
            pass
    except OSError as error:
        raise UserError(f"--out_dir {args.out_dir} cannot be written: {error.strerror}") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the scenes; see the flags."""
    args = _arguments(argv)
    _check(args)
    from rich.progress import track

    make = partial(
        _make,
        out_dir=args.out_dir,
        height=args.height,
        seed=args.seed,
        kinds=args.kinds,
        suffix=args.format,
        overwrite=args.overwrite,
    )
    with ExitStack() as stack:
        results = map(make, range(args.count))
        if args.num_workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(args.num_workers, initializer=_start_worker))
            results = pool.map(make, range(args.count), chunksize=4)
        lines = list(track(results, "Making scenes", total=args.count))
    _replace(args.out_dir / "captions.jsonl", "".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    # Before NumPy starts: one thread for each worker, since there is one worker per core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from aognet.cli import run

    run(main)
