"""An encoder in PyTorch, as transformers has it: one tensor of vectors, or of logits, out. Exported to ONNX for rivals.

Run in processes of their own only: `python -m subbyte.measure.bench.torch_encoder SOURCE OUT` writes OUT/model.onnx.
"""

import json
import sys
from pathlib import Path
from typing import Any

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "vectors"
OPSET = 17


def open_encoder(folder: str | Path, attention: str) -> Any:
    """A torch module: ids and mask [texts, tokens] -> means of the tokens' vectors, or logits; float32.

    attention  transformers' implementation: "sdpa" is its fastest; "eager" what ONNX Runtime runs fastest
    """
    import torch
    import transformers

    config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    named = config.get("architectures") or [""]  # other heads than a classifier's are left out
    kind = getattr(transformers, named[0] if named[0].endswith("ForSequenceClassification") else "AutoModel")
    model = kind.from_pretrained(folder, dtype=torch.float32, local_files_only=True, attn_implementation=attention)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # of a bare encoder: nobody reads it

    class Encoder(torch.nn.Module):  # type: ignore[misc]  # torch need not be there
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any) -> Any:
            found = self.model(input_ids=ids, attention_mask=mask)
            if "logits" in found:
                return found.logits
            weights = mask.unsqueeze(-1).to(torch.float32)
            return (found.last_hidden_state * weights).sum(1) / weights.sum(1)

    return Encoder().eval()


def main() -> None:
    """Write OUT/model.onnx, for any number of texts of any length."""
    import torch

    from subbyte.measure.bench.conversion import paths_of

    source, out = paths_of(sys.argv[1:])
    model = open_encoder(source, "eager")
    ids = torch.full((2, 9), 3)
    axes = {name: {0: "texts", 1: "tokens"} for name in INPUTS} | {OUTPUT: {0: "texts"}}
    with torch.no_grad():
        torch.onnx.export(
            model, (ids, torch.ones_like(ids)), str(out / "model.onnx"), input_names=[*INPUTS], output_names=[OUTPUT],
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,  # the newer exporter's run slower in ONNX Runtime
        )  # fmt: skip


if __name__ == "__main__":
    main()
