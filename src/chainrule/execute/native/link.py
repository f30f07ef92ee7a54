"""Linking compiled text with the matrix products that it calls, which are compiled once a process."""

from __future__ import annotations

from collections.abc import Iterable

from chainrule.execute.native import engine
from chainrule.execute.native.matmul import kernel_text

_kernels: dict[str, engine.Library] = {}


def kernel_address(name: str) -> int:
    """Return the address of a matrix product."""
    if name not in _kernels:
        dtype = name.removeprefix("matmul_")
        _kernels[name] = engine.Library(engine.to_object(kernel_text(dtype, engine.host()["vector_bytes"])), name)
    return _kernels[name].address(name)


def link(text: str, symbol: str, products: Iterable[str]) -> engine.Library:
    """Compile text and link it with the products that it calls."""
    return engine.Library(
        engine.to_object(text), symbol, imports={name: kernel_address(name) for name in sorted(products)}
    )
