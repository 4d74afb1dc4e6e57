"""The results of runs: written when one is finished, read when it is asked for again."""

import logging

from aognet.canvas import Canvas
from aognet.generate.expander import expanded
from aognet.generate.journal import Journal
from aognet.generate.result_files import write_results
from aognet.generate.run_files import result_file
from aognet.generate.view_journal import ViewJournal
from aognet.geometry.cubemap import faces_of
from aognet.io.panorama_files import read_panorama
from aognet.result import Result

log = logging.getLogger(__name__)


def show_canvas(journal: ViewJournal, canvas: Canvas | None = None) -> Result:
    """Write the results of a run's ``canvas``, which is used up. None: those of what is recorded, if they are
    missing.
    """
    there, canvas = canvas is None and journal.shown, journal.canvas() if canvas is None else canvas
    finished, image = canvas.unknown_pixels == 0, canvas.image[0]
    faces = faces_of(canvas.image, canvas.height // 2)[0] if journal.has_faces else None
    if canvas.encoding == "srgb":  # in place: at 8192 rows another copy takes gigabytes
        for values in (image, *([] if faces is None else [faces])):
            values.add_(1).div_(2)
    prompt, camera = journal.asked.request.prompt, journal.photo_camera
    result = Result(image, canvas.encoding, prompt, cubemap=faces, camera=camera)
    return result if there else show(journal, result, finished)


def show(journal: Journal, result: Result, finished: bool = True) -> Result:
    """Write the results of a run, and record that they belong to its steps. Return them."""
    result = expanded(journal, result)
    write_results(journal.folder, result, journal.has_faces, journal.meshes)
    journal.finished = finished
    journal.settle()
    log.info("wrote %s (look around in %s)", journal.folder / "result.png", journal.folder / "viewer.html")
    return result


def read_result(journal: Journal) -> Result:
    """Read the result of a finished run from its file: linear light as it was made, sRGB in 256 levels."""
    panorama, encoding = read_panorama(journal.folder / result_file(journal.encoding))
    return Result(panorama, encoding, journal.asked.request.prompt, camera=journal.photo_camera)
