"""Versions in the forms of other programs."""

import io
import zipfile

from aognet.io.presets import PRESETS
from tests.studio.running import Studio


def test_every_preset_is_offered_and_gives_an_archive(studio: Studio):
    version = studio.painted(prompt="a ../yard")["version_id"]
    offered = studio.get("/presets")
    assert [one["name"] for one in offered] == list(PRESETS)
    for name in ("unity", "web"):
        content = studio.get(f"/versions/{version}/export?preset={name}")
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        assert f"{name}/README.txt" in names and len(names) >= 2
    refused = studio.get(f"/versions/{version}/export?preset=untiy", 422)
    assert refused["key"] == "preset" and "did you mean 'unity'" in refused["detail"]
    assert studio.get(f"/versions/{version}/export?preset=unity&layout=x", 422)["key"] == "layout"
