"""What a person does in the program that a preset is for, and Blender's script that does it.

A note is written as README.txt beside the files that it speaks of. ``{suffix}`` stands for theirs.
"""

UNITY_PANORAMA = """\
panorama{suffix} is a skybox of Unity. The middle of the picture is ahead (+Z).

Import settings of panorama{suffix}:
  Texture Shape 2D, Non-Power of 2 None, Generate Mipmap off (or a line is seen behind the camera),
  Wrap Mode Per-axis: U Repeat, V Clamp (or dots are seen at the poles),
  Max Size at least the picture's width (2048 makes larger ones small without a word), Compression High Quality.
A Material with the shader Skybox/Panoramic:
  Spherical (HDR) panorama{suffix}, Mapping Latitude Longitude Layout, Image Type 360 Degrees,
  Rotation 90, Exposure 1, Tint Color grey (128, 128, 128).
Window > Rendering > Lighting > Environment > Skybox Material: this Material.

As a cubemap instead (also for HDRP, in the HDRI Sky of a Volume): Texture Shape Cube, Mapping Latitude-Longitude
Layout (Cylindrical), and a Material with the shader Skybox/Cubemap, Rotation 0.
"""
UNITY_STRIP = """\
strip{suffix} is a cubemap of Unity: the faces +X -X +Y -Y +Z -Z from left to right. Ahead is +Z.

Import settings of strip{suffix}:
  Texture Shape Cube, Mapping 6 Frames Layout (Cubic Environment), Fixup Edge Seams on,
  Max Size at least the picture's width.
A Material with the shader Skybox/Cubemap: Cubemap (HDR) strip{suffix}, Rotation 0.
Window > Rendering > Lighting > Environment > Skybox Material: this Material.
HDRP: give it to the HDRI Sky of a Volume.
"""
UNITY_FACES = """\
Each file is named after the slot of Unity's shader Skybox/6 Sided that takes it. Ahead is +Z.
The slot "Left (+X)" is on the right of who looks ahead, and "Right (-X)" on the left; the files are named so.
The lower edge of UpTex and the upper edge of DownTex touch FrontTex.

Import settings of each: Texture Shape 2D, Wrap Mode Clamp (or the edges of the cube are seen).
A Material with the shader Skybox/6 Sided: FrontTex, BackTex, LeftTex, RightTex, UpTex and DownTex in their slots.
Window > Rendering > Lighting > Environment > Skybox Material: this Material.
"""
UNREAL = """\
panorama.hdr is light for Unreal Engine. It is turned, so that what was in the middle of the panorama is ahead (+X).

Drag it into the Content Browser: it becomes a Texture Cube. Its faces have as many rows as the largest power of two
that is at most half the picture's width; Maximum Texture Size in its settings may make them smaller.
Sky Light: Source Type SLS Specified Cubemap, Cubemap panorama, Source Cubemap Angle 0.
To be seen, too: HDRI Backdrop (a plugin that comes with the engine), Cubemap panorama.
"""
GODOT = """\
panorama{suffix} is a sky of Godot 4. It is turned by half, so that what was in the middle is ahead (-Z).

WorldEnvironment > Environment > Background > Mode Sky; Sky > Sky Material: a new PanoramaSkyMaterial;
its Panorama: panorama{suffix}. Sky > Rotation stays (0, 0, 0).
"""
BLENDER = """\
panorama.exr is the World of Blender. A camera that faces +Y (rotation 90, 0, 0) sees the middle of the panorama.

Let world.py set it up, in the Text Editor or at the start: blender scene.blend --python world.py
Or by hand, in the nodes of the World:
  Texture Coordinate (Generated) > Mapping (Point, Rotation Z -90 degrees)
  > Environment Texture (panorama.exr, Equirectangular, Color Space Linear) > Background (Strength 1).
Render Properties > Color Management > View Transform: Standard shows the colours of a panorama as they were; Filmic and
AgX compress bright light.
"""
BLENDER_SCRIPT = '''\
"""Makes panorama.exr, which lies beside this file, the World of the scene. Run it inside Blender."""

import math
import os

import bpy

text = bpy.data.texts.get(os.path.basename(__file__))  # where the Text Editor runs it
beside = os.path.dirname(bpy.path.abspath(text.filepath) if text and text.filepath else os.path.abspath(__file__))
image = bpy.data.images.load(os.path.join(beside, "panorama.exr"), check_existing=True)

world = bpy.data.worlds.new("Panorama")
world.use_nodes = True
nodes, links = world.node_tree.nodes, world.node_tree.links
place, turn, sky = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "Mapping", "TexEnvironment"))
turn.vector_type = "POINT"
turn.inputs["Rotation"].default_value = (0.0, 0.0, math.radians(-90.0))
sky.image, sky.projection = image, "EQUIRECTANGULAR"
links.new(place.outputs["Generated"], turn.inputs["Vector"])
links.new(turn.outputs["Vector"], sky.inputs["Vector"])
links.new(sky.outputs["Color"], nodes["Background"].inputs["Color"])
bpy.context.scene.world = world
'''
WEB = """\
viewer.html shows the panorama in any browser, without a network: open it, or put it on a server.
Its address says where it looks: viewer.html#yaw=90&pitch=10&fov=60
"""
GLB = """\
panorama.glb (binary glTF 2.0) is a sphere of radius 1 around the viewer, seen from inside and unlit.

Put the camera into its middle and make it larger than the scene. In glTF's axes the middle of the panorama is ahead of
a camera that is not turned (-Z), and +Y is up.
"""
PHOTOSPHERE = """\
panorama.jpg says in its metadata (GPano) that it is a sphere: photo services, phones and viewers open it as one.
Programs that write the file anew may drop the metadata.
"""
PANNELLUM = """\
config.json and the tiles beside it are a multires panorama of Pannellum 2.5 (https://pannellum.org).

Put this folder on a server together with pannellum.js and pannellum.css. In a page that lies in this folder:
  <link rel="stylesheet" href="pannellum.css"><script src="pannellum.js"></script>
  <div id="panorama" style="width: 100%; height: 100vh"></div>
  <script>
    fetch("config.json").then(answer => answer.json()).then(told => pannellum.viewer("panorama", told));
  </script>
With Pannellum's own page: pannellum.htm#config=FOLDER/config.json
"""
FACES = """\
Six faces of 90 degrees, seen from inside the cube. The lower edge of up and the upper edge of down touch front.
In axes where +x is right and +y is up: right +x, left -x, up +y, down -y; front is +z in left-handed axes (Unity,
Direct3D) and -z in right-handed ones (Godot, glTF).
"""
STRIP = """\
cubemap{suffix} has six faces from left to right: right, left, up, down, front, back.
In the axes of Direct3D and Unity these are +X -X +Y -Y +Z -Z. Each is seen from inside.
The lower edge of up and the upper edge of down touch front.
"""
CROSS = """\
cubemap{suffix} is a cube that is unfolded around its front, seen from inside:
    .    up    .     .
  left front right back
    .   down   .     .
"""
VERTICAL_CROSS = """\
cubemap{suffix} is a cube that is unfolded around its front, seen from inside. The back lies upside down:
    .    up    .
  left front right
    .   down   .
    .   back   .
"""
