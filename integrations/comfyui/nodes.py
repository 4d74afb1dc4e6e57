"""The nodes, in ComfyUI's V3 schema. What they do is in ``painters.py`` and in the package ``aognet``."""

from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io

from aognet.callbacks import Cancelled
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import faces_of, panorama_of
from aognet.geometry.perspective import look

from . import host
from .painters import TOKEN, ModelHere, Order, Painter, StudioThere, cap_mask, check_panoramas, each, fitting, painted

CATEGORY = "360 panorama"
MAX_SEED = 2**63 - 1
PainterType = io.Custom("AOGNET_PAINTER")
SUFFIXES = ("png", "jpg", "exr", "hdr")
PICTURES = ("png", "jpg")


def angle(name: str, default: float = 0.0, least: float = -180.0, most: float = 180.0) -> Any:
    """Return an input of degrees."""
    return io.Float.Input(name, default=default, min=least, max=most, step=0.5)


def sampling() -> list[Any]:
    """Return the inputs that both nodes have which paint."""
    return [
        io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
        io.Int.Input("steps", default=0, min=0, max=1000, tooltip="0: as the model is used otherwise"),
        io.Float.Input("guidance", default=-1.0, min=-1.0, max=30.0, step=0.1, tooltip="-1: as the model is used"),
        io.String.Input("negative", default="", multiline=True, optional=True),
    ]


def run(painter: Painter, orders: list[Order]) -> io.NodeOutput:
    """Return the panoramas of orders. A press of cancel ends it as ComfyUI expects."""
    try:
        return io.NodeOutput(painted(painter, orders, host.listener()))
    except Cancelled as error:
        raise host.interrupted(error) from error


class LoadPanoramaModel(io.ComfyNode):
    """A model in ComfyUI's own process."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetLoadModel",
            display_name="Load Panorama Model",
            category=CATEGORY,
            description="A model in this process. Empty: the small model that comes with the package.",
            inputs=[
                io.String.Input("checkpoint", default="", tooltip="folder or hub id; empty: the small model"),
                io.String.Input("config", default="", tooltip="a YAML file as inference.py reads it; may be empty"),
                io.Combo.Input("device", options=["auto", "cpu", "cuda"], default="auto"),
            ],
            outputs=[PainterType.Output("painter")],
        )

    @classmethod
    def execute(cls, checkpoint: str, config: str, device: str) -> io.NodeOutput:
        return io.NodeOutput(ModelHere(checkpoint.strip(), config.strip(), device))


class ConnectStudio(io.ComfyNode):
    """A studio, here or on another machine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetConnectStudio",
            display_name="Connect Panorama Studio",
            category=CATEGORY,
            description=f"A studio that paints (`python studio.py`). Its token, if any: {TOKEN} in the environment.",
            inputs=[
                io.String.Input("address", default=StudioThere.address),
                io.String.Input("model", default="", tooltip="its name in the studio; empty: the first"),
            ],
            outputs=[PainterType.Output("painter")],
        )

    @classmethod
    def execute(cls, address: str, model: str) -> io.NodeOutput:
        return io.NodeOutput(StudioThere(address.strip(), model.strip()))


