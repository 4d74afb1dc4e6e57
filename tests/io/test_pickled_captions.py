"""Caption pickles of the published code are read whole; whatever else a pickle holds is refused, unexecuted."""

import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from aognet.errors import UserError
from aognet.io import pickled_captions
from aognet.io.captions import load_captions
from aognet.io.images import save_image
from aognet.io.pickled_captions import named, read_caption_pickle
from misc import import_captions
from tests.generate.painter import smooth_photo

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PUBLISHED = {
    "9C4A0003.png": ["a room with a bed", "ein Zimmer, 部屋 🛏"],
    "b ü.png": {"two", "one", "one more"},
    PosixPath("/hdd/laval/c.png"): "a lone string",
    PureWindowsPath("D:\\laval\\d.png"): frozenset({"x"}),
    "e.png": [],
}


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


def refusal(path: Path) -> str:
    """What is said of a file that is refused: one line that names it."""
    with pytest.raises(UserError) as caught:
        read_caption_pickle(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 400
    return said


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_published_code_wrote(tmp_path: Path, protocol: int) -> None:
    captions = read_caption_pickle(write(tmp_path / "laval.pkl", PUBLISHED, protocol))
    assert captions == {
        PurePosixPath("9C4A0003.png"): ["a room with a bed", "ein Zimmer, 部屋 🛏"],
        PurePosixPath("b ü.png"): ["one", "one more", "two"],
        PurePosixPath("/hdd/laval/c.png"): ["a lone string"],
        PureWindowsPath("D:/laval/d.png"): ["x"],
        PurePosixPath("e.png"): [],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_any_pickle_of_the_plain_kind_comes_back(tmp_path: Path, protocol: int) -> None:
    text = "shared"
    content = {f"{n}.png": [text, "x" * n, *(f"{k}" for k in range(n % 7))] for n in range(1500)}
    captions = read_caption_pickle(write(tmp_path / "many.pkl", content, protocol))
    assert {str(path): texts for path, texts in captions.items()} == content
    optimised = pickletools.optimize(pickle.dumps(content, protocol))
    assert read_caption_pickle(write(tmp_path / "less.pkl", optimised)) == captions


def test_paths_of_other_pythons(tmp_path: Path) -> None:
    content = pickle.dumps({PurePosixPath("a/b.png"): ["x"]}, 2).replace(b"cpathlib\n", b"cpathlib._local\n")
    assert read_caption_pickle(write(tmp_path / "a.pkl", content)) == {PurePosixPath("a/b.png"): ["x"]}
    content = pickle.dumps({PosixPath("a.png"): ["x"]}, 2).replace(b"\nPosixPath\n", b"\nWindowsPath\n")
    assert read_caption_pickle(write(tmp_path / "a.pkl", content)) == {PureWindowsPath("a.png"): ["x"]}


def test_python_2_strings(tmp_path: Path) -> None:
    assert read_caption_pickle(write(tmp_path / "a.pkl", b"(dS'a.png'\n(lS'a room'\nas.")) == {
        PurePosixPath("a.png"): ["a room"]
    }


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "said"),
    [(os.system, "system"), (eval, "eval"), (open, "open"), (bytearray, "bytearray"), (list, "list"), (dict, "dict")],
)
def test_nothing_is_called(tmp_path: Path, function: Callable[..., Any], said: str, protocol: int) -> None:
    witness = tmp_path / "witness"
    argument = {os.system: f"touch {witness}", eval: f"open({str(witness)!r}, 'w')", open: str(witness)}
    call = Call(function, *([argument[function], "w"][: 2 if function is open else 1] if function in argument else ()))
    message = refusal(write(tmp_path / "evil.pkl", {"a.png": [call]}, protocol))
    assert f".{said}'" in message and "wants to call" in message
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a.png": [1]}, {"a.png": [b"x"]}, {"a.png": None}, {"a.png": 1.5}, {"a.png": {"b": "c"}}, {"a.png": [["x"]]},
        {3: ["x"]}, {("a", "b"): ["x"]}, ["a.png"], "a.png", OrderedDict(a=["x"]), {"a.png": {1, 2}}, {"": ["x"]},
        {"a.png": {("x",)}}, Path, {"a.png": [True]}, 2**5000, {Path("/"): ["x"]}, {"a.png": set}, {frozenset(): "x"},
    ],
)  # fmt: skip
def test_other_contents_are_refused(tmp_path: Path, content: Any) -> None:
    for protocol in PROTOCOLS:
        refusal(write(tmp_path / "a.pkl", content, protocol))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80", b"no pickle", b".", b"\x80\x04.", b"(.", b"}a.", b"](h\x00.", b"}\x94K\x00s.", b"](u.", b"}(u",
        b"0.", b"\x80\x04}(u.extra", b"}\x8c\x01as.", b"(d(d(d", b"cbuiltins\nset\n.", b"cbuiltins\nset\n)R",
        b"\x93.", b"\xff", b"}\x8c\x01\xff]s.", b"cbuiltins\nset\n}\x85R.", b"cbuiltins\nset\n(]]tR.", b"]]\x85R.",
        b"P0\n.", b"\x82\x01.", b"i__main__\nx\n.", b"(ios\nsystem\n.", b"\x80\x05\x97.",
    ],
)  # fmt: skip
def test_malformed_pickles(tmp_path: Path, content: bytes) -> None:
    if content == b"\x80\x04}(u.extra":
        assert read_caption_pickle(write(tmp_path / "a.pkl", content)) == {}
    else:
        refusal(write(tmp_path / "a.pkl", content))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_cut_and_broken_pickles(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(PUBLISHED, protocol)
    for length in range(len(whole)):
        refusal(write(tmp_path / "a.pkl", whole[:length]))
    for place in range(0, len(whole), 3):
        write(tmp_path / "a.pkl", whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            read_caption_pickle(tmp_path / "a.pkl")
        except UserError as error:
            assert "\n" not in str(error)


GIGABYTES = 2**36
LETTERS = b"\x8c\x01x" * 10_000
BOMBS = {
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", GIGABYTES) + b"x.",
    "bytes": b"\x8e" + struct.pack("<Q", GIGABYTES) + b"x.",
    "text": b"\x8d" + struct.pack("<Q", GIGABYTES) + b"x.",
    "long": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", GIGABYTES) + b"}.",
    "memo": b"}r" + struct.pack("<I", 2**32 - 1) + b".",
    "memo number": b"}p" + b"9" * 4000 + b"\n.",
    "nested tuples": b"}" + b")" + b"\x85" * 300_000 + b"]s.",
    "nested lists": b"}\x8c\x01a" + b"]" * 300_000 + b"a" * 299_999 + b"s.",
    "marks": b"(" * 200_001 + b".",
    "sets": b"(" + b"\x8f" * 200_001 + b"l.",
    "memos": b"}" + b"\x94" * 200_001 + b".",
    "gets": b"}\x94(" + b"h\x00" * 200_001 + b"l.",
    "copies": b"](" + LETTERS + b"e\x94(cbuiltins\nset\n\x94" + b"h\x01h\x00\x85R" * 20_000 + b"l.",
    "copies of one call": b"cbuiltins\nset\n\x94](" + LETTERS + b"e\x85\x94R(" + b"h\x00h\x01R" * 20_000 + b"l.",
    "paths": b"X" + struct.pack("<I", 2**20) + b"x" * 2**20 + b"\x94(cpathlib\nPath\n\x94"
    + b"h\x01h\x00\x85R" * 9_000 + b"l.",
    "paths of many parts": b"X" + struct.pack("<I", 4096) + b"x/" * 2048 + b"\x94(cpathlib\nPath\n\x94"
    + b"h\x01h\x00\x85R" * 40_000 + b"l.",
    "one path of many": b"cpathlib\nPath\n\x94(" + b"\x8c\x00" * 90_000 + b"t\x94R(" + b"h\x00h\x01R" * 30_000 + b"l.",
    "one list of many": b"](" + LETTERS + b"e\x94}("
    + b"".join(b"\x8c\x08%08dh\x00" % n for n in range(90_000)) + b"u.",
    "tuples hashed for ever": b"\x8c\x01a\x85\x94"
    + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(100)) + b"}hd]s.",
    "tuples called for ever": b"cbuiltins\nset\n\x94]\x85\x94R"
    + b"".join(b"h\x00h%ch%c\x86\x94R" % (n, n) for n in range(1, 100)) + b"}hd]s.",
    "tuples in sets": b"\x8f(\x8c\x01a\x85\x90.",
    "nested frozen sets": b"(\x91" + b"\x94(h\x00\x91" * 40_000 + b"].",
}  # fmt: skip
PROBE = """
import resource, sys, time
from pathlib import Path
from aognet.io import pickle_instructions, pickled_captions
from aognet.io.pickled_captions import read_caption_pickle
from aognet.errors import UserError
pickle_instructions.MAX_INSTRUCTIONS = pickled_captions.MAX_INSTRUCTIONS = 200_000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    begin = time.monotonic()
    try:
        read_caption_pickle(path)
        outcome = "read"
    except UserError as error:
        outcome = str(error)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(path.stem, megabytes, time.monotonic() - begin, outcome, sep="|", flush=True)
"""


