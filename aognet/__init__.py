"""AOG-Net: 360-degree panoramas from a photograph and a sentence."""

__version__ = "0.1.0"
