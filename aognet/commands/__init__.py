"""The command lines: one file for each, which reads its flags and calls what does the work."""
