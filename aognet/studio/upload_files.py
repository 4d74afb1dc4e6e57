"""The files of an upload: what is shown of it, its light, and its part of a sphere."""

from aognet.studio.database import Row


def shown_file(upload: str) -> str:
    """Return the name of the picture of an upload, which all have."""
    return f"{upload}.png"


def light_file(upload: str) -> str:
    """Return the name of the light of an upload, which those of EXR and Radiance files have."""
    return f"{upload}.exr"


def placed_file(upload: str) -> str:
    """Return the name of the picture that says which part of a panorama it is."""
    return f"{upload}.placed.png"


def painted_file(row: Row) -> str:
    """Return the name of what jobs are painted from: light where it is light, a part with its place."""
    if row["is_light"]:
        return light_file(row["id"])
    return row["file"] if row["area"] is None else placed_file(row["id"])
