"""OmniFID: Fréchet distance on cubemaps, so that faults above and below weigh as much as those around.

Christensen et al., "Geometry Fidelity for Spherical Images", 2024 (arXiv 2407.18207), section "OmniFID": 1/3 (FID of up
+ FID of down + FID of the lateral views). The bar over the FID of the lateral views can be read in two ways, which give
different numbers: as one FID of their pooled features, or as the mean of their four FIDs.
"""

from collections.abc import Mapping
from functools import reduce

from aognet.geometry.cubemap import FACES, LATERAL
from aognet.metrics.frechet import Moments, frechet_distance


def omnifid_pooled(generated: Mapping[str, Moments], reference: Mapping[str, Moments]) -> float:
    """Return OmniFID with the pooled lateral term: one distance of the features of all four lateral faces. Keys:
    ``FACES``.
    """
    _check(generated, reference)
    around = (reduce(Moments.merged, (faces[face] for face in LATERAL)) for faces in (generated, reference))
    poles = _distance("up", generated, reference) + _distance("down", generated, reference)
    return (poles + frechet_distance(*around)) / 3


def omnifid_by_face(generated: Mapping[str, Moments], reference: Mapping[str, Moments]) -> float:
    """Return OmniFID with the lateral term by face: the mean of four distances, each to the same face. Keys: ``FACES``.

    Turning all generated panoramas by a quarter turn changes this value, but not ``omnifid_pooled``.
    """
    _check(generated, reference)
    distances = {face: _distance(face, generated, reference) for face in FACES}
    around = sum(distances[face] for face in LATERAL) / len(LATERAL)
    return (distances["up"] + distances["down"] + around) / 3


def _distance(face: str, generated: Mapping[str, Moments], reference: Mapping[str, Moments]) -> float:
    return frechet_distance(generated[face], reference[face])


def _check(*sets: Mapping[str, Moments]) -> None:
    for faces in sets:
        if set(faces) != set(FACES):
            raise ValueError(f"OmniFID needs the faces {', '.join(FACES)}, got {', '.join(faces)}")
