"""Scenes under the sky, in layers from far to near."""