def test_forged_pickles_get_neither_memory_nor_time(tmp_path: Path) -> None:
    """In a process of its own: what crashes or swells there ends no other test."""
    files = [write(tmp_path / f"{name}.pkl", content) for name, content in BOMBS.items()]
    ran = subprocess.run([sys.executable, "-c", PROBE, *map(str, files)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [line.split("|", 3) for line in ran.stdout.splitlines()]
    assert [name for name, *_ in lines] == list(BOMBS)
    assert all(outcome.startswith(f"{path}: ") for path, (*_, outcome) in zip(files, lines, strict=True)), lines
    assert max(int(megabytes) for _, megabytes, *_ in lines) < 250, lines
    assert max(float(seconds) for *_, seconds, _ in lines) < 20, lines


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.pkl", PUBLISHED)
    monkeypatch.setattr(pickled_captions, "MAX_BYTES", path.stat().st_size - 1)
    assert "larger than" in refusal(path)
    assert "no such file" in refusal(tmp_path / "missing.pkl")


def test_names_are_made_relative_to_the_images() -> None:
    captions = {
        PurePosixPath("/hdd/laval/in/a.png"): ["1"],
        PurePosixPath("sub/b.png"): ["2"],
        PureWindowsPath("C:\\data\\c.png"): ["3"],
        PureWindowsPath("sub\\d.png"): ["4"],
    }
    assert named(captions) == {"a.png": ["1"], "sub/b.png": ["2"], "c.png": ["3"], "sub/d.png": ["4"]}
    names = ["in/a.png", "b.png", "c.png"]
    assert named(captions, names) == {"in/a.png": ["1"], "b.png": ["2"], "c.png": ["3"], "sub/d.png": ["4"]}
    twice = {PurePosixPath("/x/a.png"): ["1"], PurePosixPath("/y/a.png"): ["2"]}
    with pytest.raises(UserError, match="/x/a.png and /y/a.png would both be a.png"):
        named(twice)
    assert named(twice, ["x/a.png", "y/a.png"]) == {"x/a.png": ["1"], "y/a.png": ["2"]}


def test_the_command_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pickled = write(tmp_path / "laval.pkl", {"a.png": {"two", "one"}, "gone.png": ["x"]})
    (tmp_path / "images" / "in").mkdir(parents=True)
    for name in ("in/a.png", "in/new.png"):
        save_image(smooth_photo(8, 16), tmp_path / "images" / name)
    import_captions.main(["--captions", str(pickled)])
    assert load_captions(tmp_path / "laval.jsonl") == {"a.png": ["one", "two"], "gone.png": ["x"]}
    with pytest.raises(UserError, match="laval.jsonl: is there already; --overwrite"):
        import_captions.main(["--captions", str(pickled)])
    assert "missing images" not in caplog.text
    import_captions.main(["--captions", str(pickled), "--overwrite", "--image_dir", str(tmp_path / "images")])
    assert "1 caption(s) for missing images (gone.png)" in caplog.text
    assert "1 image(s) without caption (in/new.png)" in caplog.text
    assert json.loads((tmp_path / "laval.jsonl").read_text().splitlines()[0])["captions"] == ["one", "two"]
    with pytest.raises(UserError, match="no/out.jsonl: cannot write"):
        import_captions.main(["--captions", str(pickled), "--out", str(tmp_path / "no" / "out.jsonl")])
