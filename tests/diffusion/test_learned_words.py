"""Learned words are used: every layout of their files, in prompts of every encoder, as diffusers reads them."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from aognet.diffusion.backbone import Backbone
from aognet.diffusion.vocabulary import Vocabulary, read_vocabulary
from aognet.errors import UserError
from aognet.io.store import CacheConfig
from tests.tiny import SECOND_TEXT_DIM, TEXT_DIM, tiny_components, tiny_pipeline

DIMS = {"sd15": [TEXT_DIM], "sd2": [TEXT_DIM], "sdxl": [TEXT_DIM, SECOND_TEXT_DIM]}
PROMPT = "a <s0><s1> barn, in the style of <S1>"


def rows(count: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def cog(folder: Path, dims: Sequence[int], count: int = 2, special: dict[str, str] | None = None) -> Path:
    """A file as cog-sdxl writes it, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"text_encoders_{number}": rows(count, dim, number).half() for number, dim in enumerate(dims)}
    save_file(tensors, folder / "embeddings.pti")
    if special:
        (folder / "special_params.json").write_text(json.dumps(special))
    return folder / "embeddings.pti"


def backbone_of(layout: str, *paths: Path) -> Backbone:
    parts = {name: part for name, part in tiny_components(layout).items() if name != "image_encoder"}
    return Backbone.of(**parts, vocabulary=read_vocabulary([str(path) for path in paths]))


def tokens_of(backbone: Backbone, prompt: str) -> list[list[int]]:
    """The numbers of a prompt's tokens without start and end, for each encoder."""
    return [
        encoder.tokenizer(encoder.vocabulary.spelled(prompt), add_special_tokens=False)["input_ids"]
        for encoder in backbone.conditioner.encoders
    ]


