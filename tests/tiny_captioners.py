"""Tiny random captioning models in the layout of the real ones, made in a second."""

from pathlib import Path
from typing import Any, Literal

import torch

Kind = Literal["blip", "blip2-opt", "blip2-t5"]

WORDS = ("a", "the", "of", "in", "lake", "room", "street", "forest", "sky", "photo", "white", "red", "large", "with")
SPECIAL = {
    "blip": {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "bos_token": "[DEC]"},
    "blip2-opt": {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "</s>"},
    "blip2-t5": {"pad_token": "<pad>", "eos_token": "</s>"},
}
QUERIES = 4
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def tiny_words(kind: Kind) -> Any:
    """A tokenizer of whole words that sets the first and last tokens of the real one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    extra = ["<image>"] if kind != "blip" else []
    special = list(dict.fromkeys([*SPECIAL[kind].values(), "[UNK]", *extra]))
    ids = {word: number for number, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    single = {"blip": "[CLS] $A [SEP]", "blip2-opt": "</s> $A", "blip2-t5": "$A </s>"}[kind]
    used = [(word, ids[word]) for word in single.split() if word in ids]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=used)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", extra_special_tokens=extra, **SPECIAL[kind]
    )


def tiny_network(kind: Kind, tokenizer: Any) -> Any:
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        BlipConfig,
        BlipForConditionalGeneration,
    )

    vision = {**VISION, "image_size": 16, "patch_size": 8}
    if kind == "blip":
        text = {
            "vocab_size": len(tokenizer), "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64, "projection_dim": 16,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.cls_token_id,
            "pad_token_id": tokenizer.pad_token_id, "sep_token_id": tokenizer.sep_token_id, "initializer_range": 1.0,
        }  # fmt: skip
        config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
        return BlipForConditionalGeneration(config).eval()
    shared = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if kind == "blip2-opt":
        text = {
            "model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 64, "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id, "init_std": 1.0, **shared,
        }  # fmt: skip
    else:
        text = {
            "model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2,
            "eos_token_id": tokenizer.eos_token_id, "decoder_start_token_id": tokenizer.pad_token_id,
            "initializer_factor": 1.0, **shared,
        }  # fmt: skip
    qformer = {
        "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 64, "vocab_size": 8,
    }  # fmt: skip
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = Blip2Config(
        vision_config=vision,
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=image,
    )
    return Blip2ForConditionalGeneration(config).eval()


def tiny_captioner(folder: Path, kind: Kind = "blip", seed: int = 0) -> Path:
    """A model, its tokenizer and its preprocessing in ``folder``; other seeds say other things."""
    from transformers import BlipImageProcessorPil

    tokenizer = tiny_words(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = tiny_network(kind, tokenizer)
        for parameter in network.parameters():
            if parameter.dim() > 1:
                # Larger than models start with, so that what they say depends on what they see.
                torch.nn.init.normal_(parameter, std=0.7)
    network.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    BlipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(str(folder))
    return folder
