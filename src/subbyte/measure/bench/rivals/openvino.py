"""OpenVINO: encoders in float32, and in int8 by NNCF's post-training quantization, which was calibrated on the texts.

`python -m subbyte.measure.bench.rivals.openvino ONNX [SAMPLES.json] OUT` converts; with samples to int8. NNCF's preset
"performance" for Transformers (symmetric, with SmoothQuant and bias correction) is the fastest of its ways to int8;
int8 weights alone, with activations rounded on the way, take twice as long in large batches.

What is not int8 runs in bfloat16 where the CPU has it, OpenVINO's own default; the float32 model is told to stay so.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.measure.bench.packages import require, version_of
from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Setup, Subject, Task, encoders_only

SAMPLES = 128  # texts for calibration
LONGEST_SAMPLE = 64  # tokens
FLOAT, INT8 = "float32", "int8"


def prepare(models: Models, work: Path) -> list[Subject]:
    from subbyte.measure.bench.conversion import converted, onnx_folder

    require("converting a model for openvino", ["nncf"])
    source = models.float_folder
    exported = str(onnx_folder("openvino", source, work, version_of("torch")))
    samples = work / "openvino-samples.json"
    samples.write_text(json.dumps([[*ids[:LONGEST_SAMPLE]] for ids in models.samples[:SAMPLES]]), "utf-8")
    named = work / f"openvino-{version_of('openvino')}-nncf-{version_of('nncf')}"
    floats = converted("openvino", FLOAT, source, Path(f"{named}-{FLOAT}"), __name__, exported)
    packed = converted("openvino", INT8, source, Path(f"{named}-{INT8}"), __name__, exported, str(samples))
    return [Subject("openvino", FLOAT, floats), Subject("openvino", INT8, packed)]


def opener(setup: Setup) -> Load:
    import numpy as np
    import openvino

    def load() -> Opened:
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": len(setup.cores)}
        if setup.folder.endswith(FLOAT):
            options["INFERENCE_PRECISION_HINT"] = "f32"
        options["ENABLE_CPU_PINNING"] = False  # the worker is pinned already
        compiled = openvino.Core().compile_model(Path(setup.folder) / "model.xml", "CPU", options)
        request = compiled.create_infer_request()

        def encode(batch: Sequence[Sequence[int]], task: Task) -> Any:
            ids = np.array(batch, np.int64)
            request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)}, share_inputs=True)
            return request.get_output_tensor().data.copy()  # it is written over next time

        other = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return Opened(encode, {"inference_precision": other})

    return load


ENGINE = Engine(
    ("openvino", "nncf"), prepare, opener, ("openvino",), can=lambda task: task.form == "vectors", refusal=encoders_only
)


def main() -> None:
    """Convert."""
    import nncf
    import numpy as np
    import openvino

    from subbyte.measure.bench.conversion import paths_of

    source, *samples, out = paths_of(sys.argv[1:])
    model = openvino.Core().read_model(source / "model.onnx")
    if samples:
        texts = [np.array([ids], np.int64) for ids in json.loads(samples[0].read_text("utf-8"))]
        inputs = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in texts]
        model = nncf.quantize(
            model, nncf.Dataset(inputs), subset_size=len(inputs), model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.PERFORMANCE,
        )  # fmt: skip
    openvino.save_model(model, out / "model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
