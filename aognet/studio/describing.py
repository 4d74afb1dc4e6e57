"""Words for uploaded images, by the captioner of the first model's configuration."""

import logging
from threading import Lock

from aognet.errors import UserError, first_line
from aognet.request import AUTO, Photo, Request
from aognet.studio.jobs.asking import upload_path
from aognet.studio.problems import ProblemError
from aognet.studio.service import Service

log = logging.getLogger(__name__)
_TURN = Lock()  # one network in memory at a time


def described(service: Service, upload: str) -> str:
    """Return a caption of an upload.

    :raises ProblemError: if the captioner is not there.
    """
    from aognet.generate.auto_prompt import with_prompts

    generator = service.models.generator(service.models.named(None))
    with _TURN, service.storage.desk() as desk:
        path = upload_path(upload, desk, service.records)
        request = Request(prompt=AUTO, photos=[Photo(image=str(path), fov=90.0)], height=64)
        try:
            return with_prompts([request], generator.captioner, generator.device, lambda request: None)[0].prompt
        except (UserError, OSError) as error:
            log.warning("no captions: %s", error)
            raise ProblemError(503, f"the captioner cannot be read: {first_line(error)[:200]}") from error
