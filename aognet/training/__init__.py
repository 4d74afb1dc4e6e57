"""The training loop that all methods share, and what it keeps."""
