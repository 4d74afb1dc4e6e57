"""``${oc.env:NAME}`` in settings: replaced if the user wrote it on the command line, refused in a file.

A file may come from a stranger, and its settings are written down and passed on (``run.json``, the viewer, an
experiment's ``config.yaml``). So it must not bring the user's environment there, in whichever way it asks for it.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from aognet.errors import UserError

NAME = "oc.env"


def dotted(key: Any) -> str:
    """Return a full key of OmegaConf, such as ``a.b[0].c``, with dots alone."""
    return re.sub(r"\[(\w+)\]", r".\1", str(key or ""))


@contextmanager
def environment(own: Callable[[str], bool]) -> Iterator[None]:
    """Inside the block, let references read the environment only for keys (dotted) for which ``own`` is true.

    :raises UserError: naming the key, if another one asked, also through other resolvers.
    """
    refused: list[str] = []

    def env(*words: Any, _node_: Any) -> Any:
        key = dotted(_node_._get_full_key(None))
        if own(key):
            return oc.env(*words)
        refused.append(key)
        raise ValueError(key)

    OmegaConf.register_resolver(NAME, env, replace=True, annotation_validation="off")
    cause: Exception | None = None
    try:
        yield
    except Exception as error:
        cause = error
        if not refused:
            raise
    finally:
        OmegaConf.register_resolver(NAME, oc.env, replace=True, annotation_validation="off")
    if refused:
        raise UserError(
            f"may not read the environment in a file (${{{NAME}:...}}); give it on the command line: {refused[0]}=...",
            key=refused[0],
        ) from cause
