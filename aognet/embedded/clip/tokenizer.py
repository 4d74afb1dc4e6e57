"""A CLIP tokenizer for a small vocabulary (Radford et al. 2021, sec. 2.4: lower-cased byte-pair encoding)."""

from collections.abc import Iterable
from typing import Any


def train_tokenizer(texts: Iterable[str], vocabulary: int, length: int = 77):
    """Return a `CLIPTokenizer` of at most ``vocabulary`` tokens, learned from ``texts``. ``length`` is the longest
    prompt.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    learner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    learner.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 258, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    merges = _merges(learner)
    # CLIP's order: every byte alone, every byte as the end of a word, what is merged from them, and the two marks.
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *("".join(pair) for pair in merges)]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, model_max_length=length)


def _merges(learner) -> list[Any]:
    import json

    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
