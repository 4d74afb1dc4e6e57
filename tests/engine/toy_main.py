"""``main.py`` with the toys registered, for tests that need another process."""

from aognet import cli
from main import main
from tests.engine.toy import register

if __name__ == "__main__":
    register()
    cli.run(main)
