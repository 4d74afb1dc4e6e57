"""What benchmarks share: time measured many times, and Markdown tables."""

from collections.abc import Callable, Sequence
from typing import Any


def measured(run: Callable[[], Any], threads: int | None = None, least_seconds: float = 1.0) -> tuple[float, float]:
    """Median and interquartile range of the seconds that ``run`` takes, after warming up; waits for CUDA."""
    import torch
    from torch.utils.benchmark import Timer

    timer = Timer("run()", globals={"run": run}, num_threads=threads or torch.get_num_threads())
    timer.timeit(1)
    found = timer.blocked_autorange(min_run_time=least_seconds)
    return found.median, found.iqr


def milliseconds(times: tuple[float, float]) -> str:
    """A median and its spread, as in ``4.2 ± 0.1``."""
    return " ± ".join(f"{1000 * time:.3g}" for time in times)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers with three digits."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for row in rows:
        cells = [cell if isinstance(cell, str) else "-" if cell is None else f"{cell:.3g}" for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
