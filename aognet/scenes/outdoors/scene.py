"""Scenes under the sky: layers from far to near, and words that are true of what they show."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from aognet.geometry.sphere import pixel_directions
from aognet.scenes.outdoors.film import Film, Layer
from aognet.scenes.rays import Rays
from aognet.scenes.sky.sky import Sky
from aognet.scenes.words import listing, pick, sentence
from aognet.scenes.world import Disc, SceneView, Seen

_WHOLE_SHARE = 0.002  # of the sphere, from which the caption of the whole names a thing
_VIEW_SHARE = 0.012  # of a view's picture, from which its caption names a thing


@dataclass
class Outdoors:
    """Layers over a sky. ``subject`` says what the whole is. ``details`` are phrases with the label that they
    describe.
    """

    rng: np.random.Generator
    sky: Sky
    layers: list[Layer] = field(default_factory=list)
    labels: list[str] = field(default_factory=lambda: [""])
    grounds: set[str] = field(default_factory=set)
    subject: str = ""
    details: list[tuple[str, str]] = field(default_factory=list)
    season: str = ""
    caption: str = ""

    @property
    def discs(self) -> tuple[Disc, ...]:
        """The sun or the moon."""
        return self.sky.discs

    def label(self, noun: str, ground: bool = False) -> int:
        """Return the index of a noun, made if it is new. ``ground`` says that one stands on it or looks across it."""
        if noun not in self.labels:
            self.labels.append(noun)
        if ground:
            self.grounds.add(noun)
        return self.labels.index(noun)

    def seen(self, rays: Rays) -> Seen:
        """Return what each ray meets."""
        return self._paint(rays, self.layers).seen()

    def backdrop(self) -> Callable[[Rays], np.ndarray]:
        """Return what water mirrors: the sky and the layers added so far."""
        behind = list(self.layers)
        return lambda rays: self._paint(rays, behind).radiance

    def _paint(self, rays: Rays, layers: list[Layer]) -> Film:
        film = Film.of_sky(self.sky, rays)
        for layer in layers:
            layer.paint(film)
        return film

    def finish(self) -> None:
        """Write the caption from what can be seen."""
        directions = pixel_directions(64, 128).numpy().reshape(-1, 3).astype(np.float32)
        labels = self.seen(Rays(directions, np.pi / 64)).label
        weights = np.hypot(directions[:, 0], directions[:, 2])
        shares = np.bincount(labels, weights, len(self.labels)) / weights.sum()
        seen = {noun for noun, share in zip(self.labels, shares, strict=True) if share > _WHOLE_SHARE}
        details = [phrase for noun, phrase in self.details if noun in seen]
        above = sky_words(self.rng, self.sky)
        subject = f"{self.subject}{self.season}"
        if not details:
            self.caption = sentence(f"{subject} {above}")
        elif self.rng.random() < 0.5:
            self.caption = sentence(f"{subject} with {listing(details)} {above}")
        else:
            self.caption = sentence(f"{subject} {above}, with {listing(details)}")

    def tell(self, view: SceneView) -> str:
        """Return a caption of what a view shows."""
        yaw = int(np.degrees(np.arctan2(view.turn[0, 2], view.turn[2, 2])) % 360)
        rng = np.random.default_rng([yaw, len(self.caption), len(self.labels)])
        named = [sight for sight in view.sights if sight.share > _VIEW_SHARE]
        grounds = [sight.noun for sight in named if sight.noun in self.grounds][:2]
        things = []
        for sight in [sight for sight in named if sight.noun not in self.grounds][:3]:
            side = "left" if sight.across < 0 else "right"
            things.append(f"{sight.noun} on the {side}" if abs(sight.across) > 0.5 else sight.noun)
        if things and grounds:
            text = pick(rng, "{g} with {t}", "{t} beyond {g}").format(g=listing(grounds), t=listing(things))
        else:
            text = listing(things or grounds) or "The sky"
        text += f"{self.season} {sky_words(rng, self.sky)}"
        for place in view.discs:
            text += f", {self._disc_words(place)}"
        return sentence(text)

    def _disc_words(self, across: float) -> str:
        name = "the moon" if self.sky.is_dark else "the sun"
        side = "on the left" if across < -0.33 else "on the right" if across > 0.33 else "ahead"
        height = "low " if self.sky.elevation_degrees < 15 else "high " if self.sky.elevation_degrees > 40 else ""
        return f"{name} {height}{side}"


def sky_words(rng: np.random.Generator, sky: Sky) -> str:
    """Return words for the time of day and the sky that are true in every direction."""
    phrases = {
        "clear": ("under a clear blue sky", "on a sunny day", "in bright sunlight", "on a cloudless day"),
        "cloudy": ("under a blue sky with white clouds", "on a partly cloudy day", "under scattered clouds"),
        "overcast": ("under an overcast sky", "on a grey cloudy day", "under a grey sky"),
        "sunset": ("at sunset", "in warm evening light", "in the last light of the day"),
        "twilight": ("at dusk", "at twilight", "after sunset"),
        "night": ("at night", "on a moonlit night", "under a starry night sky"),
        "foggy": ("in thick fog", "on a foggy day", "in the mist"),
    }[sky.weather]
    if sky.is_dark and sky.town.any():
        phrases = ("at night", "after dark", "late in the evening")  # town lights outshine the stars
    return pick(rng, *phrases)