@torch.no_grad()
@pytest.mark.parametrize("layout", ["sd15", "sd2", "sdxl"])
def test_words_are_read_as_diffusers_reads_them(layout: str, tmp_path: Path) -> None:
    path = cog(tmp_path, DIMS[layout])
    parts = tiny_components(layout)
    pipeline = tiny_pipeline(parts)
    for number, name in enumerate(["text_encoder", "text_encoder_2"][: len(DIMS[layout])]):
        given = rows(2, DIMS[layout][number], number).half().float()
        tokenizer = getattr(pipeline, name.replace("text_encoder", "tokenizer"))
        tower = getattr(pipeline, name)
        pipeline.load_textual_inversion(given, token=["<s0>", "<s1>"], tokenizer=tokenizer, text_encoder=tower)
    encode = {"prompt": PROMPT, "device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    expected, _, *pooled = pipeline.encode_prompt(**encode)
    ours = backbone_of(layout, path).conditioner
    read = ours([PROMPT])
    assert_close(read.tokens, expected, atol=1e-6, rtol=0)
    if layout == "sdxl":
        assert_close(read.pooled, pooled[0], atol=1e-6, rtol=0)
    assert torch.equal(ours.known([PROMPT]).tokens, read.tokens)
    plain = backbone_of(layout).conditioner
    assert (plain([PROMPT]).tokens - read.tokens).abs().max() > 0.1
    assert torch.equal(plain(["a barn"]).tokens, ours(["a barn"]).tokens)


def saved(path: Path, **tensors: Tensor) -> Path:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def test_a_word_of_several_vectors_is_read_as_diffusers_reads_it(tmp_path: Path) -> None:
    path = saved(tmp_path / "zwx-style.safetensors", emb_params=rows(3, TEXT_DIM))
    pipeline = tiny_pipeline(tiny_components("sd15"))
    pipeline.load_textual_inversion(rows(3, TEXT_DIM), token="zwx-style")
    prompt = "a barn, zwx-style, and more"
    expected, _ = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
    backbone = backbone_of("sd15", path)
    assert_close(backbone.conditioner([prompt]).tokens, expected, atol=1e-6, rtol=0)
    assert_close(backbone.conditioner([prompt.replace("zwx", "ZWX")]).tokens, expected, atol=1e-6, rtol=0)


def test_every_layout_has_its_words(tmp_path: Path) -> None:
    one, two = rows(2, TEXT_DIM), rows(2, SECOND_TEXT_DIM)
    cases = {
        "sd15": {
            "<cat-toy>": [saved(tmp_path / "a.safetensors", **{"<cat-toy>": one[0]})],
            "zwx": [saved(tmp_path / "zwx.safetensors", emb_params=one)],
            "zyy": [saved(tmp_path / "zyy.safetensors", **{"*": one[:1]})],
            "<s1>": [cog(tmp_path / "one", [TEXT_DIM])],
        },
        "sdxl": {
            "zwv": [saved(tmp_path / "zwv.safetensors", clip_g=two, clip_l=one)],
            "<q>": [
                saved(tmp_path / "learned_embeds.safetensors", **{"<q>": one}),
                saved(tmp_path / "learned_embeds_2.safetensors", **{"<q>": two}),
            ][:1],
            "TOK": [cog(tmp_path / "two", DIMS["sdxl"], special={"TOK": "<s0><s1>"})],
        },
    }
    for layout, words in cases.items():
        backbone = backbone_of(layout, *(path for paths in words.values() for path in paths))
        for word in words:
            for found, plain in zip(tokens_of(backbone, f"a {word} b"), tokens_of(backbone, "a b"), strict=True):
                assert found[0] == plain[0] and found[-1] == plain[-1] and len(found) in (3, 4), word
                assert all(514 <= token for token in found[1:-1]), word
    last = backbone.conditioner.encoders[1]
    assert_close(last.tower.get_input_embeddings()(torch.tensor(tokens_of(backbone, "zwv")[1])), two)


def test_words_are_words_and_not_parts_of_others(tmp_path: Path) -> None:
    path = cog(tmp_path, [TEXT_DIM], 11, {"TOK": "<s0><s1>"})
    (tmp_path / "more").mkdir()
    other = saved(tmp_path / "more" / "zwx.safetensors", emb_params=rows(2, TEXT_DIM))
    vocabulary = read_vocabulary([str(path), str(other)])
    for said, spelled in {
        "a TOK, b": "a <s0><s1>, b",
        "TOKYO tok TOK_ xTOK": "TOKYO tok TOK_ xTOK",
        "<s1><s10><S2>": "<s1><s10><s2>",
        "zwx zwxs ZWX.": "<zwx:0><zwx:1> zwxs <zwx:0><zwx:1>.",
        "": "",
    }.items():
        assert vocabulary.spelled(said) == spelled == vocabulary.spelled(spelled)
    assert Vocabulary().spelled("a TOK") == "a TOK"


@torch.no_grad()
def test_the_cache_of_encodings_knows_words_by_their_contents(tmp_path: Path) -> None:
    config, seen = CacheConfig(folder=str(tmp_path / "encodings")), []
    for number, count in enumerate((2, 3, 2)):
        path = cog(tmp_path / str(count), [TEXT_DIM], count)
        if number == 2:
            save_file({"text_encoders_0": rows(2, TEXT_DIM, seed=9)}, path)
        for _ in range(2):
            parts = {name: part for name, part in tiny_components().items() if name != "image_encoder"}
            vocabulary = read_vocabulary([str(path)])
            kept = Backbone.of(**parts, vocabulary=vocabulary, encodings=config).conditioner([PROMPT]).tokens
            seen.append(kept)
    assert all(torch.equal(seen[place], seen[place + 1]) for place in (0, 2, 4))
    assert torch.equal(seen[0], seen[2]) and (seen[0] - seen[4]).abs().max() > 0.1


@torch.no_grad()
def test_a_word_stays_whole_in_chunks_and_beside_a_direction(tmp_path: Path) -> None:
    backbone = backbone_of("sd15", saved(tmp_path / "zwx.safetensors", emb_params=rows(8, TEXT_DIM)))
    conditioner, tokens = backbone.conditioner, "".join(f"<zwx:{number}>" for number in range(8))
    for before in range(60, 76, 3):
        parts = conditioner.chunks([f"{'x ' * before}zwx {'y ' * 60}"], "chunks")[0]
        assert sum(tokens in part for part in parts) == 1 and "".join(parts).count("<zwx") == 8
    assert tokens in conditioner.joined("zwx", "x " * 90) and tokens in conditioner.joined("x " * 90, "zwx")


@torch.no_grad()
def test_threads_read_words_as_one_does(tmp_path: Path) -> None:
    conditioner = backbone_of("sd15", cog(tmp_path, [TEXT_DIM])).conditioner
    prompts = [f"{PROMPT} {number}" for number in range(12)]
    expected = [conditioner([prompt]).tokens for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda prompt: conditioner.known([prompt]).tokens, prompts * 2))
    assert all(torch.equal(one, expected[place % 12]) for place, one in enumerate(found))


