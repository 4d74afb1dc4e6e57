"""Loading of pretrained parts from a local folder or the Hugging Face hub, with one clear line if it fails.

Weights are read from safetensors only. A part whose weights are missing or have another shape is refused.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import torch

from aognet.diffusion.foreign import PICKLES, missing, missing_weights, what_it_is
from aognet.diffusion.part_configs import check_part
from aognet.diffusion.sampling.schedulers import ignored_noise
from aognet.errors import UserError, first_line
from aognet.io.text_files import read_json
from aognet.system.home import check_hub_folder, expanded
from aognet.system.transfer import Network

FILE_SUFFIXES = (
    *PICKLES,
    ".safetensors",
    ".pti",
    ".json",
    ".yaml",
    ".yml",
    ".zip",
    ".gz",
    ".tar",
    ".gguf",
    ".onnx",
    ".msgpack",
)
OUR_FOLDERS = ("assets", "config", "data", "logs", "outputs")
_quieting = RLock()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def check_dtype(name: str) -> None:
    """Raise UserError unless ``name`` is a key of `DTYPES`."""
    if name not in DTYPES:
        raise UserError(f"must be one of {', '.join(DTYPES)}", key="dtype", value=name)


def resolve(
    model: str,
    components: Sequence[str] = (),
    revision: str | None = None,
    variant: str | None = None,
    optional: Sequence[str] = (),
) -> Path:
    """Return the local folder of ``model``, a folder or a hub id ("owner/name"), with the subfolders ``components`` in
    it.

    From the hub only these subfolders are fetched (the top folder if there are none), in safetensors of ``variant``,
    and of the ``optional`` subfolders and files those that exist.

    :raises UserError: for a folder that does not exist or lacks a component, and for a hub id that cannot be fetched.
    """
    folder = expanded(model)
    if not folder.exists():
        if not is_hub_id(model):
            raise UserError(f"{model}: {missing(model)}")
        folder = download(model, components, revision, variant, optional)
    elif what := what_it_is(folder):
        raise UserError(f"{model}: ", *what)
    elif not folder.is_dir():
        raise UserError(f"{model}: not a folder")
    for component in components:
        if not (folder / component).is_dir():
            raise UserError(f"{model}: no folder {component!r} in it; needed are {', '.join(components)}")
    return folder


def is_hub_id(model: str) -> bool:
    """Return whether ``model`` reads as "owner/name" and not as a path.

    What looks like a path is never asked of the hub, where a stranger may own that name: anything but two names of
    letters, digits, ``-``, ``_`` and ``.``; a name with a file's suffix; a first folder that exists here or that this
    project makes.
    """
    owner, _, name = model.partition("/")
    plain = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model, re.ASCII) is not None
    return plain and Path(name).suffix not in FILE_SUFFIXES and owner not in OUR_FOLDERS and not Path(owner).exists()


def is_hub_file(name: str) -> bool:
    """Return whether ``name`` reads as a safetensors file in a hub id, "owner/name/file.safetensors"."""
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    plain = re.fullmatch(r"(\w[\w.-]*/)*\w[\w. -]*\.safetensors", file, re.ASCII) is not None
    return plain and ".." not in file and is_hub_id(f"{owner}/{repository}")


def download(
    model: str, components: Sequence[str], revision: str | None, variant: str | None, optional: Sequence[str] = ()
) -> Path:
    """Return the folder of the hub's local cache with what `resolve` asks for, fetched if it is not there yet."""
    check_hub_folder()
    from huggingface_hub import snapshot_download

    weights = f"model.{variant}" if variant else "model"
    names = ["*.json", "*.txt", f"{weights}*.safetensors", f"diffusion_pytorch_{weights}*.safetensors"]
    names += [f"*-of-*.{variant}.safetensors"] if variant else []  # how shards of variants were named before
    # Other precisions and the weights without EMA lie beside the wanted ones: gigabytes that nobody reads.
    ignored = [] if variant else ["*.fp16*.safetensors", "*.bf16*.safetensors", "*.non_ema*.safetensors"]
    folders = [part for part in (*components, *optional) if not Path(part).suffix]
    patterns = [f"{folder}/{name}" for folder in folders for name in names] or names
    patterns += [part for part in optional if Path(part).suffix]
    try:
        found = snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=ignored)
    except Exception as error:  # the hub client lets through errors of its HTTP library, which differ by version
        at_revision = f" at revision {revision}" if revision else ""
        option = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{model}{at_revision}: no such folder here and the Hugging Face hub did not give it "
            f"({first_line(error)}); run `hf download {model}{option}` once with a network, then none is needed"
        ) from error
    return Path(found)


