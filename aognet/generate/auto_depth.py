"""The depth ``auto``: estimated from what the inputs of a request show."""

from aognet.errors import UserError
from aognet.generate.start import Start
from aognet.io.depth_maps import DepthMap
from aognet.perception.depth_network import DepthNetwork
from aognet.perception.depth_views import estimate_panorama, surrounding_cameras
from aognet.request import AUTO


def estimated_depth(start: Start, network: DepthNetwork) -> DepthMap:
    """Return the depth of what is known at the beginning: of photographs by their own views, else of views all around.

    Where nothing is known, no depth is.

    :raises UserError: if the network sees none.
    """
    cameras = surrounding_cameras(network.size)
    if start.cameras:
        sides = [network.sides(camera.height, camera.width) for camera in start.cameras]
        cameras = [camera.sized(columns, rows) for camera, (rows, columns) in zip(start.cameras, sides, strict=True)]
    depth = estimate_panorama(start.canvas, cameras, network)
    if not depth.known.any() or depth.nearness[depth.known].max() == 0:
        raise UserError(f"is estimated with {network.config.model}, which sees no depth here", key="depth", value=AUTO)
    return depth
