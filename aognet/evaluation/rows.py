"""How a measure is called in the report, and the row that shows its number."""

from aognet.evaluation.pictures import cameras_of
from aognet.evaluation.players import Player
from aognet.evaluation.protocol import MeasureConfig, Protocol, picture_names
from aognet.evaluation.results import Value

SECTIONS = {
    "frechet": "Distribution",
    "kernel": "Distribution",
    "inception_score": "Distribution",
    "omnifid": "Distribution",
    "clip_score": "Text",
    "psnr": "Pairs",
    "ssim": "Pairs",
    "lpips": "Pairs",
    "image_similarity": "Pairs",
}
SHAPE = {
    "discontinuity": ("Discontinuity Score", "lower"),
    "wrap_gradient": ("Gradient ratio across the wrap", "near 1"),
    "pole_gradient": ("Gradient ratio across the poles", "near 1"),
    "cube_edges": ("Gradient ratio across the cube's edges", "near 1"),
    "unknown": ("Unknown share of the sphere", "lower"),
}
PAIRS = {"psnr": ("PSNR (dB)", "higher"), "ssim": ("SSIM", "higher"), "lpips": ("LPIPS", "lower")}
REGIONS = {"whole": "whole panorama", "photo": "footprint of the photograph", "outside": "outside the photograph"}


def title_of(measure: MeasureConfig, protocol: Protocol, player: Player | None) -> str:
    """The measure's name, such as FID only where its features are those of FID."""
    if player is None or measure.kind in PAIRS or measure.kind in SHAPE:
        return (PAIRS | SHAPE)[measure.kind][0]
    if measure.kind == "omnifid":
        return f"{player.omnifid_title()}, {'by face' if measure.by_face else 'pooled'}"
    if measure.kind == "clip_score":
        return "CLIP score, captions by direction" if measure.views else "CLIP score"
    if measure.kind == "image_similarity":
        return "CLIP similarity to the reference"
    titles = {
        "frechet": player.frechet_title,
        "kernel": player.kernel_title,
        "inception_score": player.score_title,
    }
    return ("Seam-" if protocol.pictures[measure.pictures].kind == "seam" else "") + titles[measure.kind]()


def row(
    measure: MeasureConfig,
    protocol: Protocol,
    player: Player | None,
    value: float | None,
    deviation: float | None = None,
    better: str = "",
    note: str = "",
    counts: str = "",
) -> Value:
    """A line of the table; ``value`` None: not measured, and ``note`` says why."""
    if measure.published:
        stands_in = player and player.label == "embedded"
        published = f"{'in place of the published' if stands_in else 'published as'} {measure.published!r}"
        note = "; ".join(filter(None, [published, note]))
    return Value(
        key=measure.key,
        title=title_of(measure, protocol, player),
        pictures=_pictures_title(measure, protocol),
        section=SECTIONS.get(measure.kind, "Seams and shape"),
        value=value,
        deviation=deviation,
        better=better,
        network=player.short if player else "",
        counts=counts,
        note=note,
    )


def _pictures_title(measure: MeasureConfig, protocol: Protocol) -> str:
    if measure.kind in PAIRS and not measure.pictures:
        return REGIONS[measure.region]
    if measure.kind == "omnifid":
        return "six cube faces"
    return protocol.pictures[measure.pictures].title if measure.pictures else "panorama"


def pictures_of(measure: MeasureConfig, protocol: Protocol) -> int:
    """How many pictures of a panorama a measure looks at."""
    configs = [protocol.pictures[name] for name in picture_names(measure)]
    return sum(1 if config.kind == "panorama" else len(cameras_of(config)) for config in configs)
