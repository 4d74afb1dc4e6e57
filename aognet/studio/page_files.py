"""The page: its files, and the module that it shares with the viewer of results."""

from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

PAGE = Path(__file__).parent / "page"
HEADERS = {"Cache-Control": "no-cache"}  # a page of an older version would ask in older ways


class PageFiles(StaticFiles):
    """Files that browsers ask for again each time, which costs little while they are the same."""

    def file_response(self, *given: Any, **options: Any) -> Response:
        """Return the answer with a file, or that it is the same as before."""
        response = super().file_response(*given, **options)
        response.headers.update(HEADERS)
        return response


def serve_page(app: FastAPI) -> None:
    """Serve the page at ``/``. To be called last: it answers to all that no route does."""
    look = resources.files("aognet.io").joinpath("look.js")

    @app.get("/look.js", include_in_schema=False)
    def read_look() -> Response:
        return Response(look.read_bytes(), media_type="text/javascript", headers=HEADERS)

    app.mount("/", PageFiles(directory=PAGE, html=True), name="page")
