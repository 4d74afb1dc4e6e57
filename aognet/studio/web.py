"""Runs the web process."""

import logging
import socket

import uvicorn

from aognet.studio.app import make_app
from aognet.studio.config import StudioConfig

log = logging.getLogger(__name__)


def run_web(config: StudioConfig) -> None:
    """Serve until the process is told to end. Its address is logged, and written to ``address`` in the folder."""
    listening = socket.create_server(
        (config.host, config.port), family=socket.AF_INET6 if ":" in config.host else socket.AF_INET
    )
    host, port = listening.getsockname()[:2]
    settings = uvicorn.Config(make_app(config), log_level="warning", timeout_graceful_shutdown=5, lifespan="on")
    config.root.mkdir(parents=True, exist_ok=True)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    (config.root / "address").write_text(address + "\n", encoding="utf-8")
    log.info("the studio is at %s", address)
    uvicorn.Server(settings).run(sockets=[listening])
