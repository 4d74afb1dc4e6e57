"""What a job would take, before it is submitted."""

import statistics
from typing import Any

from aognet.studio.ids import new_id
from aognet.studio.jobs.asking import request_of, resolved
from aognet.studio.schemas import Cost, JobBody
from aognet.studio.service import Service
from aognet.studio.submitting import model_of, parent_of


def cost(service: Service, body: JobBody) -> Cost:
    """Return the number of views of a job, and about how long it takes where earlier jobs tell.

    :raises UserError: for what cannot be painted.
    """
    from aognet.diffusion.inpaint import frame_yaw
    from aognet.generate.start import read_start
    from aognet.geometry.plans import make_plan

    parent, job = parent_of(service, body), new_id()
    model = model_of(service, body, parent)
    if body.kind == "style":
        return Cost(views=None, seconds_estimate=None)
    generator = service.models.generator(model)
    with service.storage.desk() as desk:
        request = resolved(generator, request_of(body, job, parent, desk, service.records))
        views, steps = None, request.settings.get("sampler", {}).get("steps")
        if generator.paints_views:
            start = read_start(request, request.rows, generator.method.encoding)
            yaw = frame_yaw(start.camera, request.rows)
            settings: Any = generator.settings_of(request)
            views = len(make_plan(settings.plan, start.canvas.known[0, 0], yaw).steps)
            views -= body.view or 0 if body.kind == "fork" else 0
    return Cost(views=views, seconds_estimate=_seconds(service, model, views, steps, request.rows))


def _seconds(service: Service, model: str, views: int | None, steps: int | None, rows: int) -> float | None:
    """Return the usual time, by views and steps where jobs have them, else by that of jobs of the same height."""
    paces = []
    for seconds, about in service.jobs.paces(model):
        if views is None:
            paces += [seconds] if about["height"] == rows and about.get("steps") == steps else []
        elif about["views"]:
            paces.append(seconds / about["views"] / (about.get("steps") or 1) * views * (steps or 1))
    return round(statistics.median(paces), 1) if paces else None
