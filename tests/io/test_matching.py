"""Which name means which image, for captions, poses and tables alike."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aognet.io.matching import match, normal

NFC = unicodedata.normalize("NFC", "café/Ålesund.png")
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize(
    ("keys", "names", "expected"),
    [
        (["in/a.jpg", "a.jpg"], ["in/a.jpg", "a.jpg"], ["in/a.jpg", "a.jpg"]),
        (["a.jpg"], ["in/a.jpg"], ["a.jpg"]),
        (["in/a.jpg"], ["a.jpg"], ["in/a.jpg"]),
        (["more/in/a.jpg"], ["in/a.jpg"], ["more/in/a.jpg"]),
        (["a.exr"], ["a.png"], ["a.exr"]),
        (["in/a.EXR"], ["in/a.jpeg"], ["in/a.EXR"]),
        (["a"], ["a.png"], ["a"]),
        (["in/a"], ["deep/in/a.webp"], ["in/a"]),
        (["v1.2.png"], ["v1.2"], ["v1.2.png"]),
        (["v1.2.png"], ["v1.png"], [None]),
        (["in/a.jpg"], ["on/a.jpg"], [None]),
        (["kitchen/a.jpg"], ["in/a.jpg", "a.jpg"], [None, "kitchen/a.jpg"]),
        (["a.jpg"], ["a.jpg", "in/a.jpg"], ["a.jpg", None]),  # it is the first's own
        (["b.jpg", "b.png"], ["b.png", "b.jpg"], ["b.png", "b.jpg"]),
        (["b.jpg"], ["b.jpg", "b.exr"], ["b.jpg", "b.jpg"]),  # one picture in two kinds
        (["b.jpg"], ["in/b.jpg", "in/b.exr"], ["b.jpg", "b.jpg"]),
        (["1.jpg", "1.png"], ["in/1.png", "on/1.jpg"], ["1.png", "1.jpg"]),
        ([r"in\a.jpg"], ["in/a.jpg"], [r"in\a.jpg"]),
        (["./in//a.jpg"], ["in/a.jpg"], ["./in//a.jpg"]),
        (["/data/in/a.jpg"], ["in/a.jpg"], ["/data/in/a.jpg"]),
        ([NFC], [NFD], [NFC]),
        ([NFD], [NFC], [NFD]),
        (["\udce9.png"], ["\udce9.png"], ["\udce9.png"]),
        (["a.png"], ["ba.png"], [None]),
        ([], ["a.png"], [None]),
        ([""], ["a.png"], [None]),
    ],
)
def test_one_rule(keys: list[str], names: list[str], expected: list[str | None]):
    found = match(keys, names)
    assert found.keys == expected and not found.unclear


@pytest.mark.parametrize(
    ("keys", "names", "unclear"),
    [
        (["a.jpg"], ["in/a.jpg", "on/a.jpg"], {0: ["a.jpg"], 1: ["a.jpg"]}),
        (["in/a.jpg", "on/a.jpg"], ["a.jpg"], {0: ["in/a.jpg", "on/a.jpg"]}),
        (["a.jpg", "a.png"], ["a.exr"], {0: ["a.jpg", "a.png"]}),
        (["a.jpg"], ["in/a.png", "on/a.exr"], {0: ["a.jpg"], 1: ["a.jpg"]}),
        ([NFC, NFD], [NFC], {0: [NFC, NFD]}),
    ],
)
def test_what_may_mean_several_is_never_guessed(keys: list[str], names: list[str], unclear: dict[int, list[str]]):
    found = match(keys, names)
    assert found.unclear == unclear and not any(found.keys)


def test_folders_above_the_images_decide_where_they_are_known():
    keys, paths = ["hall/1.png", "room/1.png"], [Path("/data/room/1.png")]
    assert match(keys, ["1.png"]).keys == [None]
    assert match(keys, ["1.png"], paths).keys == ["room/1.png"]
    both = [Path("/data/room/1.png"), Path("/data/hall/1.exr")]
    assert match(keys, ["1.png", "1.exr"], both).keys == ["room/1.png", "hall/1.png"]


PARTS = st.text(st.sampled_from("aé\u0301.\\ \n\u2028\udce9日"), min_size=1, max_size=3)
PATHS = st.lists(
    st.tuples(st.lists(PARTS, max_size=2), PARTS, st.sampled_from([".png", ".EXR", ".webp", ""])), max_size=6
)


def spelled(parts: list[tuple[list[str], str, str]]) -> list[str]:
    return ["/".join([*folders, f"{name}{suffix}"]) for folders, name, suffix in parts]


@settings(max_examples=100, deadline=None)
@given(PATHS, PATHS)
def test_whatever_names_there_are(keys: list, names: list):
    """A key is one of those given and shares the image's file name; an image's own name goes before all others."""
    keys, names = spelled(keys), spelled(names)
    found = match(keys, names)
    assert len(found.keys) == len(names)
    forms = [normal(key) for key in dict.fromkeys(keys)]
    for number, (name, key) in enumerate(zip(names, found.keys, strict=True)):
        assert key is None or key in keys
        assert key is None or number not in found.unclear
        if forms.count(normal(name)) == 1:
            assert normal(key) == normal(name)
    turned = match(
        [unicodedata.normalize("NFD", key) for key in keys], [unicodedata.normalize("NFC", n) for n in names]
    )
    if len({*map(normal, keys)}) == len({*keys}) == len({unicodedata.normalize("NFD", key) for key in keys}):
        assert [key and normal(key) for key in turned.keys] == [key and normal(key) for key in found.keys]
