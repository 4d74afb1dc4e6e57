"""How good a panorama is; one metric per file, its source in the docstring."""
