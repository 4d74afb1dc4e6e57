"""The sky: air, sun, moon, clouds and stars."""