class GeneratePanorama(io.ComfyNode):
    """Words, and a photograph if there is one, become a panorama."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetGenerate",
            display_name="Generate Panorama",
            category=CATEGORY,
            description="Paints a 360-degree panorama of words, and of a photograph that it continues.",
            inputs=[
                PainterType.Input("painter"),
                io.String.Input("prompt", default="", multiline=True),
                *sampling(),
                io.Int.Input("height", default=0, min=0, max=8192, step=32, tooltip="rows; 0: the model's"),
                io.Image.Input("photo", optional=True),
                angle("yaw"),
                angle("pitch", 0.0, -90.0, 90.0),
                angle("roll"),
                angle("fov", 90.0, 1.0, 179.0),
            ],
            outputs=[io.Image.Output(display_name="panorama")],
        )

    @classmethod
    def execute(cls, painter: Painter, prompt: str, photo: torch.Tensor | None = None, **asked: Any) -> io.NodeOutput:
        photos = [None] if photo is None else list(photo)
        return run(painter, [Order(prompt, photo=one, **asked) for one in photos])


class RepaintPanorama(io.ComfyNode):
    """A part of a panorama is painted again: a direction, or a mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetRepaint",
            display_name="Repaint Panorama",
            category=CATEGORY,
            description="Paints a part of a panorama again: around a direction, or where a mask is white.",
            inputs=[
                PainterType.Input("painter"),
                io.Image.Input("panorama"),
                io.String.Input("prompt", default="", multiline=True),
                *sampling(),
                angle("yaw"),
                angle("pitch", 0.0, -90.0, 90.0),
                angle("radius", 30.0, 1.0, 180.0),
                io.Mask.Input("mask", optional=True, tooltip="in place of the direction"),
            ],
            outputs=[io.Image.Output(display_name="panorama")],
        )

    @classmethod
    def execute(
        cls,
        painter: Painter,
        panorama: torch.Tensor,
        prompt: str,
        yaw: float,
        pitch: float,
        radius: float,
        mask: torch.Tensor | None = None,
        **asked: Any,
    ) -> io.NodeOutput:
        check_panoramas(panorama)
        height = panorama.shape[1]
        masks = fitting(cap_mask(yaw, pitch, radius, height) if mask is None else mask, panorama)
        pairs = zip(panorama, masks, strict=True)
        return run(painter, [Order(prompt, panorama=one, mask=of, height=height, **asked) for one, of in pairs])


class PanoramaView(io.ComfyNode):
    """What a camera sees of a panorama."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetView",
            display_name="Panorama View",
            category=CATEGORY,
            description="What a camera in the middle of the sphere sees. Yaw turns right, pitch looks up.",
            inputs=[
                io.Image.Input("panorama"),
                angle("yaw"),
                angle("pitch", 0.0, -90.0, 90.0),
                angle("roll"),
                angle("fov", 90.0, 1.0, 179.0),
                io.Int.Input("width", default=1024, min=16, max=8192),
                io.Int.Input("height", default=1024, min=16, max=8192),
            ],
            outputs=[io.Image.Output(display_name="view")],
        )

    @classmethod
    def execute(
        cls, panorama: torch.Tensor, yaw: float, pitch: float, roll: float, fov: float, width: int, height: int
    ) -> io.NodeOutput:
        check_panoramas(panorama)
        camera = Camera(yaw, pitch, roll, fov, width, height)
        return io.NodeOutput(each(panorama, lambda images: look(images, camera)))


class PanoramaToCube(io.ComfyNode):
    """The six faces of a panorama's cubemap."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetToCube",
            display_name="Panorama to Cube",
            category=CATEGORY,
            description="Six faces of 90 degrees, as a batch: front, right, back, left, up, down.",
            inputs=[
                io.Image.Input("panorama"),
                io.Int.Input("size", default=0, min=0, max=8192, tooltip="rows of a face; 0: half the panorama's"),
            ],
            outputs=[io.Image.Output(display_name="faces")],
        )

    @classmethod
    def execute(cls, panorama: torch.Tensor, size: int) -> io.NodeOutput:
        check_panoramas(panorama)
        size = size or panorama.shape[1] // 2
        return io.NodeOutput(each(panorama, lambda images: faces_of(images, size).flatten(0, 1)))


