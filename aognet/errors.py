"""What a user can get wrong, told apart from what we got wrong."""


class UserError(ValueError):
    """A mistake a user can mend: one line that names the file, the key and the value.

    Command lines print the message and exit with status 2; any other exception is a bug and keeps its traceback.
    """
