"""The package from Python: requests, a generator, results."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from aognet import DirectedPrompt, Generator, Panorama, Photo, Pose, Request, load
from aognet.callbacks import Cancelled
from aognet.errors import UserError
from aognet.generate.asked import ModelConfig
from aognet.generate.editing import undo_views
from aognet.generate.generator import Defaults
from aognet.generate.view_journal import open_views
from aognet.io.gpano import read_gpano
from aognet.io.images import load_image, save_image
from aognet.methods.aognet.settings import Settings
from aognet.system.processes import Processes
from tests import stub_model
from tests.generate.painter import SETTINGS, Painter, smooth_photo
from tests.smooth import smooth_panorama

ROOT = Path(__file__).parents[1]
REQUESTS = [
    Request(),
    Request("a lake", "fog", [DirectedPrompt(90.0, 0.0, "a barn")], seed=7, height=64, name="lake"),
    Request(photos=[Photo(image="a.jpg"), Photo(yaw=90.0, fov=60.0, image="b.jpg")], label="kitchen"),
    Request(panorama="room.png", mask="mask.png", depth="depth.exr", settings={"sampler": {"steps": 3}}),
    Request(truth="${x}/room.png", pose=Pose(30.0, 5.0, 1.0, 70.0), method="cubediff", prompt="ünï \u2028 ${y}"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_go_through_json(request_: Request) -> None:
    assert Request.from_json(request_.to_json()) == request_
    assert Request.from_dict(request_.to_dict()) == request_


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"heigth": 64}, "heigth is an unknown key; did you mean 'height'"),
        ({"height": 16}, r"height must lie in \[32, 8192\], got 16"),
        ({"seed": "x"}, "seed must be a whole number, got 'x'"),
        ({"version": 2}, "version must be 1, got 2"),
        ({"photos": ["a.jpg"]}, "photos"),
        ({"photos": [{"yaw": 3}]}, "image"),
        ({"photos": [{"image": "a", "pitch": 100}]}, r"pitch must lie in \[-90, 90\]"),
        ({"prompts_at": [{"yaw": 0, "pitch": 95, "text": "x"}]}, r"pitch must lie in \[-90, 90\]"),
        ({"mask": "m.png"}, "mask is of a partly known panorama"),
        ({"truth": "a.png", "panorama": "b.png"}, "panorama and truth exclude each other"),
        ({"prompt": "a \udce9"}, "prompt must be a text in UTF-8"),
        ({"settings": 3}, "settings must be"),
    ],
)
def test_what_cannot_be_asked_for_is_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        Request.from_dict(values, "mine.json")
    assert str(caught.value).startswith("mine.json: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^mine.json: "):
        Request.from_json(text, "mine.json")


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """One that paints in no time."""
    stub_model.install(monkeypatch)
    defaults = Defaults(64, Settings(SETTINGS.plan, SETTINGS.sampler, views_per_batch=1, face_size=16))
    return Generator(ModelConfig("stub"), defaults, device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    save_image(smooth_photo(60, 80), tmp_path / "yard.png")
    return Photo(image=str(tmp_path / "yard.png"), fov=80.0)


def test_a_photograph_becomes_a_panorama(generator: Generator, photo: Photo, tmp_path: Path) -> None:
    made = generator.generate(Request("a yard", photos=[photo]))
    assert made.panorama.shape == (3, 64, 128) and made.panorama.dtype == torch.float32
    assert 0 <= made.panorama.min() and made.panorama.max() <= 1 and made.encoding == "srgb"
    assert made.given.shape == (1, 64, 128) and 0.03 < made.given.float().mean() < 0.3
    assert made.folder is None and made.camera.fov_degrees == 80 and made.prompt == "a yard"
    assert made.faces().shape == (6, 3, 32, 32) and made.faces(16).shape == (6, 3, 16, 16)
    made.save(tmp_path / "sphere.png")
    kept = generator.generate(Request("a yard", photos=[photo]), tmp_path / "run", faces=True)
    assert torch.equal(kept.panorama, made.panorama) and kept.folder == tmp_path / "run"
    assert torch.equal(load_image(tmp_path / "run" / "result.png"), load_image(tmp_path / "sphere.png"))
    assert (tmp_path / "run" / "faces" / "up.png").is_file()


def test_what_a_finished_run_holds_is_returned_and_another_request_refused(generator: Generator, tmp_path: Path):
    first = generator.generate(Request("a lake"), tmp_path / "run")
    painted: list[tuple] = []
    again = generator.generate(Request("a lake"), tmp_path / "run", progress=lambda *told: painted.append(told))
    assert torch.equal(again.panorama, first.panorama) and not painted
    with pytest.raises(UserError, match="seed: 0 there, 1 here"):
        generator.generate(Request("a lake", seed=1), tmp_path / "run")
    other = generator.generate(Request("a lake", seed=1), tmp_path / "run", overwrite=True)
    assert not torch.equal(other.panorama, first.panorama)


def test_a_request_changes_single_settings(generator: Generator, tmp_path: Path) -> None:
    generator.generate(Request("x", negative="fog", settings={"sampler": {"guidance": 4.0}}), tmp_path / "run")
    told = open_views(tmp_path / "run").asked.request
    assert told.settings["sampler"]["guidance"] == 4.0 and told.settings["sampler"]["steps"] == SETTINGS.sampler.steps
    assert (told.negative, told.height, told.method) == ("fog", 64, "stub")
    for settings, said in (
        ({"samplr": {}}, "settings.samplr is an unknown key; did you mean 'sampler'"),
        ({"sampler": {"steps": 0}}, r"settings.sampler.steps must lie in \[1, 1000\], got 0"),
    ):
        with pytest.raises(UserError, match=said):
            generator.generate(Request("x", settings=settings), tmp_path / "none")
    with pytest.raises(UserError, match="method must be stub, as of stub, got 'cubediff'"):
        generator.generate(Request("x", method="cubediff"), tmp_path / "none")
    with pytest.raises(UserError, match="label is not for the method stub, got 'kitchen'"):
        generator.generate(Request("x", label="kitchen"), tmp_path / "none")
    with pytest.raises(UserError, match="no such image file"):
        generator.generate(Request("x", photos=[Photo(image=str(tmp_path / "no.png"))]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_direction_is_repainted_as_the_command_does(generator: Generator, photo: Photo, tmp_path: Path) -> None:
    for name in ("here", "there"):
        first = generator.generate(Request("a yard", photos=[photo]), tmp_path / name)
    told: list[tuple] = []
    again = generator.repaint(
        tmp_path / "here", DirectedPrompt(90.0, 0.0, "a cliff"), progress=lambda *one: told.append(one)
    )
    stub_model.run("--inference_out_dir", tmp_path / "there", "--repaint", "90,0: a cliff")
    assert stub_model.contents(tmp_path / "here") == stub_model.contents(tmp_path / "there")
    assert told[-1] == ("views", 1, 1) and again.folder == tmp_path / "here" and again.prompt == "a yard"
    assert not torch.equal(again.panorama, first.panorama)
    assert torch.equal(again.panorama[:, again.given[0]], first.panorama[:, first.given[0]])
    assert torch.equal(undo_views(tmp_path / "here").panorama, first.panorama)
    with pytest.raises(UserError, match="this panorama was not painted|holds no run"):
        generator.repaint(tmp_path / "nowhere", DirectedPrompt(90.0, 0.0, "a cliff"))


def test_a_run_of_another_model_is_not_repainted(generator: Generator, tmp_path: Path) -> None:
    generator.generate(Request("a yard"), tmp_path / "run")
    before = stub_model.contents(tmp_path / "run")
    generator.__dict__["weights"] = "others"
    with pytest.raises(UserError, match="stub has other weights or settings than when this run was painted"):
        generator.repaint(tmp_path / "run", DirectedPrompt(90.0, 0.0, "a cliff"))
    assert stub_model.contents(tmp_path / "run") == before


def test_any_panorama_is_looked_at_and_saved(tmp_path: Path) -> None:
    made = Panorama(smooth_panorama(64)[0].float().add(1).div(2), prompt="a <bay>")
    made.save(tmp_path / "bay.png")
    opened = Panorama.open(tmp_path / "bay.png")
    assert opened.prompt == "a <bay>" and read_gpano(tmp_path / "bay.png")["ProjectionType"] == "equirectangular"
    assert (opened.panorama - made.panorama).abs().max() <= 0.5 / 255 + 1e-6
    assert opened.to_pil().tobytes() == made.to_pil().tobytes()
    assert Panorama.open(tmp_path / "bay.png", 32).panorama.shape == (3, 32, 64)
    for yaw, face in ((0.0, 0), (90.0, 1), (180.0, 2)):
        assert torch.allclose(made.view(yaw, width=32, height=32), made.faces()[face], atol=1e-6)
    again = Panorama.of_faces(made.faces(64), 64)
    assert (again.panorama - made.panorama).abs().mean() < 0.01
    for name in ("bay.exr", "bay.html", "bay.glb"):
        made.save(tmp_path / name)
    light = Panorama.open(tmp_path / "bay.exr")
    assert light.encoding == "linear" and not light.prompt
    assert (light.to_pil().getpixel((5, 5))[0] - made.to_pil().getpixel((5, 5))[0]) ** 2 <= 4
    with pytest.raises(UserError, match=r"files must end in .*, got .*bay.tga"):
        made.save(tmp_path / "bay.tga")
    with pytest.raises(UserError, match="yaw_degrees must be a finite number"):
        made.view(float("nan"))
    with pytest.raises(ValueError, match="twice as wide as high"):
        Panorama(torch.zeros(3, 4, 4))


def test_it_is_cancelled_and_goes_on(generator: Generator, tmp_path: Path) -> None:
    done: list[int] = []
    whole = generator.generate(Request("a lake"))

    def progress(stage: str, count: int, total: int) -> None:
        done.append(count if stage == "views" else 0)

    with pytest.raises(Cancelled):
        generator.generate(Request("a lake"), tmp_path / "run", progress=progress, cancel=lambda: max(done) >= 3)
    assert len(open_views(tmp_path / "run").entries) == 3 and not (tmp_path / "run" / "result.png").exists()
    again = generator.generate(Request("a lake"), tmp_path / "run")
    assert torch.equal(again.panorama, whole.panorama)


def test_several_threads_get_what_each_would_get_alone(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [Request("a lake", name=name) for name in "abc"]
    alone = [generator.generate(request).panorama for request in requests]
    found: dict[str, torch.Tensor] = {}
    within, most = [0], [0]
    outpaint = Painter.outpaint

    def watched(*given: Any, **options: Any) -> torch.Tensor:
        within[0] += 1
        most[0] = max(most[0], within[0])
        try:
            return outpaint(*given, **options)
        finally:
            within[0] -= 1

    monkeypatch.setattr(Painter, "outpaint", watched)
    threads = [
        threading.Thread(target=lambda one=one: found.update({one.name: generator.generate(one).panorama}))
        for one in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[one.name], expected) for one, expected in zip(requests, alone, strict=True))
    assert most[0] == 1  # one model, one panorama at a time


def test_what_is_loaded_is_what_the_command_line_paints_with(tmp_path: Path) -> None:
    loaded = load(settings=["device=cpu", "generator.sampler.steps=3"])
    assert Path(loaded.config.checkpoint).resolve() == ROOT / "assets" / "embedded" / "aognet"
    assert (loaded.defaults.height, loaded.defaults.settings.sampler.steps) == (512, 3)
    assert load(ROOT / "assets" / "cubediff").method.name == "cubediff"
    with pytest.raises(UserError, match="no such"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="generator.stepps is an unknown key"):
        load(settings=["generator.stepps=3"])


def test_processes_of_a_launcher_meet_no_earlier_than_something_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake before leaves none of them connected."""
    started: list[str] = []
    start = Processes.start
    monkeypatch.setattr(Processes, "start", lambda device: started.append(device) or start(device))
    loaded = load(settings=["device=cpu"])
    loaded.resolved(Request("a lake"))
    assert started == [] and loaded.device == torch.device("cpu") and started == ["cpu"]
