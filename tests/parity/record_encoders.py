"""Record what transformers' encoders and their tokenizers compute, for tests that do without. Needs transformers.

    python tests/parity/record_encoders.py            # rewrites tests/recordings/encoders and encoder_tokenization.json
    python tests/parity/record_encoders.py --train    # also trains the tiny byte pairs again

A recording is a Hugging Face folder without a tokenizer, and in it what transformers made of the model: expected.json
(ids and types of texts, versions) and expected.safetensors (states "0", "1", ... of each text, and its logits).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from tokenizers import ByteLevelBPETokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.encoder_tokenization_cases import BYTE_PAIRS, CASES, PAIRS, TEXTS, folder_of, longest_of
from builders.tiny_marian import RECORDINGS

ENCODERS = RECORDINGS / "encoders"
TOKENIZATION = RECORDINGS / "encoder_tokenization.json"
LENGTHS = (1, 2, 5, 9, 12)

BERT: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 36,
    "max_position_embeddings": 14, "initializer_range": 0.4,
}  # fmt: skip
DISTILBERT: dict[str, Any] = {
    "vocab_size": 40, "dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 14,
    "initializer_range": 0.4,
}  # fmt: skip
ROBERTA = BERT | {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "max_position_embeddings": 18}
# name -> class of transformers, configuration
MODELS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertModel", BERT),
    "bert-classifier": ("BertForSequenceClassification", BERT | {"num_labels": 3, "hidden_act": "silu"}),
    "bert-regression": ("BertForSequenceClassification", BERT | {"num_labels": 1, "num_attention_heads": 2}),
    "distilbert": ("DistilBertModel", DISTILBERT | {"activation": "relu"}),
    "distilbert-classifier": ("DistilBertForSequenceClassification", DISTILBERT | {"num_labels": 2}),
    "roberta": ("RobertaModel", ROBERTA | {"pad_token_id": 3}),
    "roberta-classifier": ("RobertaForSequenceClassification", ROBERTA | {"num_labels": 4}),
}


def build(name: str) -> Any:
    """The model of a recording, with random weights; vectors and layer norms too."""
    architecture, config = MODELS[name]
    torch.manual_seed(7)
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(**config))
    with torch.no_grad():
        for values in model.parameters():
            if values.ndim == 1:
                values.add_(torch.rand_like(values) - 0.5)
    return model.eval()


def texts(name: str) -> tuple[list[list[int]], list[list[int]]]:
    """Ids and types of texts; RoBERTa gives the padding's id no position, so it is not among them."""
    config = MODELS[name][1]
    rng = np.random.default_rng(0)
    ids = [rng.integers(4, config["vocab_size"], n).tolist() for n in LENGTHS]
    types = 2 if name.startswith("bert") else 1
    return ids, [rng.integers(0, types, n).tolist() for n in LENGTHS]


def record(model: Any, ids: list[list[int]], types: list[list[int]]) -> dict[str, np.ndarray]:
    """The last layer's states of each text alone, and the logits of all where there are some."""
    found, logits = {}, []
    for i, (text, kinds) in enumerate(zip(ids, types, strict=True)):
        given = {"input_ids": torch.tensor([text])}
        if model.config.model_type == "bert":
            given["token_type_ids"] = torch.tensor([kinds])
        with torch.inference_mode():
            answer = model(**given, output_hidden_states=True)
        found[str(i)] = answer.hidden_states[-1][0].numpy()
        if "logits" in answer:
            logits.append(answer.logits[0].numpy())
    return found | ({"logits": np.stack(logits)} if logits else {})


def tokenization(case: str, folder: Path) -> dict[str, Any]:
    """What transformers' tokenizer makes of every text and pair."""
    kind = transformers.RobertaTokenizer if case.startswith("byte") else transformers.BertTokenizer
    tokenizer = kind.from_pretrained(folder_of(case, folder))
    cut = {"truncation": True, "max_length": longest_of(case)}
    single, pairs = tokenizer(TEXTS, **cut), tokenizer(*map(list, zip(*PAIRS, strict=True)), **cut)
    ids = single["input_ids"] + pairs["input_ids"]
    if "token_type_ids" not in single:
        return {"ids": ids, "types": [[0] * len(one) for one in ids]}
    return {"ids": ids, "types": single["token_type_ids"] + pairs["token_type_ids"]}


def main() -> None:
    """Write the recordings."""
    torch.set_num_threads(1)
    if "--train" in sys.argv:
        trained = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        trained.train_from_iterator(TEXTS, vocab_size=330, special_tokens=special, show_progress=False)
        BYTE_PAIRS.mkdir(exist_ok=True)
        trained.save_model(str(BYTE_PAIRS))
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for name in MODELS:
        model, (ids, types), folder = build(name), texts(name), ENCODERS / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "expected.json").write_text(json.dumps({**versions, "ids": ids, "types": types}) + "\n", "utf-8")
        save_file(record(model, ids, types), folder / "expected.safetensors")
    with tempfile.TemporaryDirectory() as home:
        cases = {case: tokenization(case, Path(home) / case) for case in CASES}
    TOKENIZATION.write_text(json.dumps({"cases": cases, **versions}, separators=(",", ":")), "utf-8")


if __name__ == "__main__":
    main()
