"""A class is found by its name without a doubt, or those that could be meant are listed."""

import json
import re
from collections import Counter

import pytest

from aognet.errors import UserError
from aognet.gan.class_names import find_class, find_classes
from aognet.gan.imagenet import IMAGENET_CLASSES, imagenet_classes, imagenet_names

NAMES = imagenet_names()
# As other programs number them.
KNOWN = {
    0: "tench",
    1: "goldfish",
    65: "sea snake",
    130: "flamingo",
    151: "Chihuahua",
    207: "golden retriever",
    281: "tabby",
    285: "Egyptian cat",
    291: "lion",
    340: "zebra",
    388: "giant panda",
    404: "airliner",
    417: "balloon",
    483: "castle",
    549: "envelope",
    620: "laptop",
    701: "parachute",
    779: "school bus",
    817: "sports car",
    900: "water tower",
    933: "cheeseburger",
    954: "banana",
    963: "pizza",
    970: "alp",
    975: "lakeside",
    977: "sandbar",
    979: "valley",
    980: "volcano",
    985: "daisy",
    999: "toilet tissue",
}


def test_the_names_are_in_the_order_of_the_numbers() -> None:
    """Classes are numbered in the order of their WordNet ids."""
    ids = list(imagenet_classes())
    assert len(ids) == IMAGENET_CLASSES == len(NAMES) and ids == sorted(ids)
    assert all(re.fullmatch(r"n\d{8}", one) for one in ids)
    assert all(name == name.strip() and name for name in NAMES)
    assert {number: NAMES[number].split(",")[0] for number in KNOWN} == KNOWN


def test_every_name_finds_its_class_or_all_that_have_it() -> None:
    synonyms = [(number, part) for number, name in enumerate(NAMES) for part in {*name.split(","), name}]
    several = Counter(re.sub(r"\W", "", part).casefold() for _, part in synonyms)
    ambiguous = 0
    for number, name in synonyms:
        if several[re.sub(r"\W", "", name).casefold()] == 1:
            assert find_class(name, NAMES) == number
            continue
        try:
            assert find_class(name, NAMES) == number  # a synonym that one class has in two spellings
        except UserError as error:
            assert f"{number} {NAMES[number]}" in str(error)
            ambiguous += 1
    assert 0 < ambiguous < 60


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ("sand bar", 977),
        ("Sand-Bar", 977),
        ("  SANDBAR ", 977),
        ("sandbar, sand bar", 977),
        ("valley", 979),
        ("975", 975),
        (" 0 ", 0),
        ("black and tan coonhound", 165),
        ("yellow ladys slipper", 986),
    ],
)
def test_case_spaces_and_punctuation_do_not_count(asked: str, number: int) -> None:
    assert find_class(asked, NAMES) == number


def test_several_classes_stand_between_bars() -> None:
    assert find_classes("sandbar|valley| 3", NAMES) == [977, 979, 3]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("crane", ["134 crane", "517 crane", "several"]),
        ("maillot", ["638 maillot", "639 maillot, tank suit"]),
        ("beach", ["436 beach wagon"]),  # no station wagon for whoever wants to go to the sea
        ("terrier", ["179 Staffordshire bullterrier", "and "]),
        ("vallley", ["979 valley"]),
        ("sand bars", ["977 sandbar"]),
        ("1000", ["0 to 999"]),
        ("9" * 5000, ["0 to 999"]),
        ("-1", ["name or number"]),
        ("", ["name or number"]),
        ("...", ["name or number"]),
        ("²", ["name or number"]),
        ("x" * 10**5, ["name or number"]),
    ],
)
def test_what_is_not_clear_is_refused_with_what_is_near(asked: str, told: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        find_class(asked, NAMES)
    said = str(refused.value)
    assert refused.value.key == "class_names" and "\n" not in said and len(said) < 1500
    assert all(part in said for part in told), said


def test_other_models_have_names_of_their_own() -> None:
    names = ["bedroom", "café, coffee house", "beach"]
    assert [find_class(one, names) for one in ("beach", "CAFE", "coffee-house", "0")] == [2, 1, 1, 0]
    with pytest.raises(UserError, match="0 to 2"):
        find_class("3", names)
    assert find_class("7", [], classes=8) == 7
    with pytest.raises(UserError, match="numbers alone"):
        find_class("bedroom", [], classes=8)


def test_names_are_plain_json() -> None:
    assert json.loads(json.dumps(NAMES)) == list(NAMES)
