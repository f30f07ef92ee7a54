"""Threads that help with kernels which are long enough to be shared out: started when first needed, and polite.

They sleep in Python between the slices of a training run, and only within a slice do they wait in native code for
pieces of a kernel. The thread that shares a kernel out works on it too, so a helper that the machine has no room for
costs nothing but its help; nor does one that cannot be started.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.execute.native import link, sharing
from chainrule.execute.native.arena import aligned

_WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class Pool:
    """Helpers for one slice of one training run at a time; fewer than asked for, where no more can be started."""

    def __init__(self, helpers: int) -> None:
        self.memory = aligned(sharing.POOL_SIZE + 8 * (helpers + 1), "i64")
        self.address = int(self.memory.ctypes.data)
        self._work = _WORK(link.address("work"))
        self._left = threading.Semaphore(0)
        self.taken = threading.Lock()
        self.memory[sharing.POOL["yield"]] = _yield_address()
        self._start: list[threading.Semaphore] = []
        for i in range(helpers):
            start = threading.Semaphore(0)
            helper = threading.Thread(target=self._help, args=(start, i), name=f"chainrule-{i + 1}", daemon=True)
            if not _started(helper):
                break
            self._start.append(start)
        self.memory[sharing.POOL["threads"]] = len(self._start) + 1

    def _help(self, start: threading.Semaphore, number: int) -> None:
        while True:
            start.acquire()
            self._work(self.address, number + 1)
            self._left.release()

    def begin(self) -> None:
        """Call the helpers to their places."""
        self.memory[sharing.POOL["leave"]] = 0
        for start in self._start:
            start.release()

    def end(self) -> None:
        """Send the helpers away, and wait until all have left."""
        self.memory[sharing.POOL["leave"]] = 1
        for _ in self._start:
            self._left.acquire()


_pools: dict[int, Pool] = {}
_making = threading.Lock()


@contextmanager
def helpers(threads: int) -> Iterator[int]:
    """Have helpers for a while; yields the pool's address, or 0 where none are to be had (another run has them)."""
    if threads < 2 or sys.platform == "win32":
        yield 0
        return
    with _making:
        pool = _pools.get(threads)
        if pool is None:
            pool = _pools[threads] = Pool(threads - 1)
    if not pool.taken.acquire(blocking=False):
        yield 0
        return
    try:
        pool.begin()
        try:
            yield pool.address
        finally:
            pool.end()
    finally:
        pool.taken.release()


def side_by_side(work: Callable[[], None], threads: int, problems: list[Any]) -> None:
    """Run a function on this thread and on others at once; what any of them raises is added to ``problems``.

    The function must look at ``problems``, and come to an end where there are any. Ctrl-C is raised here, but not
    before the others have ended: they write to memory that the caller is about to let go.
    """

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)

    others = [threading.Thread(target=guarded, name=f"chainrule-rows-{i + 1}") for i in range(threads - 1)]
    others = [thread for thread in others if _started(thread)]
    try:
        guarded()
    finally:
        for thread in others:
            thread.join()


def _started(thread: threading.Thread) -> bool:
    """Start a thread, if the system lets us have one more, and the interpreter is not being taken down."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _forget() -> None:
    """A forked child has none of its parent's threads, and must not wait for them."""
    global _making
    _making = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _yield_address() -> int:
    """Return the address of sched_yield, or 0."""
    try:
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
    except (AttributeError, OSError):
        return 0
