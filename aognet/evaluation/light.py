"""What is measured of panoramas that hold linear light: EXR and HDR files."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from aognet.evaluation.sets import PanoramaFile
from aognet.hdr.three_spheres import sphere_errors
from aognet.io.formats import LIGHT_SUFFIXES
from aognet.io.panorama_files import read_panorama
from aognet.metrics.colour_angle import colour_angle
from aognet.metrics.dynamic_range import brightest_share, peak_to_mean, stops
from aognet.metrics.irradiance import irradiance
from aognet.metrics.log_luminance import log_luminance_error
from aognet.metrics.luminance import luminance
from aognet.metrics.normalised_rmse import normalised_rmse
from aognet.metrics.peak_direction import peak_angle
from aognet.metrics.pu21 import pu21_psnr
from aognet.metrics.si_rmse import si_rmse

PAIRED: dict[str, Callable[..., Tensor]] = {
    "si_rmse": si_rmse,
    "colour_angle": colour_angle,
    "normalised_rmse": normalised_rmse,
    "log_luminance": log_luminance_error,
    "pu21_psnr": pu21_psnr,
}
Light = Float[Tensor, "1 3 height width"]
Spheres = Float[Tensor, "3 3 size size"]


def is_light(item: PanoramaFile) -> bool:
    """Return whether a file holds linear light."""
    return item.path.suffix.lower() in LIGHT_SUFFIXES


def read_light_panorama(item: PanoramaFile, height: int) -> Light:
    """Return the light of a file at ``height`` rows.

    :raises UserError: naming the file that cannot be read.
    """
    return read_panorama(item.path, height)[0][None]


def light_scores(light: Light) -> dict[str, Tensor]:
    """Return the scores of one panorama, by kind of measure. All are of luminance; irradiance is that from above."""
    return {
        "dynamic_range": stops(light),
        "peak_to_mean": peak_to_mean(light),
        "brightest_share": brightest_share(light),
        "irradiance": luminance(irradiance(light)[..., None, None])[:, 0, 0],
    }


def light_pair_scores(generated: tuple[Light, Spheres], reference: tuple[Light, Spheres]) -> dict[str, Tensor]:
    """Return the scores of a pair of panoramas and of the spheres under each.

    Their keys are ``kind/whole``, and ``kind/whole/solid_angle`` for pixels that count by solid angle.
    """
    (light, spheres), (truth, true_spheres) = generated, reference
    scores = {"peak_angle/whole": peak_angle(light, truth)}
    for kind, metric in PAIRED.items():
        scores[f"{kind}/whole"] = metric(light, truth)
        scores[f"{kind}/whole/solid_angle"] = metric(light, truth, by_solid_angle=True)
    for measure, errors in sphere_errors(spheres, true_spheres).items():
        scores |= {f"{material}_{measure}/whole": light.new_tensor([error]) for material, error in errors.items()}
    return scores
