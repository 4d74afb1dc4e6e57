"""Texts of others, such as file names and prompts, without the characters that control a terminal."""

import logging
import re

# Control characters (C0, delete, C1), ends of lines and paragraphs, what turns the direction of text, half characters.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return ``text`` in one line, with every such character as its escape: ``\x1b``, ``\u202e``. Tabs become
    spaces.
    """
    return _COMMANDS.sub(lambda found: _escape(found[0]), text.replace("\t", " "))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


class VisibleFormatter(logging.Formatter):
    """Escapes messages and tracebacks, from whichever library they come."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: tuple) -> str:  # noqa: N802 (logging's name)
        return "\n".join(map(visible, super().formatException(ei).split("\n")))
