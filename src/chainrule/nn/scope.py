"""What a layer sees while it computes: its own parameters, state and settings by their short names, and its own key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError


class Scope:
    """One forward computation, seen from one layer.

    ``scope["weight"]`` is the layer's parameter; ``scope.state("mean")`` its carried state; ``scope.setting("rate")`` a
    setting; ``scope.key()`` a key of its own for this step; ``scope.name("net", x)`` names a value, so that it can be
    asked for and explained; ``scope.add_up("mean", sum)`` hands sums over the rows of the batch to the state's update.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        *,
        state: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        training: bool = False,
        key: Any = None,
        rows: Any = None,
        path: str = "",
        values: dict[str, Any] | None = None,
        sums: dict[str, Any] | None = None,
    ) -> None:
        self.parameters = parameters
        self._state = state
        self._settings = settings or {}
        self._key = key
        self.training = training
        self.rows = rows
        self.path = path
        self.values: dict[str, Any] = {} if values is None else values
        self.sums: dict[str, Any] = {} if sums is None else sums

    def child(self, name: str) -> Scope:
        """Return the scope of a layer within this one."""
        return Scope(
            self.parameters,
            state=self._state,
            settings=self._settings,
            training=self.training,
            key=self._key,
            rows=self.rows,
            path=self._full(name),
            values=self.values,
            sums=self.sums,
        )

    def _full(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def __getitem__(self, name: str) -> Any:
        full = self._full(name)
        if full not in self.parameters:
            known = ", ".join(map(str, self.parameters)) or "none"
            raise TraceError(f"the parameter {full!r} is missing; the parameters given are: {known}")
        return self.parameters[full]

    def state(self, name: str) -> Any:
        full = self._full(name)
        if self._state is None or full not in self._state:
            raise TraceError(
                f"this network carries state ({full!r}), which was not given.\n"
                "  wrong:  network(parameters, X), objective(parameters, (X, y))\n"
                "  right:  network(parameters, X, state=state), objective(parameters, (X, y), state=state),\n"
                "          with state = network.initial_state(X), or run.state after training"
            )
        return self._state[full]

    def setting(self, name: str, default: float) -> Any:
        return self._settings.get(self._full(name), default)

    def key(self) -> Any:
        """Return this layer's key: two layers of different names never share random numbers."""
        if self._key is None:
            raise TraceError(
                f"the layer {self.path!r} draws random numbers in training and was given no key.\n"
                "  wrong:  network(parameters, X, training=True)\n"
                "  right:  network(parameters, X, training=True, key=cr.key(0))"
            )
        return ops.fold(self._key, ops.stream(self.path))

    def name(self, label: str, value: Any) -> Any:
        """Name a value; in a trace the name becomes part of the graph."""
        full = self._full(label)
        value = ops.named(value, name=full)
        self.values[full] = value
        return value

    def add_up(self, name: str, total: Any) -> None:
        """Hand over a sum over the rows of the batch; tiles and machines add theirs before the state is updated."""
        self.sums[self._full(name)] = total
