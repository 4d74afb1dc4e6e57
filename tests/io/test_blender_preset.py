"""The preset for Blender in Blender itself: its script is run, and what is rendered is what cameras here see."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.hdr import read_light
from aognet.io.orientation_card import orientation_card
from aognet.io.panorama_files import read_panorama
from aognet.io.presets import export_preset

BLENDER = shutil.which("blender")
VIEWS = [(0.0, 0.0), (90.0, 0.0), (-130.0, 35.0), (20.0, -80.0), (180.0, 0.0)]  # yaw and pitch
SIZE = 48
# A camera that is not turned looks down (-Z), with +Y above: 90 degrees about X make it look along +Y.
RENDER = """
import json, math, sys
import bpy

folder, views, size = sys.argv[-3], json.loads(sys.argv[-2]), int(sys.argv[-1])
scene = bpy.context.scene
for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing)
lens = bpy.data.cameras.new("lens")
lens.sensor_fit, lens.angle = "HORIZONTAL", math.radians(90)
scene.camera = bpy.data.objects.new("camera", lens)
scene.collection.objects.link(scene.camera)
scene.world.cycles.sampling_method = "NONE"  # nothing is lit
render = scene.render
render.engine, scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", "CPU", 64, False
render.resolution_x, render.resolution_y, render.resolution_percentage = size, size, 100
render.threads_mode, render.threads = "FIXED", 1
render.image_settings.file_format, render.image_settings.color_depth = "OPEN_EXR", "32"
for number, (yaw, pitch) in enumerate(views):
    scene.camera.rotation_euler = (math.radians(90 + pitch), 0, math.radians(-yaw))
    render.filepath = f"{folder}/{number}.exr"
    bpy.ops.render.render(write_still=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(BLENDER is None, reason="Blender is not installed: its preset is checked by its formula alone")
def test_blender_renders_what_our_cameras_see(tmp_path: Path):
    export_preset(orientation_card(256), "srgb", "blender", tmp_path / "sky")
    (tmp_path / "render.py").write_text(RENDER, encoding="utf-8")
    scripts = ["--python", tmp_path / "sky" / "world.py", "--python", tmp_path / "render.py"]
    command = [BLENDER, "--background", "--factory-startup", "-noaudio", "--python-exit-code", "1", *scripts]
    subprocess.run([*command, "--", tmp_path, json.dumps(VIEWS), str(SIZE)], check=True, timeout=300)
    light, _ = read_panorama(tmp_path / "sky" / "panorama.exr")
    for number, (yaw, pitch) in enumerate(VIEWS):
        rendered = read_light(tmp_path / f"{number}.exr", 10**6)[..., :3].transpose(2, 0, 1)
        seen = look(light[None], Camera(yaw, pitch, 0.0, 90.0, SIZE, SIZE))[0].numpy()
        assert float(np.abs(rendered - seen).mean()) < 0.01
        assert float(np.abs(rendered[..., ::-1] - seen).mean()) > 0.03  # the views tell left from right
