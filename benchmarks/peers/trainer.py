"""What a form of a peer looks like to the worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.workloads import Workload

Array = np.ndarray[Any, Any]


class Clock:
    """What time is measured by: the wall clock, or the CPU time of the process and of those it started."""

    cpu = False

    @classmethod
    def now(cls) -> float:
        return sum(os.times()[:4]) if cls.cpu else perf_counter()


class Trainer:
    """Something that does units of work, one after another, and can say what came out of them."""

    amount = 1.0
    """What one unit counts for."""
    units = 1
    """They are used in turn."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.next = 0

    def unit(self, number: int) -> None:
        """Do one unit of work, and come back when it is done."""
        raise NotImplementedError

    def result(self) -> Array:
        """Return the loss over all rows (for each network), predictions, or a score."""
        raise NotImplementedError

    def first(self) -> None:
        """Do the first unit, compilation and all."""
        self.unit(0)

    def check(self) -> Array:
        """Start again, do what is to be compared, and return the result."""
        self.unit(0)
        return self.result()

    def rate(self, seconds: float) -> float:
        """Return how much was done in a second, over about so many seconds."""
        begin, done = Clock.now(), 0
        while True:
            self.unit(self.next)
            self.next = (self.next + 1) % self.units
            done += 1
            spent = Clock.now() - begin
            if spent >= seconds:
                return done * self.amount / spent


class Steps(Trainer):
    """Training, a step for each row of an order [steps, batch]."""

    def __init__(self, work: Workload, one_by_one: bool = False) -> None:
        super().__init__(work)
        orders = work.orders(one_by_one)
        self.units = len(orders)
        self.amount = float(orders.shape[1] * work.nets)
        self.orders = [self.prepare(order) for order in orders]

    def prepare(self, order: Array) -> Any:
        """Bring an order of rows into the library's own form, outside the time that is measured."""
        return order

    def train(self, order: Any) -> None:
        """Take the steps of a prepared order, and come back when they are done."""
        raise NotImplementedError

    def restart(self) -> None:
        """Go back to the first parameters."""
        raise NotImplementedError

    def unit(self, number: int) -> None:
        self.train(self.orders[number])

    def check(self) -> Array:
        self.restart()
        orders = self.work.orders().reshape(-1, self.work.batch)
        self.train(self.prepare(orders[: self.work.check]))
        return self.result()


class Prediction(Trainer):
    """Predictions by a function of nothing, which returns an array on the host; ``build`` makes it, and may compile."""

    def __init__(self, work: Workload, build: Callable[[], Callable[[], Any]]) -> None:
        super().__init__(work)
        self.build = build
        self.call: Callable[[], Any] = lambda: None
        self.amount = float(work.rows)

    def first(self) -> None:
        self.call = self.build()
        self.call()

    def unit(self, number: int) -> None:
        self.call()

    def result(self) -> Array:
        return np.asarray(self.call()).reshape(-1)[:10_000]

    def rate(self, seconds: float) -> float:
        """One row takes microseconds: the clock is read once in many calls."""
        call = self.call
        repeats = 200 if self.work.rows == 1 else 1
        begin, calls = Clock.now(), 0
        while True:
            for _ in range(repeats):
                call()
            calls += repeats
            spent = Clock.now() - begin
            if spent >= seconds:
                return calls * self.amount / spent
