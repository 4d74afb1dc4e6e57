"""Images as codes of a codebook, and transformers that write such codes."""
