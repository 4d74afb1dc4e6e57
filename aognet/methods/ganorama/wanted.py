"""What is wanted of views: those with the same words are one group, for which classes come in question."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aognet.canvas import Canvas
from aognet.diffusion.sampling.noise import generators
from aognet.geometry.agreement import View
from aognet.geometry.camera import Camera
from aognet.methods.ganorama.aims import Aims, Networks, Picture, ViewWords, level
from aognet.methods.ganorama.picking import nearest_classes, unit_texts
from aognet.methods.view_prompts import prompt_for
from aognet.request import Request

ORDER = 2  # the stream of a seed that orders classes without names


@dataclass(frozen=True)
class Group:
    """Views with the same ``words`` (none: for these a photograph speaks), and their classes, the nearest first."""

    words: str
    views: tuple[int, ...]
    classes: tuple[int, ...]


@dataclass(frozen=True)
class Classes:
    """The classes to choose from: so many, with ``names`` or without, and the one that was asked for by its name."""

    count: int
    names: Sequence[str]
    label: int | None


def reads_words(request: Request) -> bool:
    """Return whether a request has words for views."""
    return bool(request.prompt.strip() or request.prompts_at)


def is_to_be_found(request: Request) -> bool:
    """Return whether a request says what views are to show."""
    return reads_words(request) or bool(request.photos or request.panorama or request.truth)


def wanted(
    request: Request, views: Sequence[View], canvas: Canvas | None, classes: Classes, networks: Networks, seed: int
) -> tuple[list[Group], Aims]:
    """Return the groups of views with words, or with a photograph on the ``canvas``, and what they are to show.

    A class that was asked for is that of all views but those with words of a direction. The other views, of which
    nothing is wanted, are in no group.
    """
    device, cameras = networks.clip.device, [view for view in views if isinstance(view, Camera)]
    picture = None if canvas is None else Picture.of(canvas, cameras, device)
    texts = [_words(request, view) for view in views]
    groups = []
    for words, directed in dict.fromkeys(texts):
        members = tuple(number for number, one in enumerate(texts) if one == (words, directed))
        if not words and picture is None:
            continue
        if classes.label is not None and not directed:
            order = [classes.label]
        elif classes.names:
            about = unit_texts(networks.clip, [words]) if words or picture is None else _about(picture, networks)
            order = nearest_classes(networks.clip, classes.names, about)[0].tolist()
        else:
            order = torch.randperm(classes.count, generator=generators([seed], ORDER)[0]).tolist()
        groups.append(Group(words, members, tuple(order)))
    return groups, Aims(networks, _embedded(texts, views, networks), picture)


def _words(request: Request, view: View) -> tuple[str, bool]:
    """Return the words of a view, and whether some are of its direction."""
    if not isinstance(view, Camera):
        return request.prompt.strip(), False
    directed = bool(prompt_for(view, "", request.prompts_at))
    return prompt_for(view, request.prompt.strip(), request.prompts_at), directed


def _embedded(texts: Sequence[tuple[str, bool]], views: Sequence[View], networks: Networks) -> ViewWords | None:
    """Return the words of views. Common ones count as much as a view looks level, those of a direction as they are."""
    distinct = list(dict.fromkeys(words for words, _ in texts if words))
    if not distinct:
        return None
    rows = unit_texts(networks.clip, distinct)
    rows = torch.stack([rows[distinct.index(words)] if words else torch.zeros_like(rows[0]) for words, _ in texts])
    counts = [
        (1.0 if directed else level(view)) * bool(words) for (words, directed), view in zip(texts, views, strict=True)
    ]
    return ViewWords(rows.to(networks.clip.device), torch.tensor(counts, device=networks.clip.device))


@torch.no_grad()
def _about(picture: Picture, networks: Networks) -> Tensor:
    """Return one embedding of what all views see of a photograph."""
    return (networks.embedded(picture.image[picture.seeing]) * picture.shares[:, None]).sum(0, keepdim=True)
