"""Files that leave the project: panoramas with metadata other programs know, and a page to look around in."""
