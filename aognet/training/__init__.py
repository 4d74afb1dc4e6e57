"""The training loop that all methods share, its checkpoints, data loading and trackers."""
