"""Noise, schedulers and the denoising loop; knows no model."""
