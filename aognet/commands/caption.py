"""Describe panoramas in words: NAME.jsonl with a caption of each, NAME_aug.jsonl with captions of views all round.

aognet caption --image_dir PNGS --out_dir OUT --name NAME --augment --stride 30

Stop it and start it again, also with another number of processes (`accelerate launch -m aognet caption ...`; without
a GPU `ACCELERATE_USE_CPU=true torchrun --standalone --nproc_per_node 2 -m aognet caption ...`): finished images stay.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aognet import cli


def parse(argv: Sequence[str] | None, program: str | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--image_dir", type=Path, required=True, help="folder of images, searched through")
    add("--out_dir", type=Path, required=True, help="where NAME.jsonl and NAME_aug.jsonl go")
    add("--name", default="caption", help="of the captions files, without .jsonl (default: %(default)s)")
    add("--augment", action="store_true", help="also caption 90-degree views at yaw 0, stride, 2 stride, ...")
    add("--stride", type=float, default=30.0, metavar="DEGREES", help="in (0, 360] (default: %(default)g)")
    add("--view_size", type=int, default=512, help="pixels of a view (default: %(default)s)")
    add("--backend", choices=("transformers", "lavis"), default="transformers", help="lavis: salesforce-lavis")
    add("--model", help="hub id or folder of a BLIP or BLIP-2 (default: Salesforce/blip2-opt-2.7b); LAVIS: name/type")
    add("--revision", help="branch, tag or commit of a hub id")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--dtype", help="float32, float16 or bfloat16 (default: float16 on a GPU, else float32)")
    add("--load_in", choices=("8bit", "4bit"), help="quantised weights, with bitsandbytes")
    add("--batch_size", type=int, default=8, help="images described together (default: %(default)s)")
    add("--num_beams", type=int, default=1, help="of the beam search; 1: greedy (default: %(default)s)")
    add("--max_new_tokens", type=int, default=30, help="longest caption (default: %(default)s)")
    add("--prompt_prefix", default="", help="words the caption continues, such as 'a photo of'; not part of it")
    add("--limit", type=int, default=0, help="at most so many images (0: all)")
    add("--overwrite", action="store_true", help="forget the captions there are (after a stop, go on without it)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, program: str | None = None) -> int:
    options = parse(argv, program)
    with cli.flags(options, {"stride_degrees": "--stride"}):
        return caption(options)


def caption(options: argparse.Namespace) -> int:
    """Describe the images; returns the exit code."""
    from dataclasses import fields

    from aognet.captioning.captioner import CaptionerConfig
    from aognet.captioning.folder_captions import FolderCaptionsConfig, caption_folder
    from aognet.system.processes import Processes

    flags = {**vars(options), "stride_degrees": options.stride}
    captioner = CaptionerConfig(**{one.name: flags[one.name] for one in fields(CaptionerConfig)})
    config = FolderCaptionsConfig(**{one.name: flags[one.name] for one in fields(FolderCaptionsConfig)})
    with Processes.start(options.device) as processes, cli.progress_bars("Captioning") as listener:
        return 1 if caption_folder(config, captioner, processes, listener) else 0
