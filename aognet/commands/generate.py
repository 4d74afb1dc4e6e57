"""Paint panoramas: ``aognet generate --image photo.jpg --prompt "a mountain lake"``."""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from aognet import cli
from aognet.config import LoadedConfig, build_config, load_config
from aognet.config.plain_yaml import quoted
from aognet.errors import UserError
from aognet.installed import CONFIGS

log = logging.getLogger("aognet.inference")

FLAGS = {
    "out_dir": "--inference_out_dir",
    "photos": "--image",
    "controlnets": "--controlnet",
    "loras": "--lora",
    "controls": "--control",
    "inputs.depth": "--depth",
    "count": "--num_generations",
    "labels": "--class_names",
    "label": "--class_names",
    "share_z": "--no_share_z",
    "style.photo": "--style",
    "save_ply": "--ply",
    "save_glb": "--glb",
}
"""What settings are called here, see `cli.flags`."""
DEFAULT_CONFIG = CONFIGS / "inference_config.yaml"
OF_A_METHOD = ("truncation", "z_mul", "class_mul", "start_layer", "end_layer", "share_class", "share_z")
"""Flags that stand for settings of single methods, in ``generator``."""
TILES = ("columns", "rows", "overlap", "wrap", "wrap_rows")


def parse(arguments: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    """Read the command line; ``key.sub=value`` may stand anywhere."""
    parser = argparse.ArgumentParser(
        prog=program, description="Paint 360-degree panoramas from photographs and words.", allow_abbrev=False
    )
    add = parser.add_argument
    add("-b", "--base", nargs="+", default=[], metavar="YAML", help=f"config files (default: {DEFAULT_CONFIG.name})")
    add(
        *("--checkpoint", "-m", "--biggan_model", "--biggan-model"),
        metavar="PATH",
        help="folder or hub id that save_pretrained wrote, or an experiment's folder",
    )
    add(
        "--variant", metavar="NAME", help="which weights of the model are read, such as fp16 (files *.fp16.safetensors)"
    )
    add(
        "--controlnet",
        action="append",
        default=[],
        metavar="PATH",
        help="a ControlNet, by hub id or folder; several add up",
    )
    add("--words", action="append", default=[], metavar="FILE", help="learned words for prompts (embeddings.pti, ...)")
    add(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[=SCALE]",
        help="a LoRA's .safetensors or hub id, and how strongly it is added (default: 1); several add up",
    )
    add("--inference_out_dir", "--inference-out-dir", metavar="DIR", help="one folder for each panorama is made here")
    add("--num_inference_step", "--num-inference-step", type=int, metavar="N", help="denoising steps of each view")
    add("--cfg_scale", "--cfg-scale", type=float, metavar="X", help="scale of classifier-free guidance")
    add("--scheduler", help="pndm, ddim, dpm-solver++, unipc, lcm, euler or euler-a")
    add("--plan", help="cover, anchored, published, sequential or cube")
    add("--size", metavar="HxW", help="of the panorama, such as 512x1024")
    add("-s", "--seed", type=int)
    add("--image", action="append", default=[], metavar="FILE", help="a photograph; several need --poses")
    add("--poses", metavar="YAML", help="yaw, pitch, roll and fov (degrees) of each --image, by file name")
    add(
        "--panorama",
        metavar="FILE",
        help="a partly known panorama: transparent, a part, or with --mask",
    )
    add("--mask", metavar="FILE", help="white where --panorama is to be painted")
    add(
        "--depth",
        metavar="FILE",
        help="depth map for the first --controlnet: distances (EXR, NPY), or PNG with near white; a folder; auto",
    )
    add("--depth_kind", "--depth-kind", metavar="KIND", help="what the depth map holds: auto, distance or inverse")
    add("--depth_scale", "--depth-scale", type=float, metavar="X", help="weight of the depth's ControlNet")
    add(
        "--control",
        action="append",
        default=[],
        metavar="FILE=WEIGHT",
        help="a panorama for each further --controlnet, in their order",
    )
    add("--prompt", help="what to paint, or auto: a caption of the image; without an image or -b, from words alone")
    add("--prompts", metavar="FILE", help="a text file, each line of which becomes a panorama of these words alone")
    add(
        "--prompt-at",
        "--prompt_at",
        action="append",
        default=[],
        metavar='"YAW,PITCH: TEXT"',
        help="words for a direction",
    )
    for angle in ("yaw", "pitch", "roll"):
        add(f"--{angle}", type=float, help=f"{angle} of the photograph in degrees")
    add("--fov", type=float, help="horizontal field of view of the photograph (default: EXIF focal length, else 90)")
    add("--save_faces", "--save-faces", action="store_true", help="write the six faces of the cubemap, too")
    add("--ply", action="store_true", help="write the sphere as a mesh of coloured vertices, too (PLY)")
    add("--glb", action="store_true", help="write the sphere as a mesh with the panorama as texture, too (glTF)")
    add("--displace", action="store_true", help="vertices of --ply and --glb are as far away as the depth map says")
    add("--hdr", action="store_true", help="make light of the panorama, too: result.exr and result.hdr")
    add("--upscale", type=float, metavar="N", help="make the panorama 1 to 8 times larger, too: upscaled.png")
    add("--sritmo", metavar="FOLDER", help="of the trained SR-iTMO that does both")
    add("--upscaler", metavar="FILE", help="Real-ESRGAN's small network for --upscale: its package, or safetensors")
    add("--style", metavar="PHOTO", help="give the panorama the style of a photograph, too: styled.png")
    add("--name", help="name of the panorama's folder")
    add("--overwrite", action="store_true", help="paint again what is there with other settings")
    add("--undo", type=int, metavar="N", help="take the last N views of a run back (--inference_out_dir: its folder)")
    add("--repaint", metavar='"YAW,PITCH: TEXT"', help="paint a direction of a finished run anew")
    _add_of_classes(parser)
    add("overrides", nargs="*", metavar="key.sub=value", help="settings that override the config files")
    return cli.parse_with_overrides(parser, arguments)


def _add_of_classes(parser: argparse.ArgumentParser) -> None:
    """Add the flags for generators of images of classes, which ganorama uses, and for flat images."""
    group = parser.add_argument_group("several panoramas; generators of classes (ganorama); flat images of tiles")
    add = group.add_argument
    add("-n", "--num_generations", "--num-generations", dest="count", type=int, metavar="N", help="panoramas to make")
    add("--class_names", "--class-names", metavar='"A|B"', help="their classes by name or number, in turn")
    add("--truncation", type=float, metavar="X", help="of z, in [0, 1]: less is better and more alike")
    add("--z_mul", "--z-mul", type=float, metavar="X", help="factor of z")
    add("--class_mul", "--class-mul", type=float, metavar="X", help="factor of the class vector")
    add("--share_class", "--share-class", action="store_true", default=None, help="one random class for all views")
    add("--no_share_z", "--no-share-z", dest="share_z", action="store_false", default=None, help="a z for each view")
    add("--start_layer", "--start-layer", type=int, metavar="N", help="first layer after which features are averaged")
    add("--end_layer", "--end-layer", type=int, metavar="N", help="last layer after which features are averaged")
    add("--columns", type=int, metavar="N", help="a flat image of so many tiles side by side")
    add("--rows", type=int, metavar="N", help="a flat image of so many tiles one below the other")
    add("--overlap", type=float, metavar="X", help="share of a tile that its neighbour shows too")
    add("--wrap", action="store_true", default=None, help="the flat image goes on from its right edge at its left one")
    add("--wrap_rows", "--wrap-rows", action="store_true", default=None, help="and from its bottom at its top")


def main(arguments: Sequence[str] | None = None, program: str | None = None) -> int:
    options = parse(arguments, program)
    with cli.flags(options, FLAGS):
        return paint(options)


def paint(options: argparse.Namespace) -> int:
    """Paint, or change what is painted; returns the exit code."""
    if options.undo is not None and options.repaint is not None:
        raise UserError("--undo and --repaint exclude each other")
    from aognet.generate.inference import edit_run, paint_all

    if options.undo is not None or options.repaint is not None:
        folder = Path(options.inference_out_dir or read_config(options).values.get("out_dir", "outputs"))
        return edit_run(folder, options.undo, options.repaint, cli.progress_bars)
    poses = [] if options.poses is None else [Path(options.poses)]
    config = read_config(options)
    inputs = config.section("inputs").values if config.has("inputs") else {}
    if options.controlnet and not (inputs.get("depth") or inputs.get("controls")):
        raise UserError(f"--controlnet {options.controlnet[0]} is shown no image: give --depth, or --control")
    check_flags(options, config)
    return paint_all(config, options.overwrite, poses, cli.progress_bars)


def check_flags(options: argparse.Namespace, config: LoadedConfig) -> None:
    """Raise UserError for a flag of another method than the model's."""
    given = [key for key in OF_A_METHOD if getattr(options, key) is not None]
    if not given:
        return
    from dataclasses import fields

    from aognet.generate.inference import read_config as read_inference_config
    from aognet.methods.pretrained import method_of

    chosen = read_inference_config(config)
    method = method_of(chosen.checkpoint, chosen.revision, chosen.method)
    known = {one.name for one in fields(method.settings_class)}
    for key in given:
        if key not in known:
            raise UserError(f"is not for the method {method.name}", key=key, value=getattr(options, key))


def read_config(options: argparse.Namespace) -> LoadedConfig:
    """Merge config files, then the flags, then the overrides."""
    return load_config(options.base or [DEFAULT_CONFIG], [*flag_settings(options), *options.overrides])


def flag_settings(options: argparse.Namespace) -> list[str]:
    """Return flags as ``key.sub=value``."""
    settings = {
        "checkpoint": options.checkpoint,
        "variant": options.variant,
        "controlnets": options.controlnet or None,
        "words": options.words or None,
        "loras": lora_files(options.lora) or None,
        "out_dir": options.inference_out_dir,
        "generator.sampler.steps": options.num_inference_step,
        "generator.sampler.guidance": options.cfg_scale,
        "generator.sampler.scheduler": options.scheduler,
        "generator.plan.kind": options.plan,
        "generator.height": None if options.size is None else panorama_height(options.size),
        "generator.seed": options.seed,
        "generator.depth_scale": options.depth_scale,
        "inputs.name": options.name,
        "save_faces": options.save_faces or None,
        "hdr": options.hdr or None,
        "upscale": options.upscale,
        "sritmo": options.sritmo,
        "upscaler": options.upscaler,
        "style.photo": options.style,
        "inputs.count": options.count,
        "inputs.labels": None if options.class_names is None else options.class_names.split("|"),
        **{f"generator.{key}": getattr(options, key) for key in OF_A_METHOD},
        **{f"tiles.{key}": getattr(options, key) for key in TILES},
        "save_ply": options.ply or None,
        "save_glb": options.glb or None,
        "displace": options.displace or None,
    }
    settings = {key: value for key, value in settings.items() if value is not None} | input_settings(options)
    # Quoting keeps a prompt with colons or braces a plain string.
    return [f"{key}={quoted(value)}" for key, value in settings.items()]


def input_settings(options: argparse.Namespace) -> dict[str, object]:
    """Return what the flags say about the input. An input on the command line replaces those of the config files."""
    if options.panorama is None and options.mask is not None:
        raise UserError(f"--mask {options.mask} is of a --panorama, and there is none")
    if options.image and options.panorama:
        raise UserError("--image and --panorama exclude each other")
    settings: dict[str, object] = {"inputs.prompt": options.prompt, "inputs.prompts_at": options.prompt_at or None}
    settings |= {"inputs.depth": options.depth, "inputs.depth_kind": options.depth_kind}
    settings["inputs.controls"] = control_images(options.control) or None
    settings |= {f"inputs.pose.{key}": getattr(options, key) for key in ("yaw", "pitch", "roll", "fov")}
    settings = {key: value for key, value in settings.items() if value is not None}
    said = options.prompt is not None or options.prompts is not None
    alone = options.prompts is not None or (said and not options.base)
    if options.image or options.panorama or alone:
        settings |= {f"inputs.{key}": [] for key in ("photos", "together", "panoramas")}
        settings |= {"inputs.partial": None, "inputs.mask": None}
        settings = {"inputs.depth": None, "inputs.controls": []} | settings
    if options.image or options.panorama or said:
        settings |= {"inputs.captions": [], "inputs.prompts": options.prompts}
    if options.prompts is not None:
        settings = {"inputs.prompt": ""} | settings
    if options.panorama:
        settings |= {"inputs.partial": options.panorama, "inputs.mask": options.mask}
    elif options.poses is not None or len(options.image) > 1:
        settings |= {"inputs.together": posed_images(options.image, options.poses)}
    elif options.image:
        settings |= {"inputs.photos": options.image}
    return settings


def posed_images(images: Sequence[str], poses: str | None) -> list[dict[str, object]]:
    """Return each image with its pose from a YAML that maps file names to yaw, pitch, roll and fov."""
    if poses is None:
        raise UserError(f"{len(images)} images need --poses, a YAML file with yaw, pitch, roll and fov by file name")
    from aognet.io.captions import a_few
    from aognet.io.matching import match
    from aognet.request import Pose

    table = load_config([Path(poses)])
    found = match(map(str, table.values), [Path(image).name for image in images], [Path(image) for image in images])
    for number, key in enumerate(found.keys):
        if key is None:
            could = f"; it may be {' or '.join(found.unclear[number])}" if number in found.unclear else ""
            raise UserError(f"{poses}: no pose for {Path(images[number]).name}{could}")
    if unused := [str(name) for name in table.values if name not in found.keys]:
        log.warning("%s: %d pose(s) of images that are not given (%s)", poses, len(unused), a_few(unused))
    sections = [table.section(key) for key in found.keys if key is not None]
    return [
        {**vars(build_config(section, Pose)), "image": image} for image, section in zip(images, sections, strict=True)
    ]


def with_scale(text: str) -> tuple[str, float]:
    """Return the file and the scale of ``FILE=SCALE`` or ``FILE``, whose name may have a ``=`` too."""
    file, equals, scale = text.rpartition("=")
    if not equals or Path(text).exists():
        return text, 1.0
    try:
        return file, float(scale)
    except ValueError as error:
        raise UserError("must be a number", key="scale", value=scale) from error


def lora_files(texts: Sequence[str]) -> list[dict[str, object]]:
    """Return LoRAs' files and their scales."""
    from aognet.diffusion.additions import LoraFile

    return scaled_files(texts, "--lora", LoraFile)


def control_images(texts: Sequence[str]) -> list[dict[str, object]]:
    """Return ControlNets' images and their weights."""
    from aognet.request import Control

    return scaled_files(texts, "--control", Control)


def scaled_files(texts: Sequence[str], flag: str, kind: Callable[[str, float], object]) -> list[dict[str, object]]:
    """Return the settings that ``FILE=SCALE`` or ``FILE`` stand for, each checked as what ``kind`` makes of it."""
    found = []
    for text in texts:
        try:
            found.append(vars(kind(*with_scale(text))))
        except UserError as error:
            raise UserError(f"{flag} {text}: {error}") from error
    return found


def panorama_height(text: str) -> int:
    """Return the rows of a panorama from ``HxW`` or ``H``."""
    height, cross, width = text.lower().partition("x")
    if not height.isdecimal() or (cross and not width.isdecimal()) or (cross and int(width) != 2 * int(height)):
        raise UserError(f"--size must be HxW with W twice H, such as 512x1024; got {text!r}")
    return int(height)
