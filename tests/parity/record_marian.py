"""Record what MarianMTModel computes with tiny random models, for tests/run/test_recordings.py. Needs transformers.

    python tests/parity/record_marian.py    # rewrites tests/recordings/marian/

A recording is a Hugging Face folder without a tokenizer, and in it what transformers made of the model:
expected.json (source and target ids, greedy and beam-4 output, scores) and expected.safetensors (logits).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig, MarianConfig, MarianMTModel

RECORDINGS = Path(__file__).parents[1] / "recordings" / "marian"
END = 0
BEAMS = 4


@dataclass(frozen=True)
class Case:
    """A model to make. Seed and updates were searched for output that proves something: see `faults`."""

    seed: int
    updates: int  # of training
    config: dict[str, Any]
    generation: dict[str, Any]


CASES: Mapping[str, Case] = {
    "opus": Case(  # in the manner of opus-mt: everything tied, swish
        seed=1,
        updates=160,
        config={"activation_function": "swish", "vocab_size": 96},
        generation={"bad_words_ids": [[95]], "forced_eos_token_id": END, "max_length": 8},
    ),
    "short": Case(  # relu, heads of 20 columns, more encoder than decoder, several banned words
        seed=2,
        updates=250,
        config={"d_model": 40, "encoder_layers": 3, "decoder_layers": 1, "vocab_size": 60},
        generation={
            "bad_words_ids": [[59], [7], [11]],
            "length_penalty": 0.6,
            "early_stopping": True,
            "max_length": 7,
        },
    ),
    "separate": Case(  # two vocabularies, nothing tied, gelu
        seed=1,
        updates=160,
        config={
            "activation_function": "gelu",
            "encoder_layers": 1,
            "vocab_size": 110,
            "decoder_vocab_size": 83,
            "share_encoder_decoder_embeddings": False,
            "tie_word_embeddings": False,
        },
        generation={
            "bad_words_ids": [[82], [5]],
            "renormalize_logits": True,
            "length_penalty": 1.4,
            "max_length": 9,
        },
    ),
    "half-tied": Case(  # two vocabularies, the output tied to the decoder's; no word is banned
        seed=4,
        updates=160,
        config={
            "scale_embedding": False,
            "encoder_layers": 1,
            "vocab_size": 64,
            "decoder_vocab_size": 120,
            "share_encoder_decoder_embeddings": False,
        },
        generation={"forced_eos_token_id": END, "length_penalty": 0.0, "max_length": 8},
    ),
    "untied": Case(  # one vocabulary, three matrices; heads of 12 columns; a least length
        seed=4,
        updates=160,
        config={
            "activation_function": "gelu",
            "d_model": 36,
            "encoder_attention_heads": 3,
            "decoder_attention_heads": 3,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_ffn_dim": 20,
            "tie_word_embeddings": False,
            "scale_embedding": False,
        },
        generation={"min_length": 4, "renormalize_logits": True, "early_stopping": True, "max_length": 8},
    ),
}


def build(name: str) -> MarianMTModel:
    """The model of a case: random weights that were trained a little, as random ones say one word for ever."""
    case = CASES[name]
    torch.manual_seed(case.seed)
    config = MarianConfig(
        **{
            "activation_function": "relu",
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 40,
            "decoder_ffn_dim": 32,
            "max_position_embeddings": 24,
            "vocab_size": 80,
            "scale_embedding": True,
            "eos_token_id": END,
            "init_std": 0.2,
            "dropout": 0.0,
            **case.config,
        }
    )
    pad = min(config.vocab_size, config.decoder_vocab_size) - 1
    config.pad_token_id = config.decoder_start_token_id = pad
    model = MarianMTModel(config)
    with torch.no_grad():
        model.final_logits_bias.normal_(0, 1)
        for values in model.parameters():
            if values.ndim == 1:
                values.add_(torch.rand_like(values) - 0.5)
    train(model, case.updates)
    model.generation_config = GenerationConfig(
        eos_token_id=END, pad_token_id=pad, decoder_start_token_id=pad, num_beams=BEAMS, **case.generation
    )
    return model.eval()


def train(model: MarianMTModel, updates: int) -> None:
    """Teach the model a language: the words backwards, each another one, and some of them left out."""
    pad, end = model.config.pad_token_id, torch.tensor([END])
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(updates):
        sources = [torch.randint(1, pad, (n,)) for n in torch.randint(1, 12, (64,)).tolist()]
        targets = [torch.cat([(source[source % 4 > 0].flip(0) * 7) % (pad - 1) + 1, end]) for source in sources]
        ids = pad_sequence([torch.cat([source, end]) for source in sources], True, pad)
        labels = pad_sequence(targets, True, -100)
        loss = model(input_ids=ids, attention_mask=(ids != pad).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def record(model: MarianMTModel, sources: list[list[int]], targets: list[list[int]]) -> tuple[dict[str, Any], dict]:
    """What the model makes of `sources`, one at a time, and its logits when `targets` are forced.

    The document for expected.json, and logits {"0": float32 [len(target), vocabulary], ...} of the first sources.
    """
    greedy, beam, logits = [], [], {}
    with torch.inference_mode():
        for i, target in enumerate(targets):
            found = model(input_ids=torch.tensor([sources[i]]), decoder_input_ids=torch.tensor([target])).logits
            logits[str(i)] = found[0].numpy()
        for source in sources:
            ids = torch.tensor([source])
            greedy.append(_words(model.generate(ids, num_beams=1, do_sample=False)[0]))
            found = model.generate(
                ids, num_return_sequences=BEAMS, return_dict_in_generate=True, output_scores=True, do_sample=False
            )
            scores = found.sequences_scores.tolist()
            beam.append([[_words(ids), score] for ids, score in zip(found.sequences, scores, strict=True)])
    return {"sources": sources, "targets": targets, "greedy": greedy, "beam": beam}, logits


def _words(ids: torch.Tensor) -> list[int]:
    """The ids between the start and the first end of sentence."""
    words = ids.tolist()[1:]
    return words[: words.index(END)] if END in words else words


def examples(name: str, model: MarianMTModel) -> tuple[list[list[int]], list[list[int]]]:
    """Ten sources of 1 to 12 words and their end, and three targets that begin with the start."""
    random = np.random.default_rng(CASES[name].seed)
    pad, words = model.config.pad_token_id, model.config.decoder_vocab_size
    sources = [[*random.integers(1, pad, n).tolist(), END] for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)]
    targets = [[pad, *random.integers(1, words, n).tolist()] for n in (1, 5, 9)]
    return sources, targets


def faults(recorded: Mapping[str, Any], most: int) -> list[str]:
    """Why output is too dull to prove anything; [] if it is not. `most` is max_length."""
    greedy, beam = recorded["greedy"], recorded["beam"]
    lengths = [len(words) for words in greedy]
    gaps = [a[1] - b[1] for found in beam for a, b in pairwise(found)]
    checks = {
        "fewer than 5 lengths": len(set(lengths)) < 5,
        "not 1 to 4 cut off": not 1 <= sum(n >= most - 2 for n in lengths) <= 4,
        "fewer than 9 different": len(set(map(tuple, greedy))) < 9,
        "words repeat": sum(len(set(words)) for words in greedy) < 0.6 * sum(lengths),
        "beam as greedy": sum(found[0][0] != words for found, words in zip(beam, greedy, strict=True)) < 2,
        "scores too near": min(gaps) < 3e-4,
    }
    return [fault for fault, true in checks.items() if true]


def main() -> None:
    """Write the recordings."""
    torch.set_num_threads(1)
    for name in CASES:
        model, folder = build(name), RECORDINGS / name
        recorded, logits = record(model, *examples(name, model))
        if found := faults(recorded, model.generation_config.max_length):
            sys.exit(f"{name}: {', '.join(found)}")
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        versions = {"transformers": transformers.__version__, "torch": torch.__version__, "seed": CASES[name].seed}
        (folder / "expected.json").write_text(json.dumps({**versions, **recorded}) + "\n", "utf-8")
        save_file(logits, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
