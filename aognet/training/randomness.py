"""Saves and restores the states of all random generators of a process."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

JSON_BYTES = 1 << 15  # fixed, so that the states of several processes can be gathered as one tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch (CPU and ``device``), Python and NumPy as byte tensors."""
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    text = json.dumps({"python": random.getstate(), "numpy": numpy_state}).encode()
    state = {"torch": torch.get_rng_state(), "json": torch.tensor(list(text.ljust(JSON_BYTES)), dtype=torch.uint8)}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the states that :func:`random_state` returned, but not that of a device that is not used here.

    :raises ValueError: if it is no such state; some generators may then be set already.
    """
    try:
        torch.set_rng_state(state["torch"].contiguous())
        values = json.loads(bytes(state["json"].tolist()))
        version, internal, gauss = values["python"]
        random.setstate((version, tuple(internal), gauss))
        values["numpy"]["state"]["key"] = np.array(values["numpy"]["state"]["key"], dtype=np.uint32)
        np.random.set_state(values["numpy"])
        if device.type != "cpu" and "device" in state:
            torch.get_device_module(device).set_rng_state(state["device"].contiguous())
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        raise ValueError("these are no random states") from error


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), Python and NumPy."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def untouched_randomness(device: torch.device) -> Iterator[None]:
    """Restore all random generators after the body, whatever it draws."""
    state = random_state(device)
    try:
        yield
    finally:
        set_random_state(state, device)
