"""Generators of images that are trained against a discriminator, and what they are told: z and classes."""
