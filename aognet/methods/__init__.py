"""Backbones and methods: one folder per method beside the shared `backbone.py`."""