def wrong_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    """What is said of files that are no learned words of a model with one text encoder."""
    good, empty = rows(2, TEXT_DIM), torch.zeros(0, TEXT_DIM)
    one = saved(folder / "zaa.safetensors", emb_params=good)
    (folder / "text.safetensors").write_text("hello")
    (folder / "pickle.pt").write_bytes(b"\x80\x02}q\x00.")
    (folder / "zip.bin").write_bytes(b"PK\x03\x04")
    (folder / "large.safetensors").write_bytes(bytes(16 * 2**20 + 1))
    (folder / "nothing.safetensors").write_bytes(b"")
    return {
        r"gone.pti: no such file": (folder / "gone.pti",),
        r"a folder; learned words are a file": (folder,),
        r"text.safetensors: not a readable": (folder / "text.safetensors",),
        r"nothing.safetensors: not a readable": (folder / "nothing.safetensors",),
        r"pickle.pt: a pickle, .* aognet convert-weights .*pickle.pt": (folder / "pickle.pt",),
        r"zip.bin: a pickle": (folder / "zip.bin",),
        r"large.safetensors: larger than": (folder / "large.safetensors",),
        r"none.safetensors: no tensor is in it": (saved(folder / "none.safetensors"),),
        r"'emb_params' \(\[0, 32\]\): is empty": (saved(folder / "z1.safetensors", emb_params=empty),),
        r"'emb_params' \(\[2, 0\]\): is empty": (saved(folder / "z2.safetensors", emb_params=empty.T[:2]),),
        r"more vectors than a prompt .* \(75\)": (saved(folder / "z3.safetensors", emb_params=rows(76, 32)),),
        r"not finite": (saved(folder / "z4.safetensors", emb_params=good * torch.tensor(float("nan"))),),
        r"rows of real numbers": (saved(folder / "z5.safetensors", emb_params=good.long()),),
        r"\(\[2, 32, 1\]\): learned words are rows": (saved(folder / "z6.safetensors", emb_params=good[..., None]),),
        r"'emb_params' \[2, 31\]\), but the model has a text encoder, with vectors of 32 numbers": (
            saved(folder / "z7.safetensors", emb_params=rows(2, 31)),
        ),
        r"two text encoders \('clip_l' \[2, 32\] and 'clip_g' \[2, 40\]\), but the model has a text encoder": (
            saved(folder / "z8.safetensors", clip_l=good, clip_g=rows(2, 40)),
        ),
        r"has clip_g, but clip_l is missing": (saved(folder / "z9.safetensors", clip_g=rows(2, 40)),),
        r"text_encoders_0 is \[2, 32\], but text_encoders_1 \[3, 40\]": (
            saved(folder / "z.pti", text_encoders_0=good, text_encoders_1=rows(3, 40)),
        ),
        r"knows the word 'A'": (saved(folder / "A.safetensors", emb_params=good),),
        r"but a LoRA": (saved(folder / "l.safetensors", lora_unet_down_0=good),),
        r"the word '<zaa>' is defined already, in .*zaa": (one, saved(folder / "b.safetensors", **{"<zaa>": good})),
        r"the word 'zaa' is defined already": (one, one),
        r"' z' cannot be a word": (saved(folder / "c.safetensors", **{" z": good}),),
    }


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    for said, paths in wrong_files(tmp_path).items():
        with pytest.raises(UserError, match=said) as raised:
            backbone_of("sd15", *paths)
        assert str(paths[-1]) in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(UserError, match="a text encoder .*, but the model has two text encoders.* 32 and 40 numbers"):
        backbone_of("sdxl", tmp_path / "zaa.safetensors")


@pytest.mark.parametrize(
    ("special", "said"),
    [
        ({"TOK": "<s0><s2>"}, "<s2> is not among the 2 words"),
        ({"TOK": "<s0>", "KOT": "<q1>"}, "one name and a number, got <q1>, <s0>"),
        ({"TOK": 3}, "TOK: expected learned words such as '<s0><s1>', got '3'"),
        ({"TOK": "a style"}, "TOK: expected learned words"),
        ({"": "<s0>"}, "cannot be a word"),
        ({"<s0>": "<s1>"}, "the word '<s0>' is defined already"),
        ([], "expected an object"),
    ],
)
def test_what_is_wrong_with_the_other_names_is_said(special: Any, said: str, tmp_path: Path) -> None:
    path = cog(tmp_path, [TEXT_DIM])
    (tmp_path / "special_params.json").write_text(json.dumps(special))
    with pytest.raises(UserError, match=said) as raised:
        backbone_of("sd15", path)
    assert str(tmp_path / "special_params.json") in str(raised.value)


def test_other_names_let_two_files_be_used_at_once(tmp_path: Path) -> None:
    first, second = cog(tmp_path / "a", [TEXT_DIM]), cog(tmp_path / "b", [TEXT_DIM], special={"TOK": "<t0><t1>"})
    assert len(tokens_of(backbone_of("sd15", first, second), "<s0><s1>TOK")[0]) == 4
    with pytest.raises(UserError, match=r"the word '<s0>' is defined already, in .*a.embeddings.pti"):
        backbone_of("sd15", first, cog(tmp_path / "c", [TEXT_DIM]))
