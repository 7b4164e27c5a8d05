"""ONNX Runtime: encoders in float32 and in its dynamic int8, in a session with all of its graph optimizations.

`python -m subbyte.measure.bench.rivals.onnxruntime ONNX OUT` quantizes: int8 weights with a scale per output, which on
x86 with VNNI or AMX is as fast as any of its ways, and the closest to float32; uint8 weights take twice as long. A
graph that was fused by `onnxruntime.transformers.optimizer` beforehand is slower than one that the session fuses.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.measure.bench.packages import require, version_of
from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Setup, Subject, Task, encoders_only


def prepare(models: Models, work: Path) -> list[Subject]:
    from subbyte.measure.bench.conversion import converted, onnx_folder

    source = models.float_folder
    floats = onnx_folder("onnxruntime", source, work, version_of("torch"))
    folder = work / f"onnxruntime-{version_of('onnxruntime')}-int8"
    require("converting a model for onnxruntime", ["onnx"])
    packed = converted("onnxruntime", "int8", source, folder, __name__, str(floats))
    return [Subject("onnxruntime", "float32", floats), Subject("onnxruntime", "int8", packed)]


def opener(setup: Setup) -> Load:
    import numpy as np
    import onnxruntime

    def load() -> Opened:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(setup.cores)
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        file = str(Path(setup.folder) / "model.onnx")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        def encode(batch: Sequence[Sequence[int]], task: Task) -> Any:
            ids = np.array(batch, np.int64)
            return session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]

        return Opened(encode, {"provider": session.get_providers()[0]})

    return load


ENGINE = Engine(
    ("onnxruntime",), prepare, opener, ("onnxruntime",), can=lambda task: task.form == "vectors", refusal=encoders_only
)


def main() -> None:
    """Quantize."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from subbyte.measure.bench.conversion import paths_of

    source, out = paths_of(sys.argv[1:])
    quantize_dynamic(
        source / "model.onnx", out / "model.onnx", weight_type=QuantType.QInt8, per_channel=True, reduce_range=False,
        extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip


if __name__ == "__main__":
    main()
