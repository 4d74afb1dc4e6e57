"""Settings beside a model's weights: they count where nobody says otherwise, and a mistake in them is named."""

import json
from pathlib import Path

import pytest

from aognet.config import LoadedConfig
from aognet.errors import UserError
from aognet.generate.inference import read_defaults
from aognet.methods.method import find_method
from aognet.methods.preferred import preferred_settings

AOGNET = find_method("aognet")


def written(folder: Path, **values) -> Path:
    (folder / "settings.json").write_text(json.dumps(values))
    return folder


def test_without_a_file_they_are_the_methods(tmp_path: Path):
    assert preferred_settings(tmp_path, AOGNET) == AOGNET.settings_class()


def test_what_the_file_leaves_out_is_as_the_method_has_it(tmp_path: Path):
    found = preferred_settings(written(tmp_path, sampler={"steps": 4, "scheduler": "lcm"}), AOGNET)
    plain = AOGNET.settings_class()
    assert (found.sampler.steps, found.sampler.scheduler, found.sampler.guidance) == (4, "lcm", plain.sampler.guidance)
    assert (found.plan, found.face_size, found.feather) == (plain.plan, plain.face_size, plain.feather)


def test_a_configuration_is_above_them_key_by_key(tmp_path: Path):
    preferred = preferred_settings(written(tmp_path, sampler={"steps": 4, "scheduler": "lcm"}, feather=0.3), AOGNET)
    loaded = LoadedConfig({"generator": {"height": 64, "sampler": {"steps": 9}}}, {"": "a.yaml"})
    chosen = read_defaults(loaded, AOGNET, preferred)
    assert chosen.height == 64
    assert (chosen.settings.sampler.steps, chosen.settings.sampler.scheduler) == (9, "lcm")
    assert chosen.settings.feather == 0.3
    assert read_defaults(loaded, AOGNET).settings.feather == AOGNET.settings_class().feather


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"samplers": {}}, r"settings.json.*samplers is an unknown key; did you mean 'sampler'"),
        ({"sampler": {"steps": "four"}}, r"settings.json.*sampler.steps must be a whole number"),
        ({"feather": 2.0}, r"settings.json.*feather must lie in \[0, 1\]"),
    ],
)
def test_a_mistake_in_them_is_named(values: dict, said: str, tmp_path: Path):
    with pytest.raises(UserError, match=said):
        preferred_settings(written(tmp_path, **values), AOGNET)
