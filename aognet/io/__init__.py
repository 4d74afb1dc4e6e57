"""Files: this room reads and writes images, light, captions and tables, with limits and without half-written files."""
