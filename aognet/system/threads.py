"""How many threads compute and how they wait for each other, chosen before torch starts them.

An OpenMP thread that waits spins, so that it goes on at once. On a busy computer it so keeps the core from the very
thread it waits for: painting slows down several times (docs/speed.md). Sleeping costs a third on a quiet one.
"""

import os
import sys
from collections.abc import Mapping

import psutil

ALONE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
# Of the time of the cores that this process may use; one busy process beside two cores takes half.
BUSY_SHARE = 0.25
MEASURED_SECONDS = 0.05


def settle() -> None:
    """Let threads sleep while they wait, if others keep the cores busy. Processes side by side take one thread each.

    Call it before importing torch, which reads the environment once. Afterwards it does nothing. What the environment
    already sets is the user's wish and stays.
    """
    if "torch" in sys.modules:
        return
    if int(os.environ.get("LOCAL_WORLD_SIZE") or 1) > 1:
        os.environ.update(one_thread())
    elif not any(name in os.environ for name in WAITING) and busy_share() >= BUSY_SHARE:
        os.environ.update(SLEEPING)


def one_thread() -> Mapping[str, str]:
    """Return the environment of a process that has others of its kind beside it, for what the user has not set."""
    return {name: "1" for name in ALONE if name not in os.environ}


def busy_share() -> float:
    """Return the share of the usable cores that other programs take, in [0, 1]. It sleeps while it measures.

    Processes of low priority (nice) do not count: they give way.
    """
    cores = psutil.cpu_times_percent(MEASURED_SECONDS, percpu=True)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
    free = ("idle", "iowait", "nice")
    taken = [
        100 - sum(getattr(core, name, 0) for name in free) for number, core in enumerate(cores) if number in usable
    ]
    return sum(taken) / (100 * len(taken)) if taken else 0.0
