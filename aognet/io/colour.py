"""Conversion of colours with other primaries, white points and transfer functions to sRGB.

Sources: SMPTE RP 177 (primaries to XYZ), Lam's Bradford transform as in ICC.1:2022 Annex E (white points), ITU-T H.273
(code points of PNG's cICP chunk), PNG specification, third edition (section 13.13: how gAMA and cHRM are used).
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from aognet.io.srgb import decode_srgb, encode_srgb

log = logging.getLogger(__name__)

D65, D50 = (0.3127, 0.3290), (0.34567, 0.35850)
REC709 = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *D65)
DISPLAY_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65)
ADOBE_RGB = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *D65)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_MAX_LIGHT = 1e37  # weighed and added, it is still a float32
_ROWS = 1 << 18  # values at a time, so that whole panoramas need no float copies of themselves

Curve = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ColourSpace:
    """A colour space: ``curves`` from values in [0, 1] to linear light, one for each channel, and the ``matrix`` from
    there to linear sRGB.
    """

    curves: tuple[Curve, Curve, Curve]
    matrix: Float[np.ndarray, "3 3"]

    def is_srgb(self) -> bool:
        """Return whether the conversion changes no 8-bit value."""
        values = np.linspace(0, 1, 256)
        close = all(np.abs(encode_srgb(np.asarray(curve(values))) - values).max() < 0.5 / 255 for curve in self.curves)
        return close and bool(np.abs(self.matrix - np.eye(3)).max() < 1.5e-3)

    def to_srgb(self, levels: UInt8[np.ndarray, "*s"] | UInt16[np.ndarray, "*s"]) -> np.ndarray:
        """Convert levels [rows, columns, 1 or 3] to levels of sRGB, clipped to its gamut. Grey stays grey.

        Grey uses the curve of the first channel. The primaries of every space add up to its white.
        """
        most = np.iinfo(levels.dtype).max
        values = np.linspace(0, 1, most + 1)
        grey = levels.shape[-1] == 1
        tables = [np.clip(np.nan_to_num(curve(values)), 0, 1) for curve in self.curves[: 1 if grey else 3]]
        tables = [table.astype(np.float32) for table in tables]
        if grey:
            return _levels(tables[0], most, levels.dtype)[levels]
        found, matrix = np.empty_like(levels), self.matrix.T.astype(np.float32)
        rows = max(_ROWS // (levels.shape[1] * 3), 1)
        for top in range(0, len(levels), rows):
            some = levels[top : top + rows]
            light = np.stack([table[some[..., number]] for number, table in enumerate(tables)], -1) @ matrix
            found[top : top + rows] = _levels(light, most, levels.dtype)
        return found


def _levels(light: np.ndarray, most: int, dtype: np.dtype) -> np.ndarray:
    return np.rint(np.clip(encode_srgb(light), 0, 1) * np.float32(most)).astype(dtype)


def to_xyz(chromaticities: Sequence[float]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB to CIE XYZ (white has Y = 1), from x, y of red, green, blue and white.

    :raises ValueError: for chromaticities that no three lights can have.
    """
    x, y = values = np.array(chromaticities, np.float64).reshape(4, 2).T
    named = tuple(round(float(value), 4) for value in values.T.flat)
    if not np.isfinite(values).all() or np.abs(values).max() > 10 or y[3] < 0.01:
        raise ValueError(f"no primaries and white point: {named}")
    xyz = np.stack([x, y, 1 - x - y])
    primaries, white = xyz[:, :3], xyz[:, 3] / y[3]
    if np.linalg.cond(primaries) > 1e3:
        raise ValueError(f"primaries that lie on a line: {named}")
    return primaries * np.linalg.solve(primaries, white)


