"""Turn the published checkpoints of Text2Light into a folder of networks of ours.

aognet convert-text2light --model text2light_released_model --out text2light

The folder has ``global_sampler_clip``, ``local_sampler`` or its variants ``_outdoor`` and ``_indoor``, and
``sritmo.pth``; ``clip_emb.npy`` is looked for in it. The files are pickles: their tensors alone are read, and nothing
in them is run.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aognet import cli

if TYPE_CHECKING:
    from aognet.methods.text2light.published_parts import PublishedPart

CHECKPOINT = Path("checkpoints") / "last.ckpt"
GLOBAL, LOCAL, VARIANTS = "global_sampler_clip", "local_sampler", ("", "_outdoor", "_indoor")
SRITMO, INDEX = "sritmo.pth", "clip_emb.npy"


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FOLDER", help="the published folder, text2light_released_model")
    add("--out", type=Path, required=True, metavar="FOLDER", help="to make")
    add(
        "--clip",
        type=Path,
        metavar="NPY",
        help=f"embeddings of images (default: {INDEX} in the folder, if it is there)",
    )
    add("--dtype", default="float32", help="of the weights in the files: float32, bfloat16 or float16")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(argv, program)
    with cli.flags(options):
        convert(options.model, options.out, options.clip, options.dtype)


def convert(model: Path, out: Path, clip: Path | None = None, dtype: str = "float32") -> None:
    """Write a folder with a folder for each network. It is there whole or not at all.

    The embeddings lie beside the global sampler, which is conditioned by them.

    :raises UserError: naming the file or folder, and what is wrong with it.
    """
    import logging
    import shutil

    from safetensors import SafetensorError

    from aognet.diffusion.loading import DTYPES, check_dtype
    from aognet.errors import Setting, UserError
    from aognet.io.files import made_folder, replace_folder
    from aognet.system.locking import exclusive

    check_dtype(dtype)
    files, index = _files(model), _index(model, clip)
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: is there already; name another folder by ", Setting("out"))
    unfinished = out.with_name(f".tmp-{out.name}")
    with made_folder(out.parent, "out"), exclusive(out.parent, out.name):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            names = []
            for name, part in _parts(files):
                part.network.save_pretrained(unfinished / name, DTYPES[dtype])
                names.append(name)
            if index is not None:
                _save_index(unfinished / "global_sampler", index)
            replace_folder(unfinished, out)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{out}: cannot write this folder ({getattr(error, 'strerror', None) or error})") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    images = "no embeddings of images" if index is None else f"{len(index)} embeddings of images"
    logging.getLogger("aognet.convert").info("wrote %s: %s, %s", out, ", ".join(names), images)


def _files(model: Path) -> dict[str, Path]:
    """Return the files of the published folder by what they hold: ``global``, ``local`` with variants, ``sritmo``.

    :raises UserError: naming what is missing.
    """
    from aognet.errors import UserError

    if not model.is_dir():
        raise UserError("is no folder", key="model", value=model)
    locals_ = {f"local{variant}": model / f"{LOCAL}{variant}" / CHECKPOINT for variant in VARIANTS}
    found = {name: path for name, path in locals_.items() if path.is_file()}
    files = {"global": model / GLOBAL / CHECKPOINT, **(found or {"local": locals_["local"]}), "sritmo": model / SRITMO}
    missing = [str(path.relative_to(model)) for path in files.values() if not path.is_file()]
    if missing:
        raise UserError(f"{model}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in it")
    return files


def _parts(files: dict[str, Path]) -> "Iterator[tuple[str, PublishedPart]]":
    """Yield the networks with their names, one file at a time: together they have gigabytes.

    The autoencoder of small panoramas that comes with a local sampler is left out where it is the global one.
    """
    from aognet.methods.text2light.published_parts import global_parts, local_parts, read_published, sritmo_parts
    from aognet.perception.network_weights import digest

    known = ""
    for name, path in files.items():
        if name == "sritmo":
            yield from ((part.name, part) for part in read_published(path, sritmo_parts, "net"))
            continue
        for part in read_published(path, global_parts if name == "global" else local_parts, "state_dict"):
            if part.name == "global_autoencoder":
                known = digest([part.network])
            if part.name != "holistic_autoencoder" or digest([part.network]) != known:
                yield part.name + name.removeprefix("global").removeprefix("local"), part


def _index(model: Path, clip: Path | None) -> Any:
    """Return the embeddings [images, numbers], or None where there are none.

    :raises UserError: naming the file.
    """
    import numpy as np

    from aognet.errors import UserError

    path = clip or model / INDEX
    if not path.is_file():
        if clip is not None:
            raise UserError(f"{clip}: no such file")
        return None
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: no array of NumPy's ({error})") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind != "f" or not 1 <= found.size <= 2**28:
        raise UserError(f"{path}: must be numbers [images, embedding], as CLIP embeds images")
    found = np.array(found, dtype=np.float32)
    if not np.isfinite(found).all():
        raise UserError(f"{path}: holds numbers that are not finite")
    return found


def _save_index(sampler: Path, index: Any) -> None:
    import torch

    from aognet.methods.text2light.conditioning import INDEX as NAME
    from aognet.methods.text2light.conditioning import ImageIndex

    ImageIndex(torch.from_numpy(index)).save(sampler / NAME)