def kept_commit(model: str, reference: str) -> str:
    """Return the commit that a hub id's branch or pull request meant when it was first fetched here; itself before
    that.

    A reference may be moved by its owner. What was once fetched is not given up for what it points to later.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, revision=reference, local_files_only=True)).name
    except (OSError, ValueError):  # never fetched, or a cache that cannot be read
        return reference


def load_part(part_class: type, folder: Path, component: str = "", **options: Any) -> Any:
    """Return ``part_class.from_pretrained`` of a subfolder (or of ``folder`` itself): a tokenizer, a scheduler, ...

    :raises UserError: naming the folder, if it cannot be read.
    """
    where = folder / component
    check_part(part_class, where)
    try:
        with quiet():
            return part_class.from_pretrained(str(where), local_files_only=True, **options)
    except Exception as error:  # a stranger's files break a library's code wherever they like
        raise UserError(f"{where}: cannot be loaded as {part_class.__name__}: {first_line(error)}") from error


def load_weights(
    part_class: type, folder: Path, component: str = "", dtype: str = "float32", variant: str | None = None
) -> Any:
    """Return a frozen diffusers or transformers model in evaluation mode, with every weight from the file."""
    where = folder / component
    if why := missing_weights(where, variant):
        raise UserError(f"{where}: ", *why)
    options: dict[str, Any] = {"variant": variant} if variant else {}
    if part_class.__module__.startswith("transformers."):
        _check_memory(part_class, where)
        options["ignore_mismatched_sizes"] = True  # reported below by name; diffusers names them in its own error
    module, report = load_part(
        part_class,
        folder,
        component,
        dtype=DTYPES[dtype],
        use_safetensors=True,
        output_loading_info=True,
        **options,
    )
    for kind, keys in (("missing", report["missing_keys"]), ("of another shape", report["mismatched_keys"])):
        if keys:
            names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in keys)
            raise UserError(f"{where}: {len(names)} weights are {kind}, among them {names[0]!r}")
    return freeze(module)


def _check_memory(part_class: type, where: Path) -> None:
    """Refuse a config with more weights than its files have bytes: transformers makes all of them before it
    compares.
    """
    config = load_part(part_class.config_class, where)
    try:
        with torch.device("meta"), quiet():
            count = sum(weight.numel() for weight in part_class(config).parameters())
    except Exception as error:  # a stranger's config breaks a library's code wherever it likes
        raise UserError(f"{where}: cannot be loaded as {part_class.__name__}: {first_line(error)}") from error
    held = sum(path.stat().st_size for path in where.glob("*.safetensors"))
    if held and count > held:  # without any the library says which it misses
        raise UserError(f"{where}: its config describes {count:.3g} weights, but its files have {held:.3g} bytes")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and warnings of diffusers and transformers inside the block. Errors are still raised.

    Their settings are the whole process's, so one thread at a time changes them and changes them back.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    with _quieting:
        libraries = (diffusers_logging, transformers_logging)
        levels = [library.get_verbosity() for library in libraries]
        bars = [library.is_progress_bar_enabled() for library in libraries]
        for library in libraries:
            library.set_verbosity(logging.CRITICAL)
            library.disable_progress_bar()
        try:
            yield
        finally:
            for library, level, bar in zip(libraries, levels, bars, strict=True):
                library.set_verbosity(level)
                if bar:
                    library.enable_progress_bar()


def freeze(module: Network) -> Network:
    """Return the module itself, without gradients and in evaluation mode."""
    return module.requires_grad_(False).eval()


def load_tokenizer(folder: Path, component: str = "tokenizer") -> Any:
    """Return the CLIP tokenizer of ``folder``.

    :raises UserError: without its files, from which transformers would make an empty one.
    """
    from transformers import CLIPTokenizer

    where = folder / component
    if not any((where / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise UserError(f"{where}: neither tokenizer.json nor vocab.json is in it")
    return load_part(CLIPTokenizer, folder, component)


def load_scheduler(folder: Path, component: str = "scheduler") -> Any:
    """Return the scheduler that the folder names, with old configs mended as the pipelines do.

    `StableDiffusionInpaintPipeline` sets ``steps_offset`` to 1 and ``skip_prk_steps`` to true where they differ.
    """
    import diffusers

    path = folder / component / "scheduler_config.json"
    config = read_json(path)
    class_name = config.get("_class_name")
    scheduler_class = getattr(diffusers, str(class_name), None)
    if not (isinstance(scheduler_class, type) and issubclass(scheduler_class, diffusers.SchedulerMixin)):
        raise UserError(f"{path}: _class_name: unknown scheduler {class_name!r}")
    if ignored := ignored_noise(scheduler_class, config):
        raise UserError(f"{path}: a {class_name} has another noise schedule than this says ({', '.join(ignored)})")
    scheduler = load_part(scheduler_class, folder, component)
    wanted = {"steps_offset": 1, "skip_prk_steps": True}
    mended = {key: value for key, value in wanted.items() if scheduler.config.get(key, value) != value}
    return type(scheduler).from_config(scheduler.config, **mended) if mended else scheduler
