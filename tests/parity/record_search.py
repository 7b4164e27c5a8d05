"""Record what MarianMTModel finds under search settings, for tests/run/test_search_recordings.py. Needs transformers.

    python tests/parity/record_search.py    # rewrites tests/recordings/search.json

The models are those of record_marian.py. Every case of search_cases.py is searched greedily and with beams, one
sentence at a time.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, MarianMTModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.search_cases import BEAMS, CASES, END, MODELS, Case

RECORDINGS = Path(__file__).parents[1] / "recordings"


def record(name: str, case: Case) -> dict[str, Any]:
    """Greedy words, and beams' words and scores, of each source of a recorded model."""
    folder = RECORDINGS / "marian" / name
    model = MarianMTModel.from_pretrained(folder).eval()
    sources = json.loads((folder / "expected.json").read_text("utf-8"))["sources"]
    own = json.loads((folder / "generation_config.json").read_text("utf-8"))
    model.generation_config = GenerationConfig(**{**own, **case.settings})
    start = [own["decoder_start_token_id"], *case.prefix]
    greedy, beam = [], []
    with torch.inference_mode():
        for source in sources:
            ids, prompt = torch.tensor([source]), torch.tensor([start])
            found = model.generate(ids, decoder_input_ids=prompt, num_beams=1)
            greedy.append(words(found[0].tolist(), case))
            if case.settings.get("do_sample"):
                continue  # beam search draws two words at least
            found = model.generate(
                ids, decoder_input_ids=prompt, num_beams=BEAMS, num_return_sequences=BEAMS, output_scores=True,
                return_dict_in_generate=True,
            )  # fmt: skip
            scores = found.sequences_scores.tolist()
            beam.append(
                [[words(row, case), score] for row, score in zip(found.sequences.tolist(), scores, strict=True)]
            )
    return {"greedy": greedy, "beam": beam}


def words(ids: list[int], case: Case) -> list[int]:
    """The ids between the start and the first end; an end that is not the model's own is one of them."""
    ends = case.settings.get("eos_token_id", END)
    ends = ends if isinstance(ends, list) else [ends]
    found = list(ids[1 : 1 + len(case.prefix)])
    for id in ids[1 + len(case.prefix) :]:
        if id != END:
            found.append(id)
        if id in ends:
            break
    return found


def main() -> None:
    """Write the recordings."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = {model: {name: record(model, case) for name, case in CASES.items()} for model in MODELS}
    for name in CASES:
        if name != "as it is" and all(found[model][name] == found[model]["as it is"] for model in MODELS):
            sys.exit(f"{name}: changes nothing")
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    lines = [json.dumps(versions)[1:-1]]
    lines += [f"{json.dumps(model)}: {json.dumps(cases)}" for model, cases in found.items()]
    (RECORDINGS / "search.json").write_text("{" + ",\n".join(lines) + "}\n", "utf-8")


if __name__ == "__main__":
    main()
