"""The captioners say what the library they stand on says, and name what they cannot load."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from aognet.captioning import transformers_backend
from aognet.captioning.backends import build_captioner
from aognet.captioning.captioner import DEFAULT_MODELS, SMALL_MODEL, Captioner, CaptionerConfig
from aognet.diffusion.loading import kept_commit
from aognet.errors import UserError
from aognet.io.images import to_pil
from tests.slow import rest_slow
from tests.tiny_captioners import QUERIES, Kind, tiny_captioner

KINDS: tuple[Kind, ...] = ("blip", "blip2-opt", "blip2-t5")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """Tiny models. Do not write in them."""
    return {kind: tiny_captioner(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture
def blip(tmp_path: Path) -> Path:
    """A tiny BLIP that a test may spoil."""
    return tiny_captioner(tmp_path / "blip")


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    random = [torch.rand(3, 20 + n, 40 - n, generator=generator) * 2 - 1 for n in range(4)]
    return [*random, torch.ones(3, 9, 9), -torch.ones(3, 30, 16)]


def captioner(model: Path, **options: object) -> Captioner:
    return build_captioner(CaptionerConfig(model=str(model), max_new_tokens=8, **options), CPU)


def library_captions(folder: Path, kind: Kind, image: Tensor, text: str | None, beams: int) -> str:
    """One caption as the model card's lines would make it."""
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(str(folder))
    images = transformers.BlipImageProcessorPil.from_pretrained(str(folder))
    if kind == "blip":
        processor = transformers.BlipProcessor(images, tokenizer)
        network = transformers.BlipForConditionalGeneration.from_pretrained(str(folder))
    else:
        processor = transformers.Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)
        network = transformers.Blip2ForConditionalGeneration.from_pretrained(str(folder))
    if kind == "blip2-t5" and text is None:
        text = ""
    inputs = processor(images=to_pil(image), text=text, return_tensors="pt")
    tokens = network.generate(**inputs, max_new_tokens=8, num_beams=beams, do_sample=False)
    said = processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()
    return said.removeprefix(text or "").strip() if kind != "blip2-t5" else said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prefix", "beams"), rest_slow([("a photo of", 1), ("", 3), ("", 1)], fast=2))
def test_captions_are_those_of_the_library(models: dict[Kind, Path], kind: Kind, prefix: str, beams: int) -> None:
    found = captioner(models[kind], prompt_prefix=prefix, num_beams=beams)
    assert isinstance(found, Captioner)
    captions = found.caption(pictures())
    assert captions == [library_captions(models[kind], kind, image, prefix or None, beams) for image in pictures()]
    assert len(set(captions)) > 1, "a model that says one thing of all proves nothing"
    assert (found.model, found.revision) == (str(models[kind]), None)


def test_the_commit_of_a_model_from_the_hub_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_captioner(tmp_path / "models--a--b" / "snapshots" / "4f3343c5")
    asked = []

    def resolve(model: str, revision: str | None = None) -> Path:
        asked.append((model, revision))
        return folder

    monkeypatch.setattr(transformers_backend, "resolve", resolve)
    for revision in (None, "v1"):
        found = build_captioner(CaptionerConfig(model=SMALL_MODEL, revision=revision), CPU)
        assert (found.model, found.revision) == (SMALL_MODEL, "4f3343c5")
    build_captioner(CaptionerConfig(), CPU)
    # BLIP base has no safetensors on its main branch.
    assert asked == [(SMALL_MODEL, "refs/pr/38"), (SMALL_MODEL, "v1"), (DEFAULT_MODELS["transformers"], None)]


def test_a_reference_that_moves_does_not_change_what_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, commit, later = tmp_path / "hub", "4f3343c5" * 5, "99" * 20
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    assert kept_commit(SMALL_MODEL, "refs/pr/38") == "refs/pr/38"
    of_model = cache / f"models--{SMALL_MODEL.replace('/', '--')}"
    tiny_captioner(of_model / "snapshots" / commit)
    reference = of_model / "refs" / "refs" / "pr" / "38"
    reference.parent.mkdir(parents=True)
    reference.write_text(commit)
    asked = []

    def snapshot_download(name: str, revision: str | None = None, local_files_only: bool = False, **_: Any) -> str:
        if local_files_only:
            return real(name, revision=revision, local_files_only=True)
        asked.append(revision)  # the hub, whose reference means `later` by now
        return str(of_model / "snapshots" / (revision if revision == commit else later))

    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert build_captioner(CaptionerConfig(model=SMALL_MODEL), CPU).revision == commit
    assert asked == [commit]


