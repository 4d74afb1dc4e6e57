"""``python -m aognet``: the console command without its own program file, as launchers of several processes want it."""

from aognet.commands.program import run

if __name__ == "__main__":
    run()
