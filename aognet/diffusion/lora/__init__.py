"""Low-rank additions to the layers of a model (LoRA)."""
