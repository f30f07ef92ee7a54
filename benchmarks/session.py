"""The parent's end of a worker: start it in the right environment, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer

ROOT = Path(__file__).parents[1]


class WorkerDied(Exception):
    """A worker ended without an answer."""


class Worker:
    """A process with one library, for one workload, on so many threads."""

    def __init__(self, peer: Peer, workload: str, threads: int, quick: bool, cpu: bool) -> None:
        self.peer = peer
        self.threads = threads
        self.folder = tempfile.TemporaryDirectory(prefix="chainrule-benchmark-", ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
            env=environment(threads, Path(self.folder.name), keep=quick),
        )  # fmt: skip
        try:
            hello = self._talk(
                {"workload": workload, "module": peer.module, "threads": threads, "quick": quick, "cpu": cpu}
            )
        except BaseException:
            self.close()
            raise
        self.forms: list[str] = hello["forms"]
        self.version: str = hello["version"]

    def ask(self, do: str, form: str, **more: Any) -> dict[str, Any]:
        """Return a worker's answer to one request; it has an "error" where the library raised one."""
        return self._talk({"do": do, "form": form, **more})

    def _talk(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerDied(f"{self.peer.name} ended with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process, and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()  # the worker's loop over its input ends
            self.process.wait(timeout=20)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


def environment(threads: int, folder: Path, keep: bool) -> dict[str, str]:
    """Return the environment of a worker: so many threads, whatever the library, and caches that start empty.

    The quick form keeps what is compiled where it always is.
    """
    count = str(threads)
    own = dict(os.environ)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XLA_FLAGS"):
        own.pop(name, None)  # no library is held back by what somebody tried out
    own |= dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CHAINRULE_NUM_THREADS", "NPROC"), count
    )
    if threads == 1:
        own["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if not keep:
        own |= {
            "CHAINRULE_CACHE_DIR": str(folder / "chainrule"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        }
    own |= {
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside what is measured
        "PYTHONPATH": os.pathsep.join([str(ROOT), own.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return own
