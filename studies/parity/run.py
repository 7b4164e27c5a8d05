"""Float32 translations by our engine and by transformers, over whole files: how many are the same, token for token.

    python studies/parity/run.py MODEL SOURCE [SOURCE ...] >> studies/parity/records.jsonl

MODEL is a float32 MarianMT folder, SOURCE its source language, a sentence a line (.gz too). Needs the extra `parity`.
Prints one JSON line a file and search on stdout; every sentence whose translations differ goes to stderr with both
scores, so that one sees whether it is a near-tie.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from tqdm import tqdm
from transformers import MarianMTModel, MarianTokenizer

from subbyte.folders.opening import open_model
from subbyte.run.translation_engine import Engine, Generation

BEAMS = 4
BATCH = 16


def lines_of(path: Path) -> list[str]:
    """The lines of a text file, packed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8").split("\n")[:-1]


def theirs(model: MarianMTModel, tokenizer: MarianTokenizer, lines: list[str], search: Generation) -> list:
    """Hypotheses (ids, score) of each line by transformers; greedy ones have no score."""
    found = []
    for first in tqdm(range(0, len(lines), BATCH), disable=None, desc=f"transformers, beam {search.beam_size}"):
        batch = tokenizer(lines[first : first + BATCH], return_tensors="pt", padding=True)
        with torch.inference_mode():
            out = model.generate(
                **batch,
                num_beams=search.beam_size,
                num_return_sequences=search.num_hypotheses,
                max_length=search.max_length,
                length_penalty=search.length_penalty,
                early_stopping=search.early_stopping,
                do_sample=False,
                return_dict_in_generate=True,
                output_scores=True,
            )
        ids = [[t for t in row[1:] if t not in (search.start, search.end)] for row in out.sequences.tolist()]
        scores = out.sequences_scores.tolist() if search.beam_size > 1 else [float("nan")] * len(ids)
        pairs = list(zip(ids, scores, strict=True))
        found += [pairs[i : i + search.num_hypotheses] for i in range(0, len(pairs), search.num_hypotheses)]
    return found


def largest_logit_difference(model: MarianMTModel, engine: Engine, sources: list, found: list, start: int) -> float:
    """Over every position and word of the best hypotheses, forced."""
    largest = 0.0
    for source, hypotheses in tqdm(list(zip(sources, found, strict=True)), disable=None, desc="logits"):
        target = [start, *hypotheses[0].tokens]
        with torch.inference_mode():
            expected = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0]
        largest = max(largest, float(np.abs(engine.logits(source, target) - expected.numpy()).max()))
    return largest


def main(folder: Path, paths: list[Path]) -> None:
    """Compare every file under greedy search, beam search, and all hypotheses of beam search."""
    model, tokenizer = MarianMTModel.from_pretrained(folder).eval(), MarianTokenizer.from_pretrained(folder)
    engine = Engine(open_model(folder))
    for path in paths:
        lines = lines_of(path)
        sources = [tokenizer(line)["input_ids"] for line in lines]
        for beams in (1, BEAMS):
            search = engine.generation(beam_size=beams, num_hypotheses=beams, max_length=128, length_penalty=1.0)
            ours = [h for i in range(0, len(sources), 32) for h in engine.translate(sources[i : i + 32], search)]
            record = {"file": path.name, "sentences": len(lines), "beam_size": beams, "isa": engine.isa}
            record |= {"transformers": transformers.__version__, "torch": torch.__version__}
            same_best = same_all = 0
            for line, a, b in zip(lines, ours, theirs(model, tokenizer, lines, search), strict=True):
                same_best += a[0].tokens == b[0][0]
                same_all += [h.tokens for h in a] == [ids for ids, _ in b]
                for rank, (mine, (ids, score)) in enumerate(zip(a, b, strict=True)):
                    if mine.tokens != ids:
                        texts = [tokenizer.decode(t) for t in (mine.tokens, ids)]
                        print(
                            f"{line}\n  {rank}: {mine.score:.5f} {texts[0]}\n     {score:.5f} {texts[1]}",
                            file=sys.stderr,
                        )
            record |= {"same_best": same_best, "same_all_hypotheses": same_all}
            if beams == 1:
                record["largest_logit_difference"] = largest_logit_difference(
                    model, engine, sources, ours, search.start
                )
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
