r"""Puts separately trained parts together: a diffusers inpainting model in half precision, and methods beside it.

python misc/assemble_embedded.py --vae logs/vae/final --clip logs/clip/final --unet logs/unet/final \\
    --upscaler logs/upscaler/final --out_dir assets/embedded
python misc/assemble_embedded.py --streams logs/streams/final --out_dir assets/embedded
python misc/assemble_embedded.py --cubediff logs/cubediff/final --rank 16 --out_dir assets/embedded   # beside it
python misc/assemble_embedded.py --seamless logs/panoramas/final --depth logs/depth/final/small \\
    --words logs/words/final --out_dir assets/embedded   # beside it
python misc/assemble_embedded.py --text2light logs/global/final logs/global_sampler/final logs/local/final \\
    logs/local_sampler/final --sritmo logs/sritmo/final --out_dir assets/embedded   # beside it
python misc/assemble_embedded.py --ganorama logs/gan/final --out_dir assets/embedded   # beside it
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PIPELINE = {
    "_class_name": "StableDiffusionInpaintPipeline",
    "vae": ["diffusers", "AutoencoderKL"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, help="final/ folder of the autoencoder's training")
    parser.add_argument("--clip", type=Path, help="final/ folder of the CLIP's training")
    parser.add_argument("--unet", type=Path, help="final/ folder of the UNet's training")
    parser.add_argument("--upscaler", type=Path, help="final/ folder of the upscaler's training")
    parser.add_argument("--streams", type=Path, help="final/ folder of the streams' training")
    parser.add_argument("--cubediff", type=Path, help="final/ folder of CubeDiff's training; goes beside --out_dir")
    parser.add_argument("--rank", type=int, help="to which CubeDiff's low-rank additions are cut")
    parser.add_argument(
        "--seamless", type=Path, help="final/ folder of a panorama LoRA's training; goes beside --out_dir"
    )
    parser.add_argument("--depth", type=Path, help="the small ControlNet that was trained with that LoRA")
    parser.add_argument("--words", type=Path, help="final/ folder of the training of words with that LoRA")
    parser.add_argument(
        "--text2light",
        type=Path,
        nargs=4,
        metavar=("GLOBAL_AUTOENCODER", "GLOBAL_SAMPLER", "LOCAL_AUTOENCODER", "LOCAL_SAMPLER"),
        help="final/ folders of its trainings; they become one model beside --out_dir, which reads texts with that",
    )
    parser.add_argument("--sritmo", type=Path, help="final/ folder of SR-iTMO's training; goes beside --out_dir")
    parser.add_argument("--ganorama", type=Path, help="final/ folder of a generator's training; goes beside --out_dir")
    parser.add_argument("--out_dir", type=Path, required=True)
    parser.add_argument("--shard_megabytes", type=float, help="split a model's weights into files of at most this size")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    from aognet import cli

    with cli.flags(arguments):
        assemble(arguments)


def assemble(arguments: argparse.Namespace) -> None:
    """Write the model's folder."""
    from safetensors import SafetensorError

    from aognet.errors import UserError
    from aognet.io.files import made_folder, write_atomically
    from aognet.system.locking import exclusive

    # Pairs and not a dictionary: one folder may hold several of them.
    sources = (
        (arguments.vae, ("vae",)),
        (arguments.clip, ("text_encoder", "tokenizer", "image_encoder", "feature_extractor")),
        (arguments.unet, ("unet", "scheduler")),
        (arguments.upscaler, ("upscaler",)),
    )
    out = arguments.out_dir
    parts = {source / name: out / name for source, names in sources if source is not None for name in names}
    methods = {arguments.streams: out / "aognet", arguments.cubediff: out.parent / "cubediff"}
    parts |= {source: target for source, target in methods.items() if source is not None}
    alone = {arguments.sritmo: out.parent / "sritmo", arguments.ganorama: out.parent / "ganorama"}
    beside = (arguments.seamless, arguments.depth, arguments.words, *alone, *(arguments.text2light or ()))
    named = [path for path in (*parts, *beside) if path is not None]
    if missing := [str(path) for path in named if not path.is_dir()]:
        raise UserError(f"no such folder: {missing[0]}")
    if arguments.seamless is None and (added := arguments.depth or arguments.words):
        flag = "--depth" if arguments.depth else "--words"
        raise UserError(f"{flag} {added}: is for a seamless model, which --seamless names")
    most = arguments.shard_megabytes
    if most is not None and not most > 0:
        raise UserError(f"--shard_megabytes must be more than 0, got {most}")
    try:
        with made_folder(out, "out_dir"), exclusive(out):
            for source, target in parts.items():
                with replaced(target) as unfinished:
                    # A method's own weights are read from one file.
                    copy_in_half(source, unfinished, None if source in methods else most)
                    if source in methods:
                        refer_to_backbone(unfinished / "config.json", out)
                        settle(unfinished, source, out)
                    if source == arguments.cubediff and arguments.rank:
                        cut(unfinished, arguments.rank)
            if arguments.unet is not None:
                write_settings(out, arguments.unet)
                if (out / "aognet").is_dir():
                    settle(out / "aognet", arguments.unet, out)
            if arguments.seamless is not None:
                with replaced(out.parent / "seamless") as unfinished:
                    add_seamless(unfinished, arguments)
            if arguments.text2light is not None:
                with replaced(out.parent / "text2light") as unfinished:
                    add_text2light(unfinished, arguments)
            for source, target in alone.items():
                if source is not None:
                    with replaced(target) as unfinished:
                        copy_in_half(source, unfinished)
            pipeline = {"_diffusers_version": version("diffusers"), **PIPELINE}
            write_atomically(out / "model_index.json", json.dumps(pipeline, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--out_dir {out}: cannot be written ({reason})") from error


def settle(folder: Path, trained: Path, backbone: Path) -> None:
    """Say in a method's folder how it paints view by view with ``backbone``, if what was ``trained`` says so."""
    write_settings(folder, trained, enlarge_views=(backbone / "upscaler").is_dir())


def write_settings(folder: Path, trained: Path, **more: Any) -> None:
    """Say in a folder how it paints, if what was ``trained`` says so, and ``more``. What the folder said is gone."""
    from aognet.diffusion.saved import SETTINGS
    from aognet.io.files import write_atomically

    path = trained / SETTINGS
    if path.is_file():
        settings = json.loads(path.read_text(encoding="utf-8")) | more
        write_atomically(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    else:
        (folder / SETTINGS).unlink(missing_ok=True)


def add_seamless(folder: Path, arguments: argparse.Namespace) -> None:
    """Write a seamless model that adds what was trained to the backbone: files that can be used one by one, too."""
    from aognet.diffusion.additions import LoraFile
    from aognet.diffusion.backbone import BackboneConfig
    from aognet.diffusion.learning_words import export_words
    from aognet.diffusion.lora.exported import export_lora
    from aognet.diffusion.saved import save_trained
    from aognet.methods.seamless.model import Seamless

    lora, words, depth = folder / "panorama_lora.safetensors", folder / "words.safetensors", folder / "depth"
    export_lora(arguments.seamless, lora)
    halve(lora, lora)
    if arguments.words is not None:
        export_words(arguments.words, words)
        halve(words, words)
    if arguments.depth is not None:
        depth.mkdir()
        copy_in_half(arguments.depth, depth)
    write_settings(folder, arguments.seamless)
    added: dict[str, Any] = {"loras": [LoraFile(str(lora))]}
    added |= {key: [str(path)] for key, path in (("words", words), ("controlnets", depth)) if path.exists()}
    save_trained(folder, Seamless.Config(backbone=BackboneConfig(str(arguments.out_dir), **added)), {}, "seamless")


def add_text2light(folder: Path, arguments: argparse.Namespace) -> None:
    """Write a Text2Light model of its networks, in half precision, which reads texts with the backbone's CLIP."""
    from dataclasses import replace

    import torch

    from aognet.methods.text2light.assembling import NetworkFolders, assemble
    from aognet.perception.network import EMBEDDED

    names = ("global_autoencoder", "global_sampler", "local_autoencoder", "local_sampler")
    networks = NetworkFolders(**dict(zip(names, arguments.text2light, strict=True)))
    assemble(folder, networks, replace(EMBEDDED, model=str(arguments.out_dir)), torch.float16)


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes the place of ``target`` once it is complete."""
    from aognet.io.files import replace_folder, restore_folder

    restore_folder(target)
    unfinished = target.with_name(f".tmp-{target.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        replace_folder(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def copy_in_half(source: Path, target: Path, shard_megabytes: float | None = None) -> None:
    """Copy a part with floating-point weights in half precision, in shards that diffusers and transformers read."""
    for path in source.iterdir():
        if path.suffix == ".safetensors":
            halve(path, target / path.name, shard_megabytes)
        elif path.is_file():
            shutil.copyfile(path, target / path.name)
    forget_origin(target / "config.json")


def forget_origin(path: Path) -> None:
    """Leave out of a part's config where on the trainer's machine it was loaded from, which diffusers writes down."""
    if path.is_file():
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def halve(source: Path, target: Path, shard_megabytes: float | None = None) -> None:
    """Write the tensors of a file in half precision.

    :raises UserError: if one does not fit it.
    """
    import torch
    from safetensors.torch import load_file

    from aognet.errors import UserError

    weights = load_file(source)
    half = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    if not all(bool(torch.isfinite(value).all()) for value in half.values()):
        raise UserError(f"{source}: a weight does not fit half precision")
    save(half, target, shard_megabytes)


def save(weights: dict[str, Any], path: Path, shard_megabytes: float | None) -> None:
    """One file, or several and an index where one would be too large."""
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file

    most = sys.maxsize if shard_megabytes is None else int(shard_megabytes * 2**20)
    pattern = f"{path.stem}{{suffix}}{path.suffix}"
    split = split_torch_state_dict_into_shards(weights, filename_pattern=pattern, max_shard_size=most)
    for name, keys in split.filename_to_tensors.items():
        save_file({key: weights[key] for key in keys}, path.with_name(name), metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        path.with_name(f"{path.name}.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def refer_to_backbone(path: Path, backbone: Path) -> None:
    """Lets a method refer to the model it lies in or beside, wherever both are moved."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("backbone", "clip"):
        if name in config:
            config[name]["model"] = os.path.relpath(backbone, path.parent)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def cut(folder: Path, rank: int) -> None:
    """Cut CubeDiff's low-rank additions to a smaller rank."""
    from safetensors.torch import load_file, save_file

    from aognet.diffusion.lora.trained import cut_rank

    weights = folder / "model.safetensors"
    save_file(cut_rank(load_file(weights), rank), weights, metadata={"format": "pt"})
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"lora_rank": rank}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from aognet.cli import run

    run(main)
