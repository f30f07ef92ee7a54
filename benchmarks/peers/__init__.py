"""Who is measured: chainrule, and other libraries in their fastest reasonable forms.

Each module has ``forms(work, threads)``: what it can do of a workload, by name; and ``version()``. A form is a function
that sets everything up and returns a ``Trainer``. Modules are imported only in a worker, so that no library is in the
process of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which


@dataclass(frozen=True)
class Peer:
    """A library: the module here that drives it, and what must be installed for it."""

    name: str
    module: str
    needs: str
    kinds: tuple[str, ...] = ("train", "many", "predict")

    def missing(self) -> str:
        """Return what is not installed, or an empty string."""
        if self.needs == "gcc":
            return "" if which("gcc") else "gcc"
        return "" if find_spec(self.needs) else self.needs


_ALL = ("train", "tabular", "many", "predict", "process")
OURS = Peer("chainrule", "ours", "chainrule", _ALL)
PEERS = {
    peer.name: peer
    for peer in (
        Peer("torch", "torch_", "torch", _ALL[:-1]),
        Peer("jax", "jax_", "jax", _ALL[:-1]),
        Peer("sklearn", "sklearn_", "sklearn", ("train", "many", "predict", "process")),
        Peer("onnxruntime", "onnx_", "onnxruntime", ("predict",)),
        Peer("c", "c", "gcc", ("train",)),
    )
}
PEAK = Peer("peak", "peak", "llvmlite", ("train", "many"))
"""Not a peer but a limit: what the cores can multiply and add at most."""
