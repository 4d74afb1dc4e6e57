"""Runs the web process."""

import logging
import os
import socket

import uvicorn

from aognet.errors import UserError
from aognet.io.files import write_atomically
from aognet.studio.app import make_app
from aognet.studio.config import StudioConfig

log = logging.getLogger(__name__)


def run_web(config: StudioConfig) -> None:
    """Serve until the process is told to end. Its address is logged, and written to ``address`` in the folder.

    :raises UserError: if the address cannot be listened on.
    """
    listening = _listening(config)
    host, port = listening.getsockname()[:2]
    settings = uvicorn.Config(make_app(config), log_level="warning", timeout_graceful_shutdown=5, lifespan="on")
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    write_atomically(config.root / "address", address + "\n")
    log.info("the studio is at %s", address)
    uvicorn.Server(settings).run(sockets=[listening])


def _listening(config: StudioConfig) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else error.strerror
        raise UserError(f"of {config.host} cannot be listened on ({reason})", key="port", value=config.port) from error
