"""Describing images in words: captions for training data, and prompts for photographs."""
