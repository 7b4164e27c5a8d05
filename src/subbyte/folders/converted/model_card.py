"""The README.md of a converted folder: where it comes from, how it was made, how large it is, how to use it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from subbyte.models.kinds import Purpose, purpose_of
from subbyte.models.model import Model

# keys of the front matter that describe the converted model, not its source; all others (licence, language, data) stay
OURS = ("base_model", "base_model_relation", "library_name", "pipeline_tag", "tags", "model-index")
OURS_OF = re.compile(r"^base_model: (.*)\nbase_model_relation: quantized\nlibrary_name: subbyte$", re.MULTILINE)
SOURCE_CARD = "\n## The card of the source model\n\n"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def model_card(model: Model, sizes: Mapping[str, int], source_card: str | None, producer: str) -> str:
    """The text of the card.

    sizes        file name -> bytes, of the files beside the card
    source_card  the card of the source folder; its attribution and licence are kept. Or a card that this function
                 wrote, of a folder that is saved again: it becomes one of the same source
    """
    front, body = split_front_matter(source_card or "")
    name, use = base_name(model), USES[purpose_of(model)]
    if again := OURS_OF.search(front):
        name, body = again[1], body.partition(SOURCE_CARD)[2]
    parameters = model.parameters
    weights = sizes["model.safetensors"]
    recipe = model.recipe.get("name", "a recipe of its own")
    card = f"""---
{kept_keys(front)}base_model: {name}
base_model_relation: quantized
library_name: subbyte
pipeline_tag: {use.pipeline}
tags:
- subbyte
- quantized
---

# {name}, in {8 * weights / parameters:.2f} bits per weight

The model {name}, its weight matrices compressed by {producer} with the recipe `{recipe}`. `report.json` says how that
was done and what each tensor lost by it, `config.json` has the recipe with every option.

| | bytes |
|---|---|
| weights in float32 ({parameters:,} parameters) | {4 * parameters:,} |
| `model.safetensors` | {weights:,} ({4 * parameters / weights:.1f} times smaller) |

## Use

```
pip install .          # in a checkout of subbyte's source
{use.command}
```

```python
import subbyte

{use.python}
```

Compressed weights {use.differ}; measure on text of your own
with `{use.evaluation}`.
"""
    return f"{card}{SOURCE_CARD}{body.strip()}\n" if body.strip() else card


class _Use(NamedTuple):
    """How a model is used: its pipeline on the hub, and what the card shows."""

    pipeline: str
    command: str
    python: str
    differ: str
    evaluation: str


USES: Mapping[Purpose, _Use] = {
    "translation": _Use(
        "translation",
        'echo "A sentence." | subbyte translate FOLDER',
        'translator = subbyte.Translator.from_pretrained("FOLDER")\nprint(translator.translate(["A sentence."]))',
        "give other translations than the float32 model now and then",
        "subbyte evaluate FOLDER --task translation --source F --reference F",
    ),
    "classification": _Use(
        "text-classification",
        'echo "A sentence." | subbyte classify FOLDER',
        'classifier = subbyte.Classifier.from_pretrained("FOLDER")\nprint(classifier(["A sentence."]))',
        "give other probabilities than the float32 model, and now and then another label",
        "subbyte evaluate FOLDER --task classification --data F",
    ),
    "sts": _Use(
        "sentence-similarity",
        'echo "A sentence." | subbyte encode FOLDER --out vectors.npy',
        'encoder = subbyte.Encoder.from_pretrained("FOLDER")\nprint(encoder.encode(["A sentence."]))',
        "give vectors near those of the float32 model, not the same",
        "subbyte evaluate FOLDER --task sts --data F",
    ),
}


def base_name(model: Model) -> str:
    """What the source is called: its name on the hub if its configuration says so, else the name of its folder.

    Configurations of models that were trained further often name the model that was trained from: another last part.
    """
    named, folder = model.config.get("_name_or_path"), Path(os.path.abspath(model.folder)).name
    ours = isinstance(named, str) and HUB_NAME.fullmatch(named) and named.rpartition("/")[2] == folder
    return str(named) if ours else folder


def split_front_matter(card: str) -> tuple[str, str]:
    """The YAML between the `---` lines at the top of a card, and the rest."""
    match = re.match(r"---\n(.*?\n)---\n", card.replace("\r\n", "\n"), re.DOTALL)
    return (match[1], card.replace("\r\n", "\n")[match.end() :]) if match else ("", card)


def kept_keys(front_matter: str) -> str:
    """The top-level entries of a front matter that describe the source, each with the lines that belong to it."""
    kept, keeping = [], False
    for line in front_matter.splitlines(keepends=True):
        if key := re.match(r"([\w-]+):", line):
            keeping = key[1] not in OURS
        if keeping:
            kept.append(line)
    return "".join(kept)
