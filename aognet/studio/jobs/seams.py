"""The pipeline of jobs of the kind ``seams``: words, or a photograph that is put into words; a panorama of them; the
cube seams in it; the same panorama with the seams drawn anew.

The first panorama is any model's: that of Text2Light where there is one. The second model inpaints.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from aognet.callbacks import Listener
from aognet.errors import UserError
from aognet.geometry.strokes import stroke_mask
from aognet.io.images import load_image, save_image
from aognet.request import AUTO, Photo, Request
from aognet.studio.jobs.asking import NAME, upload_path
from aognet.studio.jobs.cube_seams import seam_strokes
from aognet.studio.models import Models
from aognet.studio.records import Records
from aognet.studio.schemas import JobBody
from aognet.studio.storage import Desk

METHOD = "text2light"
BASE, SEAMS = "base", "seams.png"
"""What the first panorama and the mask are called in a job's folder."""


def base_model(body: JobBody, models: Models) -> str:
    """Return the model of the first panorama. Raises UserError for an unknown name."""
    if body.base is not None:
        return models.named(body.base)
    of_method = [one for one in models.entries if models.generator(one).method.name == METHOD]
    return of_method[0] if of_method else models.named(None)


def base_request(body: JobBody, desk: Desk, records: Records) -> Request:
    """Return what the first model is asked. A photograph is described if there are no words.

    :raises UserError: if there is neither.
    """
    if body.photos and not body.prompt:
        photos = [Photo(image=str(upload_path(one.upload, desk, records)), fov=90.0) for one in body.photos]
        return Request(prompt=AUTO, photos=photos, seed=body.seed, name=NAME)
    if not body.prompt:
        raise UserError("must have words, or photos a photograph", key="prompt", value=body.prompt)
    return Request(prompt=body.prompt, negative=body.negative, seed=body.seed, name=NAME)


@dataclass(frozen=True)
class SeamPipeline:
    """Makes the first panorama and the mask of a job in its folder. What is there already stays."""

    models: Models
    desk: Desk
    records: Records

    def prepare(self, body: JobBody, folder: Path, listener: Listener) -> Sequence[float]:
        """Paint the first panorama, and write where its seams are. Return how much each masked edge shows.

        :raises UserError: as generators do.
        """
        name = base_model(body, self.models)
        self.models.forget_others(name)
        generator = self.models.generator(name)
        asked = base_request(body, self.desk, self.records)
        with ExitStack() as held:
            (prompted,) = generator.prompted([generator.resolved(asked)], [folder / BASE])
            prompted = replace(prompted, photos=[])  # they were for the words alone
            run = generator.begin(prompted, folder / BASE, held)
            if not run.journal.shown:
                generator.make([run], listener)
            (folder / "words.txt").write_text(prompted.prompt, encoding="utf-8")
        picture = load_image(folder / BASE / "result.png")
        strokes, steps = seam_strokes(picture[None], body.seams, body.seam_degrees)
        mask = stroke_mask(strokes, picture.shape[-2])
        save_image(mask.float().mul(2).sub(1).expand(3, -1, -1), folder / SEAMS)
        return steps

    def redraw(self, body: JobBody, folder: Path) -> Request:
        """Return what the second model is asked, once `prepare` has ended."""
        words = (folder / "words.txt").read_text(encoding="utf-8")
        picture = folder / BASE / "result.png"
        rows = load_image(picture).shape[-2]
        return Request(
            prompt=words,
            negative=body.negative,
            seed=body.seed,
            height=rows,
            panorama=str(picture),
            mask=str(folder / SEAMS),
            name=NAME,
            settings=dict(body.settings),
        )
