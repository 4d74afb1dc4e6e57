"""Where lamps hang in a room."""

import numpy as np

from aognet.scenes.indoors.furnisher import Furnisher
from aognet.scenes.indoors.lamps import chandelier, flush, panel, pendant
from aognet.scenes.indoors.palette import NEUTRAL, WARM


def _open_above(f: Furnisher, place: np.ndarray) -> bool:
    """Return whether a skylight is above a place on the plan."""
    shell = f.room.shell
    point = np.array([place[0], shell.ceiling_at(float(place[0]), float(place[1])), place[1]])
    for opening in f.room.openings:
        if opening.face > shell.floor_face:
            frame = f.room.frames[opening.face]
            a, b = np.array([(point - frame.origin) @ frame.u]), np.array([(point - frame.origin) @ frame.v])
            if opening.inside(a, b)[0] > -0.4:
                return True
    return False


def light_up(f: Furnisher, style: str, on: float) -> None:
    """Hang lamps of one style under the ceiling. ``on`` scales their light."""
    shell, rng = f.room.shell, f.rng
    middle = (shell.low + shell.high) / 2
    on = max(on, 0.01)
    for _ in range(30):
        if shell.inside(float(middle[0]), float(middle[1]), 0.4) and not _open_above(f, middle):
            break
        middle = rng.uniform(shell.low, shell.high)
    ceiling = shell.ceiling_at(*middle) - shell.floor
    if style == "panels":
        _panels(f, 380 * on)
    elif style == "chandelier" and ceiling > 2.9:
        for place in [middle] if np.ptp([shell.low, shell.high]) < 12 else [middle * 1.7, middle * 0.3]:
            if ceiling < 5 and np.hypot(*place) < 1.4:
                continue
            high = shell.ceiling_at(*place) - shell.floor
            f.add(chandelier(WARM, 500 * on, high, min(high - 0.9, max(2.4, high * 0.55))), place)
    elif style in ("pendants", "row"):
        _row(f, on, middle)
    elif ceiling > 2.55 and rng.random() < 0.6 and np.hypot(*middle) > 0.4:
        f.add(pendant(WARM, 260 * on, ceiling, max(2.0, ceiling - 0.9), float(rng.uniform(0.14, 0.22))), middle)
    elif shell.ceiling == "flat":
        f.add(flush(0.5 * (WARM + NEUTRAL), 260 * on, ceiling), middle)
    else:
        f.add(pendant(WARM, 260 * on, ceiling, max(1.95, ceiling - 0.5), 0.14), middle)
    if on > 0.5 and not f.room.lamps:
        f.add(pendant(WARM, 260 * on, ceiling, ceiling - 0.4, 0.14), middle)


def _row(f: Furnisher, on: float, middle: np.ndarray) -> None:
    shell = f.room.shell
    size = shell.high - shell.low
    along = np.eye(2)[int(np.argmax(size))]
    count = max(2, int(size.max() / 2.8))
    for number in range(count):
        place = middle + along * size.max() * ((number + 0.5) / count - 0.5)
        high = shell.ceiling_at(*place) - shell.floor
        if shell.inside(*place, margin=0.5) and np.hypot(*place) > 0.5 and not _open_above(f, place):
            f.add(pendant(WARM, 300 * on, high, min(high - 0.5, max(2.1, high * 0.62)), 0.2), place)


def _panels(f: Furnisher, lux: float) -> None:
    shell = f.room.shell
    count = np.maximum(1, np.rint((shell.high - shell.low) / 2.6)).astype(int)
    count = np.minimum(count, 5)
    for i in range(count[0]):
        for j in range(count[1]):
            place = shell.low + (shell.high - shell.low) * (np.array([i, j]) + 0.5) / count
            if shell.inside(*place, margin=0.35) and not _open_above(f, place):
                f.add(panel(NEUTRAL, lux, shell.ceiling_at(*place) - shell.floor), place)
