"""The API as it is described is the API as it is."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.studio.running import API, Studio

ROOT = Path(__file__).resolve().parents[2]


def test_the_description_is_kept():
    """After a change: ``python docs/build_openapi.py``, and a look at what changed for clients."""
    described = runpy.run_path(str(ROOT / "docs" / "build_openapi.py"))
    assert described["FILE"].read_text(encoding="utf-8") == described["described"]()


def test_every_error_is_described_as_a_problem(studio: Studio):
    paths = studio.get("/openapi.json")["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert "4XX" in operation["responses"], (method, path)


@pytest.mark.slow
def test_no_request_that_fits_the_description_finds_a_fault(studio: Studio):
    schemathesis = pytest.importorskip("schemathesis")
    requests = pytest.importorskip("requests")  # which it writes forms with
    schema = schemathesis.openapi.from_dict(studio.get("/openapi.json"))
    tried = set()
    for operation in schema.get_all_operations():
        one = operation.ok()
        tried.add(one.path)

        @given(case=one.as_strategy())
        @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def no_fault(case: Any) -> None:
            asked = case.as_transport_kwargs(base_url="http://127.0.0.1")
            made = requests.Request(**asked).prepare()
            got = studio.client.request(made.method, made.url, content=made.body, headers=dict(made.headers))
            assert got.status_code < 500, (case.method, case.path, got.text)
            assert str(studio.config.root) not in got.text

        no_fault()
    assert {f"{API}/jobs", f"{API}/plan", f"{API}/uploads"} <= tried
