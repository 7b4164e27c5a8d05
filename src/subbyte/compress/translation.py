"""What `quantize` asks of a translation model: its rounded form under a recipe, and how far that agrees with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from subbyte.compress.calibration.shipped_text import UNKNOWN
from subbyte.compress.calibration.texts import Texts, translated_languages
from subbyte.compress.calibration.translation import grams, grams_of, readable
from subbyte.compress.calibration.words import word_frequencies
from subbyte.compress.choice import Verdict
from subbyte.compress.recipes.recipe import Recipe, resolve
from subbyte.compress.rounding import under
from subbyte.compress.search.budget import Found, search
from subbyte.compress.search.probes import Lost
from subbyte.compress.search.sized import Reading, apart, to_size
from subbyte.compress.translation_agreement import KEPT, Asked, ask, described
from subbyte.models import marian
from subbyte.models.model import Model
from subbyte.models.translation import BIAS, OUTPUT
from subbyte.numbers.arrays import Array
from subbyte.numbers.matrices import dequantize
from subbyte.numbers.output_rounding import Columns, columns_of
from subbyte.numbers.packed import PackedMatrix
from subbyte.progress import Progress, phase
from subbyte.run.likelihood import translations
from subbyte.run.translation_engine import Engine
from subbyte.text.batches import DEFAULT_BATCH_SIZE, in_batches
from subbyte.text.lines import read_lines
from subbyte.text.marian_files import source_language
from subbyte.text.tokenizer import Tokenizer, load_tokenizer

MOST_LOGITS = 1 << 26  # that are kept while models are compared: 2,000 tokens of 32,000 words


class TranslationTask:
    """A float translation model, and the texts it is rounded for and compared on, read once for all recipes."""

    def __init__(
        self, model: Model, texts: Callable[[Sequence[str]], Texts], frequencies: str | Path | None = None
    ) -> None:
        self.model = model
        self.tokenizer = load_tokenizer(model.folder, model.config)
        counted = None if frequencies is None else read_lines(frequencies)
        self.frequencies = None if counted is None else word_frequencies(model, self.tokenizer, counted)
        self.texts = texts(languages(model, self.tokenizer))
        self._sums: Mapping[str, Columns] | None = None
        self._asked: Asked | None = None

    def searched(self, budget: str, calibration: Path, recipe: Recipe, progress: Progress | None) -> Found:
        """The recipe whose weights file fits into a budget, with the least loss on the calibration text."""
        return search(
            self.model, self.tokenizer, budget, read_lines(calibration), recipe, text=calibration.name,
            frequencies=self.frequencies, progress=progress,
        )  # fmt: skip

    def sized(self, recipe: Recipe, progress: Progress | None = None) -> Found:
        """The model under a recipe with a budget, and that recipe with every step."""
        reading = partial(self._reading, recipe, progress) if self.texts.calibration else None
        return to_size(recipe, self.model, reading, self.frequencies, progress)

    def compressed(self, recipe: Recipe, progress: Progress | None = None) -> Model:
        """The model under a recipe."""
        resolve(recipe, self.model)  # what is wrong with it is said before the text is read
        sums = self._sums_of_text(progress) if self.texts.calibration is not None else None
        rounding = phase(progress, f"rounding to {recipe.name}")
        return under(recipe, self.model, self.frequencies, sums, rounding)

    def _sums_of_text(self, progress: Progress | None) -> Mapping[str, Columns]:
        if self._sums is None:
            lines = self.texts.calibration or ()
            self._sums = columns_of(grams(self.model, self.tokenizer, lines, phase(progress, "calibrating")))
        return self._sums

    def _reading(self, recipe: Recipe, progress: Progress | None) -> Reading:
        """What a size needs of the text: nats that are lost on a third of it, by the sums of the rest."""
        engine = Engine(self.model, activations="float32")
        sentences = readable(self.tokenizer, self.texts.calibration or (), engine.max_positions)
        seen, held_out = apart(sentences)
        seen_sums = columns_of(grams_of(self.model, engine, seen, phase(progress, "reading the text")))
        return Reading(
            sums=self._sums_of_text(progress), seen=seen_sums, lost=partial(_nats, held_out), name="nats",
            unit="nats a token", lines=len(held_out), 
            on=f"the model's own translations of a third of {self.texts.calibration_name}",
        )  # fmt: skip

    def verdict(self, packed: Model, progress: Progress | None = None) -> Verdict:
        """How far the result is from the model. Raises ModelError where the model cannot translate."""
        if self._asked is None:
            asking = phase(progress, "translating the check text")
            self._asked = ask(self.model, self.tokenizer, self.texts.check, asking)
        found = self._asked.agreement(packed, phase(progress, f"checking {packed.recipe['name']}"))
        said = partial(described, found, self.texts.check_name)
        return Verdict(found["lost"], KEPT, said, found)


def _nats(sentences: Sequence[Sequence[int]], base: Model) -> Lost:
    """How far a changed model's probabilities of words are from those of `base`, at tokens of its translations.

    That is their Kullback-Leibler divergence, which is nothing but what changed: the log-probability of the token that
    is there rises and falls by chance as well, and takes several times the text to tell as much.
    """
    engine = Engine(base)
    bias = np.asarray(base.tensors[BIAS], np.float32).ravel()
    most = MOST_LOGITS // len(bias)
    batches, tokens = [], 0
    for some in in_batches(sentences, DEFAULT_BATCH_SIZE):
        if tokens < most:
            targets = translations(engine, some)
            batches.append((some, targets))
            tokens += sum(map(len, targets))

    def logs(model: Model) -> Iterator[Array]:
        """Log-probabilities of all words, batch by batch."""
        ran = Engine(model)
        stored = model.tensors[model.aliases.get(OUTPUT, OUTPUT)]
        words = dequantize(stored) if isinstance(stored, PackedMatrix) else np.asarray(stored)
        for some, targets in batches:
            (states,) = ran.inputs(some, targets, [OUTPUT])
            found = states @ words.T + bias
            found -= found.max(axis=1, keepdims=True)
            found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
            yield found

    before = list(logs(base))

    def lost(changed: Model) -> Array:
        pairs = zip(before, logs(changed), strict=True)
        return np.concatenate([(np.exp(first) * (first - then)).sum(axis=1) for first, then in pairs])

    return lost


def languages(model: Model, tokenizer: Tokenizer) -> tuple[str, ...]:
    """The languages that a translation model reads, as far as a text in them ships."""
    unknown = tokenizer.source.unk_id()

    def tokens(line: str) -> int:
        ids: list[int] = tokenizer.source.encode(line)
        return len(ids) + UNKNOWN * ids.count(unknown)

    files = marian.sentencepiece_files(model.config) or ()
    return translated_languages([*files[:1], source_language(model.folder)], model.folder, tokens)