def adaptation(white: Sequence[float], other: Sequence[float]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from XYZ under one white point to XYZ under another (x, y each), by Bradford's cones."""
    cones = [_BRADFORD @ np.array([x / y, 1, (1 - x - y) / y]) for x, y in (white, other)]
    return np.linalg.solve(_BRADFORD, (cones[1] / cones[0])[:, None] * _BRADFORD)


def to_rec709(chromaticities: Sequence[float]) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from linear RGB of these primaries to linear RGB of Rec. 709 (the primaries of sRGB), white to
    white.

    :raises ValueError: as `to_xyz`.
    """
    matrix = to_xyz(chromaticities)
    return np.linalg.solve(to_xyz(REC709), adaptation(chromaticities[6:], D65) @ matrix)


def known_primaries(chromaticities: Sequence[float], what: str) -> Sequence[float]:
    """Return the chromaticities, or those of Rec. 709 with a warning if they are impossible. ``what`` names their
    source.
    """
    try:
        to_rec709(chromaticities)
        return chromaticities
    except ValueError as error:
        log.warning("%s are left aside (%s)", what, error)
        return REC709


def light_to_rec709(light: Float[np.ndarray, "height width 3"], chromaticities: Sequence[float]) -> np.ndarray:
    """Convert linear light of these primaries to Rec. 709. If they are the same, return it unchanged, else as float32.

    Infinite light becomes the largest finite value.

    :raises ValueError: as `to_xyz`.
    """
    matrix = to_rec709(chromaticities).T.astype(np.float32)
    if np.abs(matrix - np.eye(3)).max() < 1e-3:  # primaries of few digits
        return light
    found = np.empty(light.shape, np.float32)
    rows = max(_ROWS // (light.shape[1] * 3), 1)
    for top in range(0, len(light), rows):
        some = np.clip(light[top : top + rows].astype(np.float32), -_MAX_LIGHT, _MAX_LIGHT)
        np.matmul(some, matrix, out=found[top : top + rows])
    return found


def pcs_to_rec709() -> Float[np.ndarray, "3 3"]:
    """Return the matrix from XYZ of an ICC profile's connection space, whose white is D50, to linear Rec. 709."""
    return np.linalg.solve(to_xyz(REC709), adaptation(D50, D65))


def gamma_curve(exponent: float) -> Curve:
    """Return the curve of light as a power of the value. The usual exponent 2.2 of old files means the sRGB curve."""
    return decode_srgb if abs(exponent - 2.2) < 0.02 else lambda values: np.asarray(values) ** exponent


def space(chromaticities: Sequence[float], curve: Curve) -> ColourSpace:
    """Return the colour space of these primaries with one curve for all channels.

    :raises ValueError: as `to_xyz`.
    """
    return ColourSpace((curve, curve, curve), to_rec709(chromaticities))


def _rec709_curve(values: np.ndarray) -> np.ndarray:
    """Return the light of a value by the camera's curve of ITU-R BT.709 and BT.2020."""
    values = np.asarray(values)
    return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def coded_space(primaries: int, transfer: int) -> ColourSpace:
    """Return the colour space of code points of ITU-T H.273.

    :raises ValueError: naming code points that do not mean display-referred colours of the usual range.
    """
    known = {1: REC709, 9: REC2020, 12: DISPLAY_P3, 11: (*DISPLAY_P3[:6], 0.314, 0.351)}
    known |= {5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65), 6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07, *D65)}
    curves: dict[int, Curve] = {4: gamma_curve(2.2), 5: gamma_curve(2.8), 8: np.asarray, 13: decode_srgb}
    curves |= dict.fromkeys((1, 6, 14, 15), _rec709_curve)
    if primaries not in known or transfer not in curves:
        name = {16: " (PQ, of HDR)", 18: " (HLG, of HDR)"}.get(transfer, "")
        raise ValueError(f"primaries {primaries} with transfer function {transfer}{name}")
    return space(known[primaries], curves[transfer])


def tagged_space(gamma: float | None, chromaticities: Sequence[float] | None) -> ColourSpace:
    """Return the colour space of a PNG's gAMA (as the exponent of its encoding) and cHRM (white first); None without
    any.

    :raises ValueError: for values that no colour space has.
    """
    if gamma is not None and not (math.isfinite(gamma) and 0.1 <= gamma <= 10):
        raise ValueError(f"gamma {gamma}")
    order = REC709 if chromaticities is None else (*chromaticities[2:8], *chromaticities[:2])
    return space(order, decode_srgb if gamma is None else gamma_curve(1 / gamma))
