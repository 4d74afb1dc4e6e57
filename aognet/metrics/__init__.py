"""How good a panorama is: one metric per file, with its source in the docstring."""
