"""Training and generation loops, shared by the command lines and the server."""
