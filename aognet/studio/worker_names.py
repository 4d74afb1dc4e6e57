"""Names of workers."""

import platform

from aognet.studio.config import StudioConfig


def worker_name(config: StudioConfig, number: int = 0) -> str:
    """Return the name of a worker of this machine, which is the same after each start."""
    return f"{config.workers.name or platform.node()}-{number}"
