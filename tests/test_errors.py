"""Errors carry key and value, and are told in the words of who asks."""

import argparse
import logging
import pickle
from pathlib import Path

import pytest

from aognet import cli
from aognet.errors import MAX_VALUE, Setting, UserError

HEIGHT = UserError("must lie in [32, 8192]", key="height", value=7)


def test_key_and_value_are_told_and_kept() -> None:
    assert (HEIGHT.key, HEIGHT.value, str(HEIGHT)) == ("height", 7, "height must lie in [32, 8192], got 7")
    assert str(UserError("is missing", key="height")) == "height is missing"
    assert str(UserError("must be set", key="limit", value=None)) == "limit must be set, got None"
    assert str(UserError("no such file", where="a.yaml")) == "a.yaml: no such file"


def test_a_section_and_a_file_come_before_the_key() -> None:
    moved = HEIGHT.at("a.yaml", "data.train")
    assert (moved.key, moved.value) == ("data.train.height", 7)
    assert str(moved) == "a.yaml: data.train.height must lie in [32, 8192], got 7"
    assert HEIGHT.key == "height"
    assert str(UserError("no image").at("a.yaml", "data")) == "a.yaml: no image"


def test_a_process_hands_all_of_it_to_another() -> None:
    error = pickle.loads(pickle.dumps(UserError("lacks ", Setting("mask"), key="photo", value=3, where="a.yaml")))
    assert (error.key, error.value, str(error)) == ("photo", 3, "a.yaml: photo lacks mask, got 3")


def test_values_are_told_on_one_short_line() -> None:
    assert str(UserError("is odd", key="x", value="a\nb")) == r"x is odd, got 'a\nb'"
    assert str(UserError("is odd", key="x", value=Path("a/b"))) == "x is odd, got a/b"
    assert "\n" not in str(UserError("is odd", key="x", value=Path("a\nb")))
    assert len(str(UserError("is odd", key="x", value="a" * 10**6))) < MAX_VALUE + 30


OPTIONS = argparse.Namespace(height=7, out_dir=Path("out"))


def test_command_lines_say_flags(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError) as caught, cli.flags(OPTIONS, {"inputs.name": "--name"}):
        logging.getLogger("aognet.x").warning("%s: %s writes elsewhere", "a", Setting("out_dir"))
        raise UserError("clashes with ", Setting("inputs.name"), " or ", Setting("seed"), key="height", value=7)
    assert str(caught.value) == "--height clashes with --name or seed, got 7"
    assert caplog.messages == ["a: --out_dir writes elsewhere"]
    assert (caught.value.key, caught.value.value) == ("height", 7)


def test_a_key_of_a_file_keeps_its_name() -> None:
    with pytest.raises(UserError, match=r"^a.yaml: height must lie in .*, got 7$"), cli.flags(OPTIONS):
        raise HEIGHT.at("a.yaml")


def test_outside_a_command_line_the_log_says_keys(caplog: pytest.LogCaptureFixture) -> None:
    with cli.flags(OPTIONS):
        pass
    logging.getLogger("aognet.x").warning("%s writes elsewhere", Setting("out_dir"))
    assert caplog.messages == ["out_dir writes elsewhere"]
