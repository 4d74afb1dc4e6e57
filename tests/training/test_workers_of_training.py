"""Processes that load data: started so that no thread of the training can hang them, and ended with it."""

import ast
import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aognet.config import load_config
from aognet.targets import build
from aognet.training.loader import load_batches
from tests.data.test_streams import write_shards
from tests.training.test_main import start, wait_for
from tests.training.toy import metrics

ROOT = Path(__file__).parents[2]
CONFIG = """
model: {{target: toy}}
data:
  train: &data {{target: views, height: 256, size: 64, folders: [{folder}]}}
  validation: *data
trainer: {{max_steps: 4, validate_every: 1, images_every: 1, image_samples: 2, validation_samples: 4, num_workers: 2,
           threads: 2, device: cpu, log_every: 1}}
"""


@pytest.fixture
def panoramas(tmp_path: Path) -> Path:
    folder = tmp_path / "panoramas"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (256, 512, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.slow
def test_threads_workers_validation_and_images_go_together(tmp_path: Path, panoramas: Path) -> None:
    (tmp_path / "toy.yaml").write_text(CONFIG.format(folder=panoramas))
    with start(tmp_path, "-n", "run") as process:
        try:
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert list(metrics(tmp_path / "run", "val/loss")) == [1, 2, 3, 4]


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_ends_the_step(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(
        "model: {target: toy}\ndata: {train: {target: toy_samples}, validation: {target: toy_samples}}\n"
        "trainer: {max_steps: 100000, validate_every: 1, checkpoint_every: 1, num_workers: 2, threads: 2,\n"
        "          device: cpu}\n"
    )
    process = start(tmp_path, "-n", "run", session=True)
    try:
        wait_for(tmp_path / "run", process, 3)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    # Behind the command's last line, Python's tracker of semaphores may complain on a busy machine.
    said, stopped, _ = errors.partition("stopped: after step")
    assert stopped and "Traceback" not in said, errors


def forking(path: Path) -> list[str]:
    """Calls in a file that start a process as a copy of this one, or may do so by default."""
    found = []
    for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
        name, keywords = ast.unparse(call.func), {keyword.arg for keyword in call.keywords}
        forks = name in ("os.fork", "os.forkpty", "multiprocessing.Pool", "multiprocessing.Process", "Pool", "Process")
        forks |= name.endswith("get_context") and ast.unparse(call.args[0]) not in ("'spawn'", "'forkserver'")
        forks |= name.endswith("DataLoader") and "num_workers" in keywords and "multiprocessing_context" not in keywords
        forks |= name.endswith("ProcessPoolExecutor") and "mp_context" not in keywords
        if forks:
            found.append(f"{path.relative_to(ROOT)}:{call.lineno}: {name}")
    return found


def test_no_process_is_forked_from_one_with_threads() -> None:
    files = [
        *ROOT.glob("*.py"),
        *(path for part in ("aognet", "misc", "benchmarks", "integrations") for path in (ROOT / part).rglob("*.py")),
    ]
    assert len(files) > 100
    # A layer of a network has the name Pool; killed processes are forks of one that has computed nothing.
    others = ["aognet/perception/lpips.py", "benchmarks/attempts.py", "benchmarks/studio_processes.py"]
    found = [one for path in files for one in forking(path) if one.partition(":")[0] not in others]
    assert not found


def test_what_loads_data_has_one_thread_and_ends_with_the_training(tmp_path: Path) -> None:
    """Forked from a server, workers would outlive a training that is killed."""
    program = (
        "import os, time; from pathlib import Path; from aognet.training.loader import load_batches\n"
        "from tests.training.test_workers_of_training import Told\n"
        "if __name__ == '__main__':\n"
        "    print(next(load_batches(Told(), [[0], [1]], 2)), flush=True); time.sleep(60)\n"
    )
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=environment, stdout=-1, text=True)
    worker, server, threads = (int(number) for number in process.stdout.readline().split())
    process.kill()
    process.wait()
    assert threads == 1
    until = time.monotonic() + 10
    while alive(worker) or alive(server):
        assert time.monotonic() < until
        time.sleep(0.05)


class Told:
    """Samples that say which process loads them, which started that, and how many threads the latter has."""

    stream = None

    def __getitem__(self, number: int) -> str:
        threads = len(list(Path(f"/proc/{os.getppid()}/task").iterdir()))
        return f"{os.getpid()} {os.getppid()} {threads}"

    def collate(self, samples: list[str]) -> str:
        return samples[0]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("target", ["cubes", "views", "outpainting", "photographs", "panoramas"])
@pytest.mark.parametrize("streamed", [False, True])
def test_every_dataset_can_be_sent_to_a_worker(tmp_path: Path, panoramas: Path, target: str, streamed: bool) -> None:
    write_shards(tmp_path / "shards", [2, 1])
    where = f"stream: {{shards: [{tmp_path / 'shards'}]}}" if streamed else f"folders: [{panoramas}]"
    size = {"outpainting": "plan: {size: 32}, face_size: 16", "panoramas": ""}.get(target, "size: 16")
    (tmp_path / "data.yaml").write_text(f"data: {{target: {target}, height: 32, {where}, {size}}}")
    samples = build(load_config([tmp_path / "data.yaml"]).section("data"))
    copy = pickle.loads(pickle.dumps(samples))
    one, other = (next(load_batches(data, [[0, 1]], 0)) for data in (samples, copy))
    for name, value in vars(one).items():
        same = torch.equal if isinstance(value, torch.Tensor) else operator.eq
        assert same(value, getattr(other, name)), name
