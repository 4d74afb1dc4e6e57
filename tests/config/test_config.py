"""Whatever is wrong in a config is told in one line with file, key and value, before anything is built."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from aognet.config import COMMAND_LINE, build_config, load_config
from aognet.data import TARGETS
from aognet.errors import UserError
from aognet.targets import build


@dataclass(frozen=True)
class Layer:
    width: int = 8
    rates: tuple[float, ...] = (0.1,)

    def __post_init__(self) -> None:
        if self.width % 8:
            raise UserError("must be a multiple of 8", key="width", value=self.width)


@dataclass(frozen=True, kw_only=True)
class Settings:
    folder: Path
    steps: int = 1
    rate: float = 1.0
    kind: Literal["fast", "slow"] = "fast"
    layer: Layer = field(default_factory=Layer)
    layers: list[Layer] = field(default_factory=list)
    limit: int | None = None


class Thing:
    Config = Settings

    def __init__(self, config: Settings, extra: str = "") -> None:
        self.config, self.extra = config, extra


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "thing", f"{__name__}:Thing")


def refused(paths: list[Path], *overrides: str) -> str:
    """The one line that a config is refused with."""
    with pytest.raises(UserError) as caught:
        build(load_config(paths, overrides).section("model"))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_reach_the_dataclass(write) -> None:
    path = write(
        "model: {target: thing, folder: x/y, rate: 1e-5, kind: slow, layers: [{width: 16}], layer: {rates: [1, 2]}}"
    )
    thing = build(load_config([path]).section("model"), extra="more")
    assert thing.extra == "more"
    layers = [Layer(width=16)]
    assert thing.config == Settings(
        folder=Path("x/y"), rate=1e-5, kind="slow", layers=layers, layer=Layer(rates=(1.0, 2.0))
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("on", "on"), ("True", True), ("1e-5", 1e-5), ("-1.", -1.0), ("2_0", "2_0"), ("1:30", "1:30")]
    + [("010", "010"), ("0x1F", 31), ("2026-11-20", "2026-11-20"), ("1e5x", "1e5x"), ("null", None), ("", None)]
    + [(".inf", float("inf")), ("~", None), ("0.90", 0.9), ("[1, a]", [1, "a"])],
)
def test_plain_values_mean_what_they_look_like(write, text: str, value: object) -> None:
    found = load_config([write(f"x: {text}")]).to_container()["x"]
    assert found == value and type(found) is type(value)


def test_later_files_and_overrides_win_and_are_remembered(write) -> None:
    first = write("model: {target: thing, folder: x, steps: 1, rate: 2}")
    second = write("model: {steps: 5}", "b.yaml")
    config = load_config([first, second], ["model.layer.width=24", "model.limit=null", "model.kind=slow"])
    model = config.section("model")
    assert build(model).config == Settings(folder=Path("x"), steps=5, rate=2.0, kind="slow", layer=Layer(width=24))
    assert model.source("rate") == str(first)
    assert model.source("steps") == str(second)
    assert model.source("layer.width") == COMMAND_LINE
    assert not model.has("limit")
    assert config.to_container()["model"]["layer"] == {"width": 24}


def test_interpolations_survive_in_a_section(write) -> None:
    path = write("SHARE: {n: 4}\nmodel: {target: thing, folder: 'p/${SHARE.n}', steps: '${SHARE.n}'}")
    config = build(load_config([path], ["SHARE.n=7"]).section("model")).config
    assert (config.folder, config.steps) == (Path("p/7"), 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {target: thing, folder: x, stps: 1}", "model.stps is an unknown key; did you mean 'steps'?"),
        (
            "model: {target: thing, folder: x, layer: {with: 8}}",
            "model.layer.with is an unknown key; did you mean 'width'?",
        ),
        (
            "model: {target: thing, folder: x, layers: [{}, {wdth: 8}]}",
            "model.layers.1.wdth is an unknown key; did you mean 'width'?",
        ),
        ("model: {target: thing, folder: x, qqqq: 1}", "known here: folder, steps, rate"),
        ("model: {target: thing, folder: x, steps: many}", "model.steps must be a whole number, got 'many'"),
        ("model: {target: thing, folder: x, steps: 1.5}", "model.steps must be a whole number, got 1.5"),
        ("model: {target: thing, folder: x, steps: null}", "model.steps must be a whole number, got None"),
        ("model: {target: thing, folder: x, kind: odd}", "model.kind must be one of fast, slow, got 'odd'"),
        ("model: {target: thing, folder: x, layer: 3}", "model.layer must be a section with keys, got 3"),
        (
            "model: {target: thing, folder: x, layers: {width: 8}}",
            "model.layers must be a list of sections, got {'width': 8}",
        ),
        (
            "model: {target: thing, folder: x, layer: {width: 9}}",
            "model.layer.width must be a multiple of 8, got 9",
        ),
        ("model: {target: thing}", "model.folder is missing and has no default"),
        ("model: {target: thing, folder: '???'}", "model.folder is left open"),
        (
            "model: {target: thing, folder: '${SHARE.x}'}",
            "model.folder cannot be filled in (Interpolation key 'SHARE.x' not found), got '${SHARE.x}'",
        ),
        ("model: {target: thing, folder: '${'}", "model.folder"),
        ("model: {target: thng, folder: x}", "model.target is unknown: 'thng'; did you mean 'thing'?"),
        ("model: {folder: x}", "model.target is missing; known: "),
        ("model: 5", "model must be a section with keys, got 5"),
        ("modle: {}", "model is missing"),
        ("", "model is missing"),
        ("[1, 2]", "must hold keys and values"),
        ("model:\n  a: 1\n  b: [", "line 3: "),
        ("model: {a: 1,\n a: 2}", "line 2: the key 'a' is there twice"),
        ("x: 1\nmodel: !!python/object/apply:os.getcwd []", "line 2: could not determine a constructor"),
        ("a: &a [*a]", "levels"),
        (
            "a: &a [1,1,1,1,1,1,1,1]\n"
            + "\n".join(f"{y}: &{y} [{','.join([f'*{x}'] * 8)}]" for x, y in zip("abcdef", "bcdefg", strict=True)),
            "more than",
        ),
    ],
)
def test_a_bad_file_is_refused(write, text: str, expected: str) -> None:
    path = write(text)
    message = refused([path])
    assert message.startswith(str(path))
    assert expected in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.steps", "an override must look like key.sub=value, got 'model.steps'"),
        ("=3", "got '=3'"),
        ("model..steps=3", "got 'model..steps=3'"),
        ("model.steps=[", "line 1"),
        ("model.stps=3", "model.stps is an unknown key; did you mean 'steps'?"),
        ("model.steps=many", "model.steps must be a whole number, got 'many'"),
        ("model.layers.4.width=8", "cannot set 'model.layers.4.width=8'"),
        ("model.layer.width=9", "model.layer.width must be a multiple of 8, got 9"),
    ],
)
def test_a_bad_override_is_refused(write, override: str, expected: str) -> None:
    message = refused([write("model: {target: thing, folder: x, layers: []}")], override)
    assert message.startswith(COMMAND_LINE)
    assert expected in message


def test_an_override_may_hold_an_equals_sign_or_a_list(write) -> None:
    path = write("model: {target: thing, folder: x, layers: [{}]}")
    overrides = ["model.folder=a=b", "model.layers.0.width=16", "model.layer.rates=[1e-2, 2]"]
    config = build(load_config([path], overrides).section("model")).config
    assert config == Settings(folder=Path("a=b"), layers=[Layer(width=16)], layer=Layer(rates=(0.01, 2.0)))


def test_unreadable_files_are_refused(tmp_path: Path, write) -> None:
    assert "no such config file" in refused([tmp_path / "none.yaml"])
    assert "no such config file" in refused([tmp_path])
    path = write("# " + "x" * 1_000_001)
    assert re.search(r"may have 1000000 bytes, this has 1000003", refused([path]))
    path.write_bytes(b"model: \xff\xfe")
    assert "not a UTF-8 text file (byte 7)" in refused([path])


def test_unknown_sections_are_refused(write) -> None:
    path = write("model: {}\ntrianer: {}")
    with pytest.raises(UserError, match="trianer is an unknown key; did you mean 'trainer'"):
        load_config([path]).check_keys(("model", "trainer"))


def test_build_config_ignores_only_the_target(write) -> None:
    section = load_config([write("layer: {target: anything, width: 16}")]).section("layer")
    assert build_config(section, Layer) == Layer(width=16)


WAYS = (
    "${oc.env:SECRET}",
    "x ${oc.env:SECRET,y} z",
    "${oc.${SHARE.n}:SECRET}",
    "${oc.decode:${SHARE.later}}",
    "${oc.decode:${oc.env:SECRET}}",
    "${oc.create:{a: '${oc.env:SECRET}'}}",
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", ["folder: {}", "layer: {{more: [{}]}}"])
def test_no_file_reads_the_environment(write, monkeypatch: pytest.MonkeyPatch, way: str, shape: str) -> None:
    """What files set is written down and passed on; only the user's own words may fill the environment in."""
    monkeypatch.setenv("SECRET", "s3cret")
    shared = r"SHARE: {n: env, later: '\${oc.env:SECRET}'}"
    path = write(f"{shared}\nmodel:\n  target: thing\n  " + shape.format(f'"{way}"'))
    with pytest.raises(UserError) as caught:
        load_config([path], ["other=3"])
    message = str(caught.value)
    assert "s3cret" not in message and "\n" not in message and str(path) in message and "model." in message


def test_overrides_read_the_environment(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    path = write("model: {target: thing, folder: '${SHARE.place}'}")
    for overrides in (["SHARE.place=p/${oc.env:SECRET}"], ["SHARE={place: 'p/${oc.env:SECRET}'}"]):
        assert build(load_config([path], overrides).section("model")).config.folder == Path("p/s3cret")
    assert "SECRETS" in refused([path], "SHARE.place=${oc.env:SECRETS}")  # not set: the usual error
