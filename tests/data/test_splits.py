"""The same name falls into the same part everywhere, and a list decides where there is one."""

from pathlib import Path

import pytest

from aognet.data.splits import Split, SplitConfig
from aognet.errors import UserError

NAMES = [f"9C4A{number:04d}-{number * 7919:x}.exr" for number in range(4000)]


def taken(**settings) -> list[str]:
    split = Split(SplitConfig(**settings))
    return [name for name in NAMES if split.takes(name)]


def test_parts_are_shares_of_everything_without_overlap():
    parts = {part: taken(part=part, validation=0.1, test=0.2) for part in ("train", "validation", "test")}
    assert sorted(sum(parts.values(), [])) == sorted(NAMES)
    for part, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        assert abs(len(parts[part]) / len(NAMES) - share) < 0.03
    assert taken() == NAMES


def test_a_name_keeps_its_part():
    """Fixed examples: another result would move panoramas from training into testing."""
    split = Split(SplitConfig(part="train"))
    assert [split.part_of(name) for name in NAMES[:12]] == [
        split.part_of(f"some/where/{name.replace('.exr', '.PNG')}") for name in NAMES[:12]
    ]
    found = {
        part: [n for n in range(32) if split.part_of(f"scene_{n:06d}.jpg") == part] for part in ("validation", "test")
    }
    assert found == {"validation": [19, 30], "test": [7, 14, 23, 27]}


def test_more_tests_take_only_from_the_others():
    """A larger share of a part only adds to it."""
    assert set(taken(part="test", test=0.1)) < set(taken(part="test", test=0.2))


def test_lists_name_files_whatever_their_folder_and_suffix(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_text(f"# comment\n\n{NAMES[3]}\nsome/{NAMES[5].replace('.exr', '.png')}\n{NAMES[8][:-4]}\nmissing.exr\n")
    assert taken(part="train", list=str(path)) == [NAMES[3], NAMES[5], NAMES[8]]
    assert Split(SplitConfig(list=str(path))).takes(f"deep/er/{NAMES[3].replace('.exr', '.jpeg')}")


def test_names_with_dots_are_not_cut(tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text("room.v1.exr\n")
    split = Split(SplitConfig(list=str(path)))
    assert split.takes("room.v1.png") and not split.takes("room.v2.png") and not split.takes("room.png")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\x00"])
def test_lists_that_cannot_be_used(tmp_path: Path, content: bytes):
    (tmp_path / "list.txt").write_bytes(content)
    for name in ("list.txt", "missing.txt"):
        with pytest.raises(UserError, match=name):
            Split(SplitConfig(list=str(tmp_path / name)))


@pytest.mark.parametrize("settings", [{"validation": -0.1}, {"test": 1.5}, {"validation": 0.6, "test": 0.6}])
def test_shares_that_cannot_be(settings: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(settings))):
        SplitConfig(**settings)
