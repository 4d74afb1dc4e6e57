"""``main.py`` with the toys registered, for tests that need another process."""

from aognet import cli, data
from main import main
from tests.training.toy import TARGETS

if __name__ == "__main__":
    data.TARGETS.update(TARGETS)
    cli.run(main)
