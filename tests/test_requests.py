"""When a command asks for the run that is there, for another one, and what it goes on with."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aognet.commands import generate
from aognet.errors import UserError
from aognet.generate import generator, outpaint
from aognet.generate.view_journal import open_views
from tests import stub_model
from tests.generate.painter import Painter
from tests.stub_model import contents, run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with inputs and a run of the photograph (``out/yard``); panoramas are painted in no time."""
    stub_model.install(monkeypatch)
    monkeypatch.setattr(generate, "DEFAULT_CONFIG", stub_model.make_inputs(tmp_path) / "tiny.yaml")
    monkeypatch.chdir(tmp_path)
    run(*PHOTO)
    return tmp_path


PHOTO = ("--image", "yard.png", "--prompt", "a yard", "--inference_out_dir", "out")


def stopped(monkeypatch: pytest.MonkeyPatch, *arguments: Any, before: int = 3) -> None:
    """The command, stopped before a view."""
    outpaint, painted = Painter.outpaint, []

    def count(one: Painter, views: Any, *given: Any, **options: Any) -> Any:
        if len(painted) >= before:
            raise KeyboardInterrupt
        painted.extend(views)
        return outpaint(one, views, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Painter, "outpaint", count)
        with pytest.raises(KeyboardInterrupt):
            generate.main([*map(str, arguments)])


def refused(place: Path, *arguments: Any, said: str) -> None:
    before = contents(place)
    with pytest.raises(UserError) as caught:
        generate.main([*map(str, arguments)])
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert contents(place) == before


def as_version_2(folder: Path) -> dict[str, Any]:
    """Makes ``run.json`` what the program wrote before: one flat request, settings of all methods in ``generator``."""
    content = json.loads((folder / "run.json").read_text())
    asked, sampler = content.pop("request"), {}
    sampler = {**asked["settings"]["sampler"], "negative": asked["negative"]}
    sampler.pop("long_prompts", None)
    told = {key: asked[key] for key in ("name", "prompt", "prompts_at", "photos", "pose", "truth", "mask")}
    content["request"] = {
        **{key: content["model"][key] for key in ("checkpoint", "revision", "dtype")},
        **{key: content.pop(key) for key in ("weights", "files", "captioner", "camera")},
        **told,
        "partial": asked["panorama"],
        "generator": {
            **asked["settings"], "sampler": sampler, "height": asked["height"], "seed": asked["seed"], "face_size": 16,
        },
    }  # fmt: skip
    for key in ("model", "kind", "encoding"):
        del content[key]
    content["version"] = 2
    (folder / "run.json").write_text(json.dumps(content))
    return content


def as_version_1(folder: Path, views: int | None = None) -> None:
    """Makes a run what the program wrote at first: without names, weights, lists of files, with other seeds."""
    content = as_version_2(folder)
    for key in ("begun", "outputs", "plan", "edit"):
        del content[key]
    for key in ("name", "weights"):
        del content["request"][key]
    content["version"] = 1
    for number, step in enumerate(content["steps"]):
        step["seed"] = number
    if views is not None:
        for step in content["steps"][views + 1 :]:  # one more than is noted, as a kill leaves it
            (folder / "steps" / step["file"]).unlink()
        (folder / "result.png").unlink()
        content |= {"steps": content["steps"][:views], "finished": False}
    (folder / "run.json").write_text(json.dumps(content))


def test_a_photo_is_known_by_its_pixels_and_not_by_the_way_to_it(place: Path) -> None:
    before = contents(place / "out")
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "yard.png").symlink_to(place / "yard.png")
    shutil.copy(place / "yard.png", place / "elsewhere" / "copy.png")
    for image in (place / "yard.png", "./yard.png", "elsewhere/yard.png", "elsewhere/../yard.png"):
        run("--image", image, *PHOTO[2:])
    run("--image", "elsewhere/copy.png", *PHOTO[2:], "--name", "yard")
    assert contents(place / "out") == before
    (place / "yard.png").write_bytes((place / "hall.png").read_bytes())
    refused(place, *PHOTO, said="photos.0.image: 'yard.png' there, 'yard.png' here, with other contents")


