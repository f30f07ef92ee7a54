"""onnxruntime, for prediction: the graph made with the onnx package, run with all optimizations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.trainer import Prediction, Trainer
from benchmarks.workloads import Workload


def version() -> str:
    return str(onnxruntime.__version__)


def forms(work: Workload, threads: int) -> dict[str, Callable[[], Trainer]]:
    return {
        "run": lambda: Prediction(work, lambda: _run(work, threads)),
        "io binding": lambda: Prediction(work, lambda: _bound(work, threads)),
    }


def _model(work: Workload) -> bytes:
    """Gemm and Relu for each layer, then a sigmoid; the number of rows is left open."""
    nodes: list[Any] = []
    arrays: list[Any] = []
    value = "x"
    pairs = work.parameters()
    for number, (weight, bias) in enumerate(pairs, start=1):
        last = number == len(pairs)
        arrays += [numpy_helper.from_array(weight, f"w{number}"), numpy_helper.from_array(bias, f"b{number}")]
        nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [f"net{number}"]))
        nodes.append(
            helper.make_node("Sigmoid" if last else "Relu", [f"net{number}"], ["out" if last else f"h{number}"])
        )
        value = f"h{number}"
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", work.shape[0]])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", work.shape[-1]])],
        arrays,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _session(work: Workload, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(_model(work), options, providers=["CPUExecutionProvider"])


def _run(work: Workload, threads: int) -> Callable[[], Any]:
    session = _session(work, threads)
    feed = {"x": work.data()[0]}
    return lambda: session.run(["out"], feed)[0]


def _bound(work: Workload, threads: int) -> Callable[[], Any]:
    """Input and output stand where they are: no array is made for a call."""
    session = _session(work, threads)
    x, _ = work.data()
    out = np.zeros((work.rows, work.shape[-1]), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("out", "cpu", 0, np.float32, out.shape, out.ctypes.data)

    def call() -> Any:
        session.run_with_iobinding(binding)
        return out

    return call
