"""What a layer sees while it computes: its own parameters, state and settings by their short names, and its own key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainrule import ops
from chainrule.errors import TraceError
from chainrule.nn.tying import Tie, follow


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
        columns: tuple[int, ...] | None = None,
        ties: tuple[tuple[str, Tie], ...] = (),
        unnamed: bool = False,
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
        self.columns = columns
        """Which columns of the network's input the layer reads: None for all of them, () for values computed before."""
        self._ties = ties
        self._unnamed = unnamed

    def child(self, name: str, computed: bool = False, unnamed: bool = False) -> Scope:
        """Return the scope of a layer within this one; ``computed`` where it reads what another layer gives.

        ``unnamed``: what it computes gets no names, since this layer names it.
        """
        columns = () if computed else self.columns
        return self._changed(path=self._full(name), columns=columns, unnamed=unnamed or self._unnamed)

    def reading(self, columns: tuple[int, ...]) -> Scope:
        """Return the scope of a layer that reads some of the columns that this one reads."""
        mine = self.columns
        return self._changed(columns=columns if mine is None else mine and tuple(mine[c] for c in columns))

    def tied(self, tie: Tie) -> Scope:
        """Return the scope in which some parameters are others, by names within this layer."""
        return self._changed(ties=(*self._ties, (self.path, tie))) if tie else self

    def _changed(self, **changes: Any) -> Scope:
        mine = {
            "state": self._state, "settings": self._settings, "training": self.training, "key": self._key,
            "rows": self.rows, "path": self.path, "values": self.values, "sums": self.sums, "columns": self.columns,
            "ties": self._ties, "unnamed": self._unnamed,
        }  # fmt: skip
        return Scope(self.parameters, **{**mine, **changes})

    def _full(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def __getitem__(self, name: str) -> Any:
        full, transposed = self._full(name), False
        for path, tie in reversed(self._ties):  # the innermost first: what it names may be tied further out
            start = f"{path}." if path else ""
            found, turned = follow(tie, full.removeprefix(start))
            full, transposed = start + found, transposed != turned
        if full not in self.parameters:
            known = ", ".join(map(str, self.parameters)) or "none"
            raise TraceError(f"the parameter {full!r} is missing; the parameters given are: {known}")
        return ops.transpose(self.parameters[full]) if transposed else self.parameters[full]

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
        if self._unnamed:
            return value
        full = self._full(label)
        value = ops.named(value, name=full)
        self.values[full] = value
        return value

    def add_up(self, name: str, total: Any) -> None:
        """Hand over a sum over the rows of the batch; tiles and machines add theirs before the state is updated."""
        self.sums[self._full(name)] = total
