"""SR-iTMO read plainly off its public tensors, and tensors of these names: nothing in it is shared with ours."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def public_tensors(features: int = 64, blocks: int = 16, width: int = 256, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors with the published names, those that nothing uses too."""
    source = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}

    def layer(name: str, *shape: int) -> None:
        inputs = math.prod(shape[1:])
        found[f"{name}.weight"] = torch.randn(*shape, generator=source) / math.sqrt(inputs)
        found[f"{name}.bias"] = torch.randn(shape[0], generator=source) * 0.1

    for name in ("sub_mean", "add_mean"):
        layer(f"ldr_encoder.{name}", 3, 3, 1, 1)
    layer("ldr_encoder.head.0", features, 3, 3, 3)
    for number in range(blocks):
        layer(f"ldr_encoder.body.{number}.body.0", features, features, 3, 3)
        layer(f"ldr_encoder.body.{number}.body.2", features, features, 3, 3)
    layer(f"ldr_encoder.body.{blocks}", features, features, 3, 3)
    for number, inputs in enumerate((9 * features + 4, width, width, width)):
        layer(f"srmapper.layers.{2 * number}", width, inputs)
    layer("srmapper.layers.8", 3, width)
    layer("hdrmapper.layers.0", width, width + 2)
    layer("hdrmapper.layers.2", width, width)
    layer("hdrmapper.layers.4", 3, width)
    return found


def plain_encoder(tensors: dict[str, Tensor], image: Tensor) -> Tensor:
    def convolved(name: str, values: Tensor) -> Tensor:
        return functional.conv2d(values, tensors[f"{name}.weight"], tensors[f"{name}.bias"], padding=1)

    head = convolved("ldr_encoder.head.0", image)
    blocks = len([name for name in tensors if name.endswith(".body.0.weight")])
    body = head
    for number in range(blocks):
        inner = convolved(f"ldr_encoder.body.{number}.body.0", body).relu()
        body = body + convolved(f"ldr_encoder.body.{number}.body.2", inner)
    return head + convolved(f"ldr_encoder.body.{blocks}", body)


def centres(count: int) -> Tensor:
    return (2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1


def plain_queries(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Local coordinates (y, x), cells and global coordinates (longitude, latitude) of all pixels in order."""
    y, x = torch.meshgrid(centres(rows), centres(columns), indexing="ij")
    local = torch.stack([y, x], -1).reshape(-1, 2).float()
    cells = torch.tensor([2 / rows, 2 / columns]).expand_as(local)
    latitude, longitude = torch.meshgrid(
        torch.linspace(-math.pi / 2, math.pi / 2, rows), torch.linspace(-math.pi, math.pi, columns), indexing="ij"
    )
    return local, cells, torch.stack([longitude, latitude], -1).reshape(-1, 2)


def plain_linears(tensors: dict[str, Tensor], name: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """The output of linear layers, and that of the first one after ReLU."""
    numbers = sorted({int(key.split(".")[2]) for key in tensors if key.startswith(f"{name}.layers.")})
    first = values
    for number in numbers:
        values = values @ tensors[f"{name}.layers.{number}.weight"].T + tensors[f"{name}.layers.{number}.bias"]
        values = values if number == numbers[-1] else values.relu()
        first = values if number == numbers[0] else first
    return values, first


def plain_answer(
    tensors: dict[str, Tensor], features: Tensor, local: Tensor, cells: Tensor, world: Tensor
) -> tuple[Tensor, Tensor]:
    """Display values and log light of queries, [count, 3] each, unfolding the features as the published loop does."""
    height, width = features.shape[-2:]
    unfolded = functional.unfold(features, 3, padding=1).view(1, -1, height, width)
    y, x = torch.meshgrid(centres(height).float(), centres(width).float(), indexing="ij")
    places = torch.stack([y, x])[None]
    size, shown, seen, areas = torch.tensor([height, width]), [], [], []
    for down in (-1, 1):
        for across in (-1, 1):
            at = local + torch.tensor([down / height, across / width]) + 1e-6
            grid = at.clamp(-1 + 1e-6, 1 - 1e-6).flip(-1)[None, None]
            found, place = (
                functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, :, 0].T
                for values in (unfolded, places)
            )
            offsets = (local - place) * size
            out, first = plain_linears(tensors, "srmapper", torch.cat([found, offsets, cells * size], -1))
            shown.append(out)
            seen.append(first)
            areas.append((offsets[:, 0] * offsets[:, 1]).abs() + 1e-9)
    total = torch.stack(areas).sum(0)
    weights = [area / total for area in reversed(areas)]  # of the opposite corner
    display = sum(out * weight[:, None] for out, weight in zip(shown, weights, strict=True))
    first = sum(one * weight[:, None] for one, weight in zip(seen, weights, strict=True))
    return display, plain_linears(tensors, "hdrmapper", torch.cat([first, world], -1))[0]


def plain_sritmo(
    tensors: dict[str, Tensor], image: Tensor, rows: int, columns: int, chunk: int = 30_000
) -> tuple[Tensor, Tensor]:
    """Display values and log light of a BGR image [1, 3, H, W], [3, rows, columns] each, BGR."""
    features = plain_encoder(tensors, image)
    queries = plain_queries(rows, columns)
    parts = [
        plain_answer(tensors, features, *(part[begin : begin + chunk] for part in queries))
        for begin in range(0, rows * columns, chunk)
    ]
    return tuple(torch.cat(some).T.reshape(3, rows, columns) for some in zip(*parts, strict=True))
