"""Turn the published checkpoints of Text2Light into models that paint.

aognet convert-text2light --model text2light_released_model --out text2light
aognet generate --checkpoint text2light --size 512x1024 --hdr --prompt "a snowy field at sunset"

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
CLIP = "openai/clip-vit-base-patch32"
NETWORKS = "networks"
LOCAL_PARTS = ("local_autoencoder", "local_sampler", "holistic_autoencoder")


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FOLDER", help="the published folder, text2light_released_model")
    add("--out", type=Path, required=True, metavar="FOLDER", help="to make")
    add(
        "--clip",
        type=Path,
        metavar="NPY",
        help=f"embeddings of the training's images (default: {INDEX} in the folder)",
    )
    add("--clip_model", default=CLIP, metavar="MODEL", help=f"the CLIP that made them, folder or hub id ({CLIP})")
    add("--networks", action="store_true", help=f"keep the folder of each network, too, in {NETWORKS}")
    add("--dtype", default="float32", help="of the weights in the files: float32, bfloat16 or float16")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, program: str | None = None) -> None:
    options = parse(argv, program)
    with cli.flags(options):
        convert(options.model, options.out, options.clip, options.clip_model, options.dtype, options.networks)


def convert(
    model: Path,
    out: Path,
    clip: Path | None = None,
    clip_model: str = CLIP,
    dtype: str = "float32",
    networks: bool = False,
) -> None:
    """Write a folder that is a model with ``local_sampler``, and has folders ``outdoor`` and ``indoor`` that are models
    with these. ``sritmo`` in it makes their light. It is there whole or not at all.

    :raises UserError: naming the file or folder, and what is wrong with it.
    """
    import logging
    import shutil

    from safetensors import SafetensorError

    from aognet.diffusion.loading import check_dtype
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
            _write_networks(files, index, clip or model / INDEX, unfinished / NETWORKS, dtype)
            models = _assemble(files, unfinished, clip_model, dtype)
            if not networks:
                shutil.rmtree(unfinished / NETWORKS)
            replace_folder(unfinished, out)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{out}: cannot write this folder ({getattr(error, 'strerror', None) or error})") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    written = ", ".join(str(out / name) for name in models)
    logging.getLogger("aognet.convert").info("wrote %s, with %d embeddings of images", written, len(index))


def _write_networks(files: dict[str, Path], index: Any, index_file: Path, folder: Path, dtype: str) -> None:
    """Write a folder for each network, one file after the other: together they have gigabytes.

    :raises UserError: naming the files, if the embeddings are not those of the sampler.
    """
    import torch

    from aognet.diffusion.loading import DTYPES
    from aognet.errors import UserError
    from aognet.methods.text2light.conditioning import INDEX as NAME
    from aognet.methods.text2light.conditioning import ImageIndex

    for name, part in _parts(files):
        if name == "global_sampler" and (wanted := part.network.config.embedding) != index.shape[1]:
            said = f"has embeddings of {index.shape[1]} numbers, {files['global']} takes {wanted}"
            raise UserError(f"{index_file}: {said}")
        part.network.save_pretrained(folder / name, DTYPES[dtype])
    ImageIndex(torch.from_numpy(index)).save(folder / "global_sampler" / NAME)


def _assemble(files: dict[str, Path], out: Path, clip: str, dtype: str) -> list[str]:
    """Write a model for each local sampler, and the network of their light. Return the models' folders in ``out``.

    The small panorama is always encoded again, as published.
    """
    from aognet.diffusion.loading import DTYPES
    from aognet.methods.text2light.assembling import NetworkFolders, assemble
    from aognet.perception.network import NetworkConfig

    models, networks = [], out / NETWORKS
    for variant in VARIANTS:
        if f"local{variant}" not in files:
            continue
        own = {name: networks / f"{name}{variant}" for name in LOCAL_PARTS}
        common = {name: networks / name for name in ("global_autoencoder", "global_sampler")}
        models.append(variant.removeprefix("_") or ".")
        parts = NetworkFolders(**common, **own)
        assemble(out / models[-1], parts, NetworkConfig(kind="clip", model=clip), DTYPES[dtype])
    (networks / "sritmo").rename(out / "sritmo")
    return models


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
    """Yield the networks with their names, read one file at a time."""
    from aognet.methods.text2light.published_parts import global_parts, local_parts, read_published, sritmo_parts

    for name, path in files.items():
        if name == "sritmo":
            yield from ((part.name, part) for part in read_published(path, sritmo_parts, "net"))
            continue
        for part in read_published(path, global_parts if name == "global" else local_parts, "state_dict"):
            yield part.name + name.removeprefix("global").removeprefix("local"), part


def _index(model: Path, clip: Path | None) -> Any:
    """Return the embeddings [images, numbers].

    :raises UserError: naming the file.
    """
    import numpy as np

    from aognet.errors import Setting, UserError

    path = clip or model / INDEX
    if not path.is_file():
        raise UserError(f"{path}: no such file; it comes with the published code: name it by ", Setting("clip"))
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