def test_every_input_is_known_by_its_role(place: Path) -> None:
    """The same files the other way round are another request."""
    partial = ("--prompt", "x", "--name", "part", "--inference_out_dir", "out")
    shutil.copy(place / "mask.png", place / "second.png")
    run("--panorama", "hall.png", "--mask", "mask.png", *partial)
    run("--panorama", place / "hall.png", "--mask", "second.png", *partial)
    refused(
        place, "--panorama", "mask.png", "--mask", "hall.png", *partial, said="panorama: 'hall.png' there, 'mask.png'"
    )


@pytest.mark.parametrize("finished", [True, False])
def test_a_retrained_model_is_another(place: Path, finished: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not finished:
        stopped(monkeypatch, *PHOTO, "--overwrite")
    monkeypatch.setattr(generator, "model_identity", lambda *model: "other weights")
    refused(place, *PHOTO, said="with other weights or settings); choose another --inference_out_dir or --name, or add")
    if finished:
        refused(place, "--inference_out_dir", "out", "--repaint", "150,0: x", said="--repaint needs the same model")
    run(*PHOTO, "--overwrite")
    assert open_views(place / "out" / "yard").asked.weights == "other weights"


def test_the_model_may_have_moved(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(place / "out")
    run(*PHOTO, "--checkpoint", "another/way")
    assert contents(place / "out") == before


def test_a_model_that_changes_while_it_is_read_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(place)
    found = iter(("one", "another"))
    monkeypatch.setattr(generator, "method_of", lambda *model: stub_model.STUB)
    monkeypatch.setattr(generator, "model_identity", lambda *model: next(found))
    monkeypatch.setattr(generator, "load_method", lambda *model: None)
    command = ("-b", "tiny.yaml", "--checkpoint", "model", "--image", "yard.png", "--inference_out_dir", "new")
    refused(place, *command, said="model: changed while it was read")


def test_a_run_goes_on_with_the_plan_it_began_with(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later version of the program would plan."""
    expected = contents(place / "out")
    for before in (0, 3):
        stopped(monkeypatch, *PHOTO, "--overwrite", before=before)
        with monkeypatch.context() as patch:
            patch.setattr(outpaint, "planned", lambda *given: pytest.fail("planned again"))
            run(*PHOTO)
        assert contents(place / "out") == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [({"seed": 5}, "seed is 5, planned is"), ({"prompt": "a pond"}, "prompt is 'a pond', planned is 'a yard'"),
     ({"wave": 7}, "wave is 7")],
)  # fmt: skip
def test_views_that_were_painted_otherwise_are_not_gone_on_from(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    stopped(monkeypatch, *PHOTO, "--overwrite")
    path = place / "out" / "yard" / "run.json"
    content = json.loads(path.read_text())
    content["steps"][1] |= change
    path.write_text(json.dumps(content))
    refused(place, *PHOTO, said=said)


def test_whether_the_program_was_changed_makes_no_difference(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = contents(place / "out")
    monkeypatch.setattr(generator, "provenance", lambda device: {"git": {"commit": "0", "dirty": False}, "time": "now"})
    run(*PHOTO, "--overwrite")
    assert contents(place / "out") == expected


def test_panoramas_have_noise_of_their_own(place: Path) -> None:
    (place / "photos").mkdir()
    for name in ("yard.png", "copy.png"):
        shutil.copy(place / "yard.png", place / "photos" / name)
    run("--image", "photos", "--prompt", "a yard", "--inference_out_dir", "two")
    seeds = [{step["seed"] for step in read(place / "two" / name)["steps"]} for name in ("yard", "copy")]
    assert not seeds[0] & seeds[1]
    assert (place / "two/yard/result.png").read_bytes() != (place / "two/copy/result.png").read_bytes()
    # Alone or among others, here or there.
    assert (place / "two/yard/result.png").read_bytes() == (place / "out/yard/result.png").read_bytes()


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize("method", ["stub", "cubediff"])
def test_a_run_of_version_2_goes_on_to_what_it_would_have_become(
    place: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Also of a method whose settings are no longer those of all."""
    if method == "cubediff":
        shared = replace(stub_model.STUB, settings="aognet.methods.outpainter:OutpaintSettings")
        monkeypatch.setattr(generator, "method_of", lambda *model: shared)
        (place / "tiny.yaml").write_text((place / "tiny.yaml").read_text().replace('"face_size": 16, ', ""))
        run(*PHOTO, "--overwrite")
    expected = contents(place / "out")
    stopped(monkeypatch, *PHOTO, "--overwrite")
    as_version_2(place / "out" / "yard")
    run(*PHOTO)
    found = contents(place / "out")
    assert {**found, "yard/run.json": b""} == {**expected, "yard/run.json": b""}
    assert read(place / "out/yard")["steps"] == json.loads(expected["yard/run.json"])["steps"]
    as_version_2(place / "out" / "yard")
    run(*PHOTO)
    run("--inference_out_dir", "out", "--repaint", "150,10: a blue door")
    run("--inference_out_dir", "out", "--undo", 1)
    assert contents(place / "out")["yard/result.png"] == expected["yard/result.png"]
    as_version_2(place / "out" / "yard")
    refused(place, *PHOTO, "--seed", 3, said="seed: 0 there, 3 here")


def test_a_finished_run_of_version_1_is_what_it_was(place: Path) -> None:
    folder = place / "out" / "yard"
    as_version_1(folder)
    before = contents(folder)
    run(*PHOTO)
    assert contents(folder) == before  # painted already
    run("--inference_out_dir", "out", "--repaint", "150,10: a blue door")
    assert read(folder)["version"] == 3 and len(read(folder)["steps"]) == 7
    run("--inference_out_dir", "out", "--undo", 1)
    assert {name: data for name, data in contents(folder).items() if name != "run.json"} == {
        name: data for name, data in before.items() if name != "run.json"
    }
    refused(place, *PHOTO, "--prompt", "a pond", said="prompt: 'a yard' there, 'a pond' here")


def test_an_unfinished_run_of_version_1_is_not_mixed_with_other_noise(place: Path) -> None:
    folder, expected = place / "out" / "yard", contents(place / "out")
    as_version_1(folder, views=2)
    steps = read(folder)["steps"]
    with pytest.raises(UserError, match="an earlier version of this program began this run.*seed is 0, planned is"):
        run(*PHOTO)
    assert read(folder)["steps"] == steps
    run(*PHOTO, "--overwrite")
    assert contents(place / "out") == expected
    as_version_1(folder, views=0)
    run(*PHOTO)  # nothing was painted: it begins as it would today
    assert contents(place / "out") == expected


@pytest.mark.parametrize(
    "shape", ["inputs: {{prompt: '{}'}}", "out_dir: 'out{}'", "SHARE: {{x: '{}'}}\nname: '${{SHARE.x}}'"]
)
def test_a_strangers_settings_carry_no_environment_into_what_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    (place / "stranger.yaml").write_text(shape.format("${oc.env:SECRET}"))
    refused(place, "-b", "tiny.yaml", "stranger.yaml", "--image", "yard.png", said="stranger.yaml: ")
    import main

    with pytest.raises(UserError, match="stranger.yaml: "):
        main.main(["-b", "stranger.yaml", "-n", "new", "--out_dir", str(place / "logs")])
    assert not (place / "logs").exists()
    # The user's own words are.
    run("-b", "tiny.yaml", "--image", "yard.png", "inputs.prompt=${oc.env:SECRET}", "--inference_out_dir", "own")
    assert (place / "own" / "yard" / "prompt.txt").read_text() == "s3cret\n"
