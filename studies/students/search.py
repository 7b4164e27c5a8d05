"""How the bits of `student4` were chosen: what each matrix costs, and the cheapest choice that fits into a budget.

    python studies/students/search.py DATA --measure        # half an hour; writes sensitivities.json
    python studies/students/search.py DATA --budget 8.9e6   # prints a recipe, and what it should cost

What `subbyte quantize --budget` does (docs/bit_search.md), with two differences: the losses of both students are added,
and they are measured on newstest 2016, at one width, PROBE bits. The calibration text is that of run.py. The losses in
sensitivities.json were measured with affine levels; normal ones have 0.83 to 0.90 of their error at each width, so that
the choice is nearly the same but for the bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from run import DIRECTIONS, calibration, student

from subbyte.compress.calibration.translation import grams
from subbyte.compress.recipes.recipe import Recipe, resolved
from subbyte.compress.recipes.writing import recipe_text
from subbyte.compress.search import sensitivity
from subbyte.compress.search.budget import choice
from subbyte.compress.search.choosing import Cost
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.schemes import Normal, Scheme
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines
from subbyte.text.tokenizer import load_tokenizer

SENSITIVITIES = Path(__file__).parent / "sensitivities.json"
SENTENCES = 160  # of newstest 2016
PROBE = 3
WIDTHS = (2, 3, 4, 5, 6)
LEAST = 2e-5  # nats a token; what is measured below that is noise
SCHEMES: Mapping[int, Scheme] = {bits: Normal(bits) for bits in WIDTHS}
Measured = dict[str, list[Cost]]  # matrix -> its costs, by ranges of words for the embedding


def measure(data: Path, direction: str) -> Measured:
    """The costs of a student."""
    model = open_model(student(direction))
    tokenizer = load_tokenizer(model.folder, model.config)
    sums = grams(model, tokenizer, read_lines(calibration(data, direction)))
    lines = list(islice(read_lines(data / "newstest_en_de" / "newstest2016.en.txt.gz"), SENTENCES))
    if direction == "pt-en":
        lines = Translator.from_pretrained(student("en-pt"), activations="float32").translate(lines, beam_size=1)
    sensitivity.PROBES = (PROBE,)
    offered = {name: [*SCHEMES.values()] for name in model.roles}
    found = sensitivity.measure(model, [tokenizer.encode(line) for line in lines], sums, offered)
    return {name: [*costs] for name, costs in found.costs.items()}


def to_plain(model: Model, measured: Measured) -> dict[str, Any]:
    """As sensitivities.json has it: NAME, or NAME[first:last] for a range of rows."""
    plain = {}
    for name, costs in measured.items():
        first = 0
        for cost in costs:
            label = name if len(costs) == 1 else f"{name}[{first}:{first + cost.rows}]"
            errors = {scheme.bits: error for scheme, error in cost.errors.items()}
            nats = cost.losses[SCHEMES[PROBE]]
            plain[label] = {"rows": cost.rows, "cols": model.tensors[name].shape[1], "nats": nats, "errors": errors}
            first += cost.rows
    return plain


def from_plain(plain: Mapping[str, Any]) -> Measured:
    """The inverse."""
    measured: Measured = {}
    for label, cost in plain.items():
        errors = {SCHEMES[int(bits)]: error for bits, error in cost["errors"].items() if int(bits) in SCHEMES}
        losses = {SCHEMES[PROBE]: max(cost["nats"], LEAST)}
        measured.setdefault(label.partition("[")[0], []).append(Cost(cost["rows"], losses, errors))
    return measured


def added(several: Sequence[Measured]) -> Measured:
    """Costs whose losses at every width are those of all students together."""
    return {
        name: [
            Cost(
                costs[0].rows,
                {scheme: sum(cost.loss(scheme) for cost in costs) for scheme in SCHEMES.values()},
                {scheme: sum(cost.error(scheme) for cost in costs) for scheme in SCHEMES.values()},
            )
            for costs in zip(*(measured[name] for measured in several), strict=True)
        ]
        for name in several[0]
    }


def main() -> None:
    """Measure, or choose from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--budget", type=float, help="bytes of model.safetensors")
    arguments = parser.parse_args()
    if arguments.measure:
        plain = {d: to_plain(open_model(student(d)), measure(arguments.data, d)) for d in DIRECTIONS}
        SENSITIVITIES.write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
    if arguments.budget:
        students = [from_plain(one) for one in json.loads(SENSITIVITIES.read_text("utf-8")).values()]
        model = open_model(student(next(iter(DIRECTIONS))))
        offered = {name: [*SCHEMES.values()] for name in model.roles}
        chosen = choice(model, offered, added(students), int(arguments.budget))
        schemes = {name: option.scheme for name, option in chosen.items()}
        nats = sum(option.loss for option in chosen.values()) / len(students)
        plain = resolved(Recipe("student", "bits by what two students mind", "int8", ()), schemes)
        notes = {name: [f"{option.loss / len(students):.2g} nats"] for name, option in chosen.items()}
        print(recipe_text(plain, [f"Expected to lose {nats:.4f} nats a token, in the mean of the students."], notes))


if __name__ == "__main__":
    main()
