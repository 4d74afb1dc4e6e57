"""Names of uploads, jobs, panoramas and versions, which tell nothing and cannot be guessed."""

import secrets


def new_id() -> str:
    """Return a new name: 20 letters and digits."""
    return secrets.token_hex(10)
