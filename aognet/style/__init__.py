"""Panoramas in the style of a photograph: its colours, its textures, or both without a loss of detail."""