class CubeToPanorama(io.ComfyNode):
    """A panorama of the six faces of a cubemap."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetFromCube",
            display_name="Cube to Panorama",
            category=CATEGORY,
            description="A panorama of six square faces in a batch: front, right, back, left, up, down.",
            inputs=[
                io.Image.Input("faces"),
                io.Int.Input("height", default=0, min=0, max=8192, tooltip="rows; 0: twice as many as of a face"),
            ],
            outputs=[io.Image.Output(display_name="panorama")],
        )

    @classmethod
    def execute(cls, faces: torch.Tensor, height: int) -> io.NodeOutput:
        count, size, width, _ = faces.shape
        if count % 6 or size != width:
            raise UserError(
                "must be six square images for each panorama", key="faces", value=f"{count} of {width}x{size}"
            )
        height = height or 2 * size
        return io.NodeOutput(each(faces, lambda images: panorama_of(images.unflatten(0, (-1, 6)), height)))


class PanoramaToHdr(io.ComfyNode):
    """The light of a panorama."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetToHdr",
            display_name="Panorama to HDR",
            category=CATEGORY,
            description="Guesses linear light, where 1 is white and lamps are brighter. Save it as exr or hdr.",
            inputs=[
                io.Image.Input("panorama"),
                io.Float.Input("upscale", default=1.0, min=1.0, max=8.0, step=0.5),
                io.Float.Input("exposure", default=0.0, min=-20.0, max=20.0, step=0.5, tooltip="in stops"),
                io.Float.Input("boost", default=0.0, min=0.0, max=16.0, step=0.5, tooltip="of highlights"),
            ],
            outputs=[io.Image.Output(display_name="light"), io.Image.Output(display_name="panorama")],
        )

    @classmethod
    def execute(cls, panorama: torch.Tensor, upscale: float, exposure: float, boost: float) -> io.NodeOutput:
        from aognet.generate.expander import ExpansionConfig, loaded, with_network
        from aognet.hdr.finishing import FinishingConfig

        check_panoramas(panorama)
        finishing = FinishingConfig(exposure=exposure, boost=boost)
        expander = loaded(with_network(ExpansionConfig(True, upscale, finishing=finishing)))
        expander.check(panorama.shape[1])
        made = [expander(one[..., :3].movedim(-1, 0), host.listener()) for one in panorama]
        light, shown = ([getattr(one, name).movedim(0, -1) for one in made] for name in ("light", "display"))
        return io.NodeOutput(torch.stack(light).contiguous(), torch.stack(shown).contiguous())


class SavePanorama(io.ComfyNode):
    """Files that other programs know as spheres."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AognetSave",
            display_name="Save Panorama",
            category=CATEGORY,
            description="png and jpg carry the metadata of a sphere; exr and hdr hold light. The page is a viewer.",
            inputs=[
                io.Image.Input("panorama"),
                io.String.Input("prefix", default="panorama"),
                io.Combo.Input("format", options=list(SUFFIXES), default="png"),
                io.Combo.Input(
                    "holds", options=["display", "light"], default="display", tooltip="what the image holds"
                ),
                io.Boolean.Input("viewer", default=True, tooltip="write a page to look around in, too"),
                io.String.Input("description", default="", multiline=True, optional=True),
            ],
            outputs=[io.String.Output(display_name="file", is_output_list=True)],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, panorama: torch.Tensor, prefix: str, format: str, holds: str, viewer: bool, description: str = ""
    ) -> io.NodeOutput:
        from aognet import Panorama

        check_panoramas(panorama)
        height, width = panorama.shape[1:3]
        folder, subfolder, stem, number = host.output_path(prefix, width, height)
        encoding = "linear" if holds == "light" else "srgb"
        files, shown = [], []
        for count, image in enumerate(panorama, number):
            one = Panorama(image[..., :3].movedim(-1, 0).float().cpu().contiguous(), encoding, description)
            for suffix in (format, *(["html"] if viewer else [])):
                one.save(folder / f"{stem}_{count:05}_.{suffix}")
            files.append(str(folder / f"{stem}_{count:05}_.{format}"))
            if format in PICTURES:
                shown.append({"filename": f"{stem}_{count:05}_.{format}", "subfolder": subfolder, "type": "output"})
        return io.NodeOutput(files, ui={"images": shown})


NODES = [
    *(LoadPanoramaModel, ConnectStudio, GeneratePanorama, RepaintPanorama),
    *(PanoramaView, PanoramaToCube, CubeToPanorama, PanoramaToHdr, SavePanorama),
]


class PanoramaExtension(ComfyExtension):
    """All nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Return the extension; ComfyUI asks for it when it starts."""
    return PanoramaExtension()
