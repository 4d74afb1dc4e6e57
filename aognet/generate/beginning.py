"""What a run begins with: the inputs of its request, or the run that is in its folder already."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from aognet.errors import Setting, UserError
from aognet.generate.asked import Asked
from aognet.generate.auto_depth import estimated_depth
from aognet.generate.expander import Expander, renew
from aognet.generate.journal import VERSION, Journal
from aognet.generate.result_files import write_truth
from aognet.generate.run_files import DEPTH, outputs_of, truth_file
from aognet.generate.start import Start, read_start
from aognet.io.depth_maps import write_depth
from aognet.io.value_range import Encoding
from aognet.perception.depth_network import DepthNetwork
from aognet.request import AUTO, Request

Estimator = Callable[[], DepthNetwork]
"""Gives the network that estimates depths. It is asked only where one is to be estimated."""


class UnreadableInput(UserError):
    """An input file cannot be used. The others of a dataset still can."""


def read_inputs(request: Request, encoding: Encoding) -> Start:
    """Return what the files of a resolved request show.

    :raises UnreadableInput: naming the file.
    """
    try:
        return read_start(request, request.rows, encoding)
    except UserError as error:
        raise error.as_kind(UnreadableInput) from error


def with_depth(start: Start, request: Request, estimator: Estimator) -> Start:
    """Return what is known with a depth that is estimated from it, if the request wants that.

    :raises UnreadableInput: if none can be estimated from it.
    """
    if request.depth != AUTO:
        return start
    network = estimator()
    try:
        return replace(start, depth=estimated_depth(start, network))
    except UserError as error:
        raise error.as_kind(UnreadableInput) from error


def continuable(journal: Journal | None, asked: Asked) -> Journal | None:
    """Return the existing run if it can be continued. Raises UserError if it was asked for something else."""
    if journal is None or (journal.version == 1 and not journal.entries):  # nothing to lose, much to note
        return None
    if different := journal.differences(asked):
        said = f"{journal.folder}: holds a run with other settings ({different[0]}); choose another "
        raise UserError(said, Setting("out_dir"), " or ", Setting("name"), ", or add ", Setting("overwrite"))
    if journal.version < VERSION:  # the same, as it is noted today
        journal.asked = replace(asked, camera=journal.photo_camera)
    return journal


def complete(
    journal: Journal,
    request: Request,
    faces: bool,
    meshes: Sequence[str],
    expanded: Sequence[str],
    expander: Expander | None,
    estimator: Estimator,
) -> None:
    """Complete what a killed process left half done of a run, and write what its beginning would have written.

    ``expanded``: the files that the ``expander`` makes.
    """
    journal.clear()
    has_truth, has_depth = request.truth is not None, request.depth is not None
    journal.claim(outputs_of(journal.encoding, has_truth, faces, has_depth, meshes, expanded))
    if expander is not None:
        renew(journal, expander)
    if has_truth and not (journal.folder / truth_file(journal.encoding)).is_file():
        truth = read_inputs(request, journal.encoding).truth
        assert truth is not None, "the request names one"
        write_truth(journal.folder, truth)
    if has_depth and not (journal.folder / DEPTH).is_file():
        depth = with_depth(read_inputs(request, journal.encoding), request, estimator).depth
        assert depth is not None, "the request names one"
        write_depth(depth, journal.folder / DEPTH)
