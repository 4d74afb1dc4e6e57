"""The inside of a room: a shell with openings, furniture in it, and the light of sun, sky and lamps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from aognet.scenes.indoors.finishes import Finish, Grains, SurfacePoints
from aognet.scenes.indoors.lightmap import Lamp, Lightmap
from aognet.scenes.indoors.openings import Opening, transmission
from aognet.scenes.indoors.shells import Shell
from aognet.scenes.indoors.surfaces import Met, Piece, Surfaces, corners_of, shell_frames
from aognet.scenes.indoors.voxels import Voxels
from aognet.scenes.rays import Rays, dot, rgb
from aognet.scenes.sky.sky import Sky
from aognet.scenes.solids import shadowed
from aognet.scenes.world import Seen

_PENUMBRA = 0.0093  # width of the edge of a sun patch per metre from the window: the sun's diameter in radians


@dataclass
class Room:
    """The parts of a room, before it can be seen."""

    shell: Shell
    finishes: list[Finish]  # of the shell's faces
    sky: Sky
    outside: Callable[[Rays], Seen]
    openings: list[Opening] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)
    labels: list[str] = field(default_factory=lambda: [""])
    frame_color: np.ndarray = field(default_factory=lambda: rgb(0.9, 0.9, 0.88))

    def __post_init__(self):
        shell = self.shell
        frames = shell_frames(shell.normals, shell.offsets)
        self.frames = [frames.one(face) for face in range(len(frames))]

    def label(self, noun: str) -> int:
        """Return the number of a new thing called ``noun``."""
        self.labels.append(noun)
        return len(self.labels) - 1


class Indoors:
    """A room that can be seen. ``tell`` comes from what furnished it."""

    def __init__(self, rng: np.random.Generator, room: Room):
        self.room = room
        self.grains = Grains(rng)
        finishes, labels = list(room.finishes), [0] * len(room.finishes)
        self.recesses: list[int] = []
        for opening in room.openings:
            self.recesses.append(len(finishes))
            finishes += self._recess_finishes(opening)
            labels += [room.label(opening.noun)] * 5
        recesses = [opening.frames(room.frames[opening.face]) for opening in room.openings]
        self.surfaces = Surfaces(room.shell.normals, room.shell.offsets, recesses, room.pieces)
        for piece in room.pieces:
            finishes += [piece.finish] * len(piece.solid.normals)
            labels += [piece.label] * len(piece.solid.normals)
        self.labels_of = np.array(labels, np.int16)
        self._tabulate(finishes)

    def _recess_finishes(self, opening: Opening) -> list[Finish]:
        paint = Finish("plain", self.room.frame_color)
        if opening.kind == "window":
            return [Finish("glass", self.room.frame_color)] + [paint] * 4
        wall = self.room.finishes[opening.face]
        far = Finish("plain", wall.color * np.float32(0.9))
        return [far, far, far, self.room.finishes[self.room.shell.floor_face], paint]

    def _tabulate(self, finishes: list[Finish]) -> None:
        kinds = sorted({finish.kind for finish in finishes})
        self.kinds = kinds
        self.kind_of = np.array([kinds.index(finish.kind) for finish in finishes], np.int16)
        self.colors = np.array([finish.color for finish in finishes], np.float32)
        self.seconds = np.array([finish.other for finish in finishes], np.float32)
        self.sizes = np.array([finish.size for finish in finishes], np.float32)
        self.glows = np.array([finish.glow for finish in finishes], np.float32)
        self.extents = self.surfaces.frames.sizes.astype(np.float32)

    @cached_property
    def voxels(self) -> Voxels:
        """What furniture lets pass of soft light."""
        corners, _ = corners_of(self.room.shell.normals, self.room.shell.offsets)
        return Voxels(corners.min(0), corners.max(0), [piece.solid for piece in self.room.pieces if piece.shades])

    @cached_property
    def lightmap(self) -> Lightmap:
        """The light of sky, lamps and lit surfaces, computed when it is first needed."""
        room = self.room
        lightmap = Lightmap(self.surfaces.frames, len(room.frames))
        radiance = room.outside(Rays(_SPHERE, 0.25)).radiance
        views = [_shine(room.frames[opening.face].normal, radiance) for opening in room.openings]
        # Larger rooms are seen from further away.
        side = float(np.clip(0.15 * np.ptp([room.shell.low, room.shell.high], axis=0).max(), 1.2, 4.0))
        tiles = [
            tile
            for opening, (down, up) in zip(room.openings, views, strict=True)
            if opening.kind == "window"
            for tile in opening.tiles(room.frames[opening.face], down, up, side)
        ]
        albedo = np.array([finish.color * 0.65 + finish.other * 0.35 for finish in room.finishes], np.float32)
        lightmap.bake(self.voxels, tiles, room.lamps, self.sun, albedo)
        inner = lightmap.mean()
        for opening, first, (down, up) in zip(room.openings, self.recesses, views, strict=True):
            for side in range(5):
                if opening.kind == "doorway":
                    light = inner * np.float32((0.35, 0.3, 0.45, 0.5, 0.3)[side])
                else:
                    light = inner * 0.5 + (down + up) * np.float32(0.06 if side == 0 else 0.15)
                lightmap.fill(first + side, light)
        return lightmap

    def seen(self, rays: Rays) -> Seen:
        """Return what each ray meets."""
        met = self.meet(rays)
        points = rays.directions * met.distance[:, None]
        normals = self.surfaces.normals[met.face]
        footprint = rays.pixel * met.distance / np.clip(-dot(normals, rays.directions), 0.08, 1)
        a, b = self.surfaces.places(met.face, points)
        albedo = self._albedo(met.face, points, a, b, footprint)
        light = self.lightmap.light(met.face, a, b) + self.sun(points, normals)
        color = albedo * light + self.glows[met.face]
        through = np.zeros(len(points), np.float32)
        distance = met.distance.astype(np.float32)
        self._polish(rays, met.face, points, color)
        self._look_out(rays, met.face, a, b, footprint, color, distance, through)
        return Seen(color.astype(np.float32), distance, self.labels_of[met.face], through)

    def meet(self, rays: Rays) -> Met:
        """Return the face that each ray meets, and where."""
        met = self.surfaces.shell(rays.directions)
        for opening, first in zip(self.room.openings, self.recesses, strict=True):
            near = np.flatnonzero(met.face == opening.face)
            if near.size:
                opening.enter(self.room.frames[opening.face], first, rays.directions, near, met)
        self.surfaces.furniture(rays.directions, met)
        return met

    def sun(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Return direct sunlight (n, 3) that reaches points through windows and past furniture."""
        light = self.room.sky.light
        cosine = np.clip(normals @ light, 0, 1)
        total = np.zeros((len(points), 3), np.float32)
        if self.room.sky.is_grey:
            return total
        facing = np.flatnonzero(cosine > 0)
        passing = np.zeros(len(facing), np.float32)
        for opening in self.room.openings:
            wall = self.room.frames[opening.face]
            if opening.kind == "window" and -(wall.normal @ light) > 0.02:
                passing = np.maximum(passing, opening.passes(wall, points[facing], light, _PENUMBRA))
        lit = np.flatnonzero(passing > 0)
        facing, passing = facing[lit], passing[lit]
        if facing.size:
            raised = points[facing] + normals[facing] * np.float32(3e-3)
            dark = shadowed(raised, self.surfaces.solids, light)
            total[facing] = (passing * cosine[facing] * ~dark)[:, None] * self.room.sky.sunlight
        return total

    def _albedo(self, face, points, a, b, footprint) -> np.ndarray:
        albedo = self.colors[face]
        kinds = self.kind_of[face]
        for kind in np.unique(kinds):
            name = self.kinds[kind]
            if name in ("plain", "glass"):
                continue
            here = np.flatnonzero(kinds == kind)
            own = face[here]
            spots = SurfacePoints(
                points[here],
                a[here],
                b[here],
                self.extents[own, 0],
                self.extents[own, 1],
                own.astype(np.float32),
                footprint[here],
                albedo[here],
                self.seconds[own],
                self.sizes[own],
            )
            albedo[here] = self.grains.albedo(name, spots)
        walls = np.flatnonzero(face < self.room.shell.floor_face)
        self._skirt(walls, face, b, footprint, albedo)
        return albedo

    def _skirt(self, walls, face, b, footprint, albedo) -> None:
        tiled = np.array(
            [finish.kind in ("tiles", "subway", "brick", "stone", "concrete") for finish in self.room.finishes]
        )
        walls = walls[~tiled[face[walls]] & (b[walls] < 0.4)]
        amount = np.clip((0.09 - b[walls]) / footprint[walls] + 0.5, 0, 1)
        # A line of shadow over the skirting board.
        line = 1 - 0.1 * np.clip(1 - np.abs(b[walls] - 0.09) / np.maximum(footprint[walls], 0.006), 0, 1)
        albedo[walls] = (albedo[walls] + (self.room.frame_color - albedo[walls]) * amount[:, None]) * line[:, None]

    def _polish(self, rays: Rays, face, points, color) -> None:
        """Add what a polished floor mirrors: windows and walls, by Schlick's approximation (1994) of Fresnel's law."""
        floor = self.room.shell.floor_face
        gloss = self.room.finishes[floor].gloss
        # Steep looks are left out: there a floor mirrors less than a twentieth.
        here = np.flatnonzero((face == floor) & (rays.directions[:, 1] > -0.62))
        if not gloss or not here.size:
            return
        towards = rays.directions[here] * np.array([1, -1, 1], np.float32)
        share = gloss * (0.96 * (1 - towards[:, 1]) ** 5 - 0.0075)
        starts = points[here]
        normals, offsets = self.surfaces.shell_normals, self.surfaces.shell_offsets[:, None]
        along = normals @ towards.T
        with np.errstate(divide="ignore"):
            times = np.where(along > 1e-6, (offsets - normals @ starts.T) / along, np.float32(np.inf))
        met, reach = times.argmin(0), times.min(0)
        ends = starts + towards * reach[:, None]
        mirrored = self._mirrored(Rays(towards, rays.pixel), met, ends, 0.08 * reach)
        clear = self.voxels.passing(starts + np.array([0, 0.1, 0], np.float32), ends, 12)
        mirrored = mirrored * clear[:, None] + 0.2 * self.lightmap.mean() * (1 - clear)[:, None]
        color[here] += mirrored * share[:, None]

    def _mirrored(self, rays: Rays, face, points, blur) -> np.ndarray:
        """Return the light (n, 3) from walls and windows along reflected rays that meet them at points. Edges are
        ``blur`` wide.
        """
        a, b = self.surfaces.places(face, points)
        mirrored = self.colors[face] * self.lightmap.light(face, a, b)
        panes = []
        for opening in self.room.openings:
            there = np.flatnonzero(face == opening.face) if opening.kind == "window" else np.empty(0, int)
            # A floor is not quite even: what is further from it is less sharp.
            clear = np.clip(opening.inside(a[there], b[there]) / blur[there] + 0.5, 0, 1)
            panes.append((there[clear > 0], clear[clear > 0, None]))
        if panes:
            there, clear = (np.concatenate(parts) for parts in zip(*panes, strict=True))
            view = self.room.outside(rays.take(there)).radiance if there.size else mirrored[there]
            mirrored[there] += (view * np.float32(transmission()) - mirrored[there]) * clear
        return mirrored

    def _look_out(self, rays: Rays, face, a, b, footprint, color, distance, through) -> None:
        """Put what is outside behind the glass of all windows at once."""
        panes = []
        for opening, first in zip(self.room.openings, self.recesses, strict=True):
            here = np.flatnonzero(face == first) if opening.kind == "window" else np.empty(0, int)
            panes.append((here, opening.glass(a[here], b[here], footprint[here])))
        if not panes:
            return
        here, glass = (np.concatenate(parts) for parts in zip(*panes, strict=True))
        here, glass = here[glass > 0], glass[glass > 0]
        if not here.size:
            return
        view = self.room.outside(rays.take(here))
        color[here] += (view.radiance * np.float32(transmission()) - color[here]) * glass[:, None]
        through[here] = view.through * glass * transmission()
        clear = glass > 0.5
        distance[here[clear]] = np.maximum(view.distance[clear], distance[here[clear]])


def _sphere(count: int) -> np.ndarray:
    """Return directions (n, 3) spread evenly over the sphere."""
    number = np.arange(count)
    height = 1 - (2 * number + 1) / count
    turn = number * np.pi * (3 - 5**0.5)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.sin(turn), height, flat * np.cos(turn)], 1).astype(np.float32)


_SPHERE = _sphere(400)


def _shine(inward: np.ndarray, radiance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean radiances (3,) from above and from below the horizon that fall on a window."""
    weights = np.maximum(-(_SPHERE @ inward), 0)
    down, up = (
        (weights[part] @ radiance[part] / max(weights[part].sum(), 1e-6)).astype(np.float32)
        for part in (_SPHERE[:, 1] > 0, _SPHERE[:, 1] <= 0)
    )
    # Not all that lies before a house is as green as its lawn.
    return down, 0.4 * up + 0.6 * up.mean()
