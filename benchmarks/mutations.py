"""Files as disks, connections, editors and strangers change them: one of many ways, drawn from a seed."""

import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Draw = random.Random
Mutation = Callable[[bytes, Draw], bytes]
HUGE = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 10**30, -(10**400), 0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "../../x", "/", "a\0b", "\ud800", "9" * 5000, "${oc.env:HOME}", "${x}", "é" * 300, "\u2028"),
    *([], {}, [[]], {"": {}}, [0] * 1000, {"a": [None]}),
)


def flip_bits(content: bytes, draw: Draw) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 64))):
        if found:
            found[_place(found, draw)] ^= 1 << draw.randrange(8)
    return bytes(found)


def cut(content: bytes, draw: Draw) -> bytes:
    return content[: _place(content, draw)]


def drop_block(content: bytes, draw: Draw) -> bytes:
    start = _place(content, draw)
    return content[:start] + content[start + _length(content, draw) :]


def double_block(content: bytes, draw: Draw) -> bytes:
    start = _place(content, draw)
    return content[: start + (length := _length(content, draw))] + content[start : start + length] + content[start:]


def swap_blocks(content: bytes, draw: Draw) -> bytes:
    first, second = sorted((_place(content, draw), _place(content, draw)))
    return content[second:] + content[first:second] + content[:first]


def zeros(content: bytes, draw: Draw) -> bytes:
    start, length = _place(content, draw), _length(content, draw)
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def noise(content: bytes, draw: Draw) -> bytes:
    start, length = _place(content, draw), _length(content, draw)
    return content[:start] + draw.randbytes(min(length, len(content) - start)) + content[start + length :]


def huge_number(content: bytes, draw: Draw) -> bytes:
    """A number as of a header, in either order of bytes, mostly near the beginning."""
    size, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
    value = (draw.choice(HUGE) & (256**size - 1)).to_bytes(size, order)
    start = _place(content[:128] if draw.random() < 0.7 else content, draw)
    return content[:start] + value + content[start + size :]


def nothing(content: bytes, draw: Draw) -> bytes:
    return draw.choice((b"", b"\n", b"\0" * 4096, content + draw.randbytes(1000), draw.randbytes(len(content))))


BYTES: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, cut, cut, drop_block, double_block, swap_blocks, zeros, noise),
    *(huge_number, huge_number, huge_number, nothing),
)


