"""How a denoising is recorded while it runs, so that a killed one goes on to the same bits."""

import time
from collections.abc import Callable

from aognet.diffusion.sampling.moments import Moment, unfit
from aognet.methods.generative import Steps

RECORD_EVERY_SECONDS = 30.0
DONE, MEMORY = "done", "memory"


class Recording:
    """Keeps moments in a run's ``steps``, now and then: the last one alone, so that the disk does not fill."""

    def __init__(self, steps: Steps, behind: int = 0):
        """Go on from the last recorded moment, if there is one behind so many steps that stay.

        :raises UserError: if what is recorded cannot be read or is no moment.
        """
        self._steps, self._recorded = steps, time.monotonic()
        self._latest: Callable[[], Moment] | None = None
        self.begin: Moment | None = None
        recorded = steps.recorded()
        if len(recorded) > behind:
            note, tensors = recorded[-1].note, steps.step(len(recorded) - 1)
            done, memory = note.get(DONE), note.get(MEMORY)
            if not isinstance(done, int) or not isinstance(memory, dict):
                raise unfit("it is no step of a denoising")
            self.begin = Moment(done, tensors, memory)

    def passed(self, moment: Callable[[], Moment]) -> None:
        """Record where the denoising stands, if that is due."""
        self._latest = moment
        if time.monotonic() - self._recorded >= RECORD_EVERY_SECONDS:
            self.record()

    def record(self) -> None:
        """Record where the denoising stands, unless it is recorded."""
        if self._latest is None:
            return
        moment, self._latest = self._latest(), None
        self._steps.record(moment.tensors, {DONE: moment.done, MEMORY: moment.memory}, passing=True)
        self._recorded = time.monotonic()