def refusal(model: Path | str, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        build_captioner(CaptionerConfig(model=str(model), **options), CPU)
    said = str(caught.value)
    assert "\n" not in said and str(model) in said
    return said


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")
    said = refusal("Salesforce/not-there", revision="v2")
    assert "at revision v2" in said and "hf download" in said


def test_pickled_weights_are_not_read(blip: Path) -> None:
    (blip / "model.safetensors").rename(blip / "pytorch_model.bin")
    assert "no weights in safetensors" in refusal(blip)


def test_a_model_that_lacks_something(blip: Path) -> None:
    weights = load_file(blip / "model.safetensors")
    gone = next(key for key in weights if key.startswith("vision_model"))
    save_file(
        {key: value for key, value in weights.items() if key != gone}, blip / "model.safetensors", {"format": "pt"}
    )
    assert "1 weights are missing" in refusal(blip) and gone in refusal(blip)
    (blip / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refusal(blip)
    for content, words in (("{}", "model_type None"), ('{"model_type": "bert"}', "'bert'"), ("[", "config.json")):
        (blip / "config.json").write_text(content)
        assert words in refusal(blip)


def test_a_model_of_an_older_library(tmp_path: Path) -> None:
    folder = tiny_captioner(tmp_path / "old", "blip2-opt")
    config = json.loads((folder / "config.json").read_text())
    config.pop("image_token_index", None)
    config.pop("image_token_id", None)
    (folder / "config.json").write_text(json.dumps(config))
    assert "older transformers" in refusal(folder)


def test_code_beside_a_model_is_not_run(blip: Path) -> None:
    witness = blip / "witness"
    (blip / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass Evil: pass\n")
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        content = json.loads((blip / name).read_text())
        auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor"), "evil.Evil")
        content["auto_map"] = {**auto, "AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoImageProcessor": "evil.Evil"}
        (blip / name).write_text(json.dumps(content))
    assert captioner(blip).caption(pictures()[:1])
    assert not witness.exists()


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_quantised_weights_need_their_package(blip: Path) -> None:
    for bits in ("8bit", "4bit"):
        with pytest.raises(UserError, match=f"load_in {bits} needs the package bitsandbytes"):
            captioner(blip, load_in=bits)


def test_half_precision(models: dict[Kind, Path]) -> None:
    for kind in KINDS:
        assert len(captioner(models[kind], dtype="bfloat16").caption(pictures())) == len(pictures())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "float8"}, "dtype must be one of float32, bfloat16, float16, got 'float8'"),
        ({"load_in": "2bit"}, "load_in must be 8bit or 4bit, got '2bit'"),
        ({"num_beams": 0}, "num_beams must be at least 1, got 0"),
        ({"max_new_tokens": -3}, "max_new_tokens must be at least 1, got -3"),
    ],
)
def test_impossible_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        CaptionerConfig(**options)


LAVIS = """
import json, sys
import torch
calls = []
class Network:
    def generate(self, samples, use_nucleus_sampling=False, num_beams=5, max_length=30, min_length=1, top_p=0.9,
                 repetition_penalty=1.0, length_penalty=1.0, num_captions=1, temperature=1):
        assert not torch.is_grad_enabled() and not use_nucleus_sampling
        calls.append([list(samples["image"].shape), num_beams, max_length, samples.get("prompt")])
        return [f" level {round(float(image.mean()), 1)}\\n" for image in samples["image"]]
def load_model_and_preprocess(name, model_type="base", is_eval=False, device="cpu"):
    calls.append([name, model_type, is_eval, str(device)])
    def processor(picture):
        assert picture.mode == "RGB"
        return torch.tensor(list(picture.resize((4, 4)).tobytes())).view(4, 4, 3).permute(2, 0, 1) / 255
    return Network(), {"train": None, "eval": processor}, {"eval": None}
"""


@pytest.fixture
def lavis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with LAVIS's interface, which is too large and too old to be installed here."""
    (tmp_path / "site" / "lavis" / "models").mkdir(parents=True)
    (tmp_path / "site" / "lavis" / "__init__.py").write_text("")
    (tmp_path / "site" / "lavis" / "models" / "__init__.py").write_text(LAVIS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in ("lavis", "lavis.models"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "site"


def test_lavis_is_called_as_it_wants(lavis: Path) -> None:
    found = build_captioner(CaptionerConfig(backend="lavis", num_beams=3, max_new_tokens=12), CPU)
    assert found.caption(pictures()[-2:]) == ["level 1.0", "level 0.0"]
    named = CaptionerConfig(backend="lavis", model="blip_caption/base_coco", prompt_prefix="a photo of")
    assert build_captioner(named, CPU).caption(pictures()[-1:]) == ["level 0.0"]
    assert sys.modules["lavis.models"].calls == [
        ["blip2_t5", "pretrain_flant5xxl", True, "cpu"],
        [[2, 3, 4, 4], 3, 12, None],
        ["blip_caption", "base_coco", True, "cpu"],
        [[1, 3, 4, 4], 1, 30, "a photo of"],
    ]
    assert (found.model, found.revision) == ("blip2_t5/pretrain_flant5xxl", None)
    sys.modules.pop("lavis.models")
    sys.modules.pop("lavis")


@pytest.mark.skipif(importlib.util.find_spec("lavis") is not None, reason="LAVIS is installed")
def test_lavis_that_is_not_there() -> None:
    with pytest.raises(UserError, match="needs the package salesforce-lavis .* an environment of its own"):
        build_captioner(CaptionerConfig(backend="lavis"), CPU)
    for options, said in (
        ({"model": "blip2"}, "name/type, such as .* got 'blip2'"),
        ({"dtype": "float16"}, "dtype is for the transformers backend"),
        ({"load_in": "8bit"}, "load_in is for"),
    ):
        with pytest.raises(UserError, match=said):
            build_captioner(CaptionerConfig(backend="lavis", **options), CPU)