def odd_text(content: bytes, draw: Draw) -> bytes:
    """What editors and other programs leave in text: marks, other ends of lines, bytes that are no UTF-8."""
    start = _place(content, draw)
    inserted = draw.choice((
        *(b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\x80", b"\r", b"\r\n", "\u2028".encode(), b"\t", b'"', b"'", b"{"),
        *(b"[" * 100_000, b'{"a":' * 50_000, b"- " * 20_000, b"x" * 200_000, b"9" * 10_000, b"\\ud800", b": &a *a"),
        *(b",", b"\n", b"\n\n\n", "😀".encode(), b"\x1b[31m", b"!!python/object:os.system", b"1e999", b"NaN"),
    ))  # fmt: skip
    if draw.random() < 0.3:
        start = 0
    return content[:start] + inserted + content[start:]


def other_code(content: bytes, draw: Draw) -> bytes:
    text = content.decode(errors="replace") + draw.choice(("", "é"))
    return text.encode(draw.choice(("utf-16", "utf-8-sig", "cp1252", "utf-32")), errors="replace")


def bomb(content: bytes, draw: Draw) -> bytes:
    """YAML whose anchors stand for ever more."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines).encode() + b"\n" + content


def lines(content: bytes, draw: Draw) -> bytes:
    """Lines in another order, twice, or missing."""
    found = content.splitlines(keepends=True)
    for _ in range(draw.randint(1, 3)):
        if found:
            number = draw.randrange(len(found))
            line = found.pop(number)
            found[number:number] = draw.choice(([], [line, line], [line.strip()], [line] * 1000))
    draw.shuffle(found)
    return b"".join(found)


TEXT: tuple[Mutation, ...] = (odd_text, odd_text, odd_text, other_code, lines, cut, drop_block, double_block, nothing)


def odd_json(content: bytes, draw: Draw) -> bytes:
    """A value of JSON (or of one of its lines) of another kind, missing or under another key."""
    parts = content.splitlines() if content.count(b"\n{") else [content]
    number = draw.randrange(len(parts))
    try:
        value = json.loads(parts[number])
    except (ValueError, RecursionError):
        return odd_text(content, draw)
    parts[number] = json.dumps(_with_odd(value, draw)).encode()
    return b"\n".join(parts)


def _with_odd(value: Any, draw: Draw, depth: int = 0) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.9 - 0.1 * (depth == 0):
        key = draw.choice(list(value))
        kind = draw.random()
        if kind < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        if kind < 0.15:
            return {(f"{name}x" if name == key else name): inner for name, inner in value.items()}
        return value | {key: _with_odd(value[key], draw, depth + 1)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        number = draw.randrange(len(value))
        return [*value[:number], _with_odd(value[number], draw, depth + 1), *value[number + 1 :]]
    return draw.choice(ODD)


def odd_csv(content: bytes, draw: Draw) -> bytes:
    rows = [line.split(b",") for line in content.splitlines()]
    row = draw.choice(rows) if rows else [b""]
    row[draw.randrange(len(row))] = draw.choice((b"", b'"', b"x" * 200_000, b"../x", b"a\0b", b",,,", b"=1+1", b" "))
    return b"\n".join(b",".join(row) for row in rows)


def whole_png(content: bytes, draw: Draw) -> bytes:
    """A chunk of a PNG changed and its check sum made right, so that what it says is believed."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 20:
        return flip_bits(content, draw)
    chunks, place = [], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = 0 if draw.random() < 0.4 else draw.randrange(len(chunks))
    name, data = chunks[number]
    data = draw.choice((huge_number, flip_bits, cut, double_block))(data, draw)
    if draw.random() < 0.1:
        name = draw.choice((b"IDAT", b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"acTL", b"zTXt", b"IHDR", b"PLTE"))
    chunks[number : number + 1] = [(name, data)] * draw.choice((1, 1, 1, 2))
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return content[:8] + b"".join(packed)


def odd_safetensors(content: bytes, draw: Draw) -> bytes:
    """The header changed, its length made right."""
    length = int.from_bytes(content[:8], "little")
    header = odd_json(content[8 : 8 + length], draw)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def odd_tar(content: bytes, draw: Draw) -> bytes:
    """A header changed and its check sum made right, or members in another order."""
    blocks = [content[start : start + 512] for start in range(0, len(content), 512)]
    headers = [number for number, block in enumerate(blocks) if block[257:262] == b"ustar"]
    if not headers:
        return flip_bits(content, draw)
    number = draw.choice(headers)
    block = bytearray(blocks[number])
    field = draw.choice(((0, 100), (100, 8), (124, 12), (124, 12), (156, 1), (157, 100), (345, 155)))
    values = (
        b"\xff" * field[1],
        b"7" * field[1],
        b"0",
        b"L",
        b"x",
        b"../" * 30,
        b"\x80" + b"\xff" * 11,
        b"2",
        b"a.png",
    )
    value = draw.choice(values)[: field[1]]
    block[field[0] : field[0] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    blocks[number] = bytes(block)
    return b"".join(blocks)


def odd_pickle(content: bytes, draw: Draw) -> bytes:
    """Instructions of pickle's machine where there were others."""
    found = bytearray(content)
    for _ in range(draw.randint(1, 4) if found else 0):
        found[_place(found, draw)] = draw.choice(
            b"(.0]}l)t\x85\x86\x87cRbiopqrjsuaeNKMJ\x8aXUTGFIV2\x93\x81\x8c\x94\x95\x80"
        )
    return bytes(found)


SPECIAL: Mapping[str, Sequence[Mutation]] = {
    ".png": (whole_png, whole_png, whole_png),
    ".jsonl": (odd_json, odd_json, odd_json, *TEXT),
    ".json": (odd_json, odd_json, odd_json, odd_json, *TEXT),
    ".csv": (odd_csv, odd_csv, *TEXT),
    ".txt": TEXT,
    ".yaml": (odd_json, odd_json, odd_json, bomb, *TEXT),
    ".safetensors": (odd_safetensors, odd_safetensors),
    ".tar": (odd_tar, odd_tar, odd_tar),
    ".pkl": (odd_pickle, odd_pickle),
}


def mutated(content: bytes, suffix: str, draw: Draw, others: Sequence[bytes] = ()) -> tuple[bytes, str]:
    """The content changed once to three times; how, in words. ``others``: contents that may stand in its place."""
    if others and draw.random() < 0.04:
        return draw.choice(others), "another file"
    special = SPECIAL.get(suffix, ())
    ways = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        way = draw.choice(special) if special and draw.random() < 0.6 else draw.choice(BYTES)
        content = way(content, draw)
        ways.append(way.__name__.replace("_", " "))
    return content, ", ".join(ways)


def _place(content: Sequence[int] | bytes, draw: Draw) -> int:
    return draw.randrange(len(content)) if content else 0


def _length(content: bytes, draw: Draw) -> int:
    return min(draw.choice((1, 2, 8, 100, 1000)), max(len(content) // 2, 1))


def packed(members: Mapping[str, bytes]) -> bytes:
    """A tar file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()
