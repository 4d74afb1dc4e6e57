"""Noise, schedulers and the denoising loop. They know no model."""
