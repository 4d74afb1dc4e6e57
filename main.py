"""Train a model: ``python main.py -b config/train_config.yaml --n my_experiment``, which is also ``aognet train``."""

from aognet.cli import run
from aognet.commands.train import main

if __name__ == "__main__":
    run(main)
