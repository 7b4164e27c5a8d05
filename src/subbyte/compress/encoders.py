"""What `quantize` asks of an encoder: its rounded form under a recipe, and how far that agrees with it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from subbyte.compress.calibration import shipped_text
from subbyte.compress.calibration.encoders import readable
from subbyte.compress.calibration.texts import Texts
from subbyte.compress.choice import Verdict
from subbyte.compress.encoder_agreement import KEPT, Answers, agreement, answers, described, distances
from subbyte.compress.encoder_rounding import Calibrated
from subbyte.compress.recipes.recipe import Recipe
from subbyte.compress.rounding import under
from subbyte.compress.search.budget import Found
from subbyte.compress.search.probes import Lost
from subbyte.compress.search.sized import Reading, apart, to_size
from subbyte.errors import UsageError
from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.progress import Progress, counting, phase
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer

FREQUENCIES = "frequencies are for translation models; leave them out"
CODED_ONLY = (
    "a budget chooses the bits of this recipe for translation models only; for encoders leave out the recipe, or take "
    "one of entropy coded matrices, such as coded3"
)
MOST_ASKED = 128  # texts that losses are measured on
ALONE = 3  # of so many lines without a tab the last is paired with the one before it, for heads, which may read pairs


class EncoderTask:
    """A float encoder, and the texts it is rounded for and compared on, which are read once for all recipes."""

    def __init__(
        self, model: Model, texts: Callable[[Sequence[str]], Texts], frequencies: str | Path | None = None
    ) -> None:
        if frequencies is not None:
            raise UsageError(FREQUENCIES)
        self.model = model
        self.tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        self.texts = texts(languages(self.tokenizer))
        self._calibrated: Calibrated | None = None
        self._answers: Answers | None = None

    def searched(self, *asked: object) -> NoReturn:
        """There is no search of bits for encoders."""
        raise UsageError(CODED_ONLY)

    def sized(self, recipe: Recipe, progress: Progress | None = None) -> Found:
        """The model under a recipe with a budget, and that recipe with every step."""
        if self.texts.calibration is None:
            _require_text(recipe)
            return to_size(recipe, self.model, progress=progress)
        parts = [*self._parts(self.texts.calibration)]
        seen, held_out = apart(parts)
        whole, some = (Calibrated(self.model, readable(self.tokenizer, texts)) for texts in (parts, seen))
        model = whole.prepared(recipe, phase(progress, "measuring ranges"))

        def reading() -> Reading:
            asked = held_out[:MOST_ASKED]
            return Reading(
                seen=some.sums(recipe, model, phase(progress, "reading the text")),
                sums=whole.sums(recipe, model, phase(progress, "calibrating")),
                lost=partial(_distances, asked), name="distance", unit="of the answers", lines=len(asked),
                on=f"a third of {self.texts.calibration_name}",
            )  # fmt: skip

        return to_size(recipe, model, reading, progress=progress)

    def compressed(self, recipe: Recipe, progress: Progress | None = None) -> Model:
        """The model under a recipe."""
        rounding = phase(progress, f"rounding to {recipe.name}")
        if self.texts.calibration is not None:
            if self._calibrated is None:
                texts = self._parts(self.texts.calibration)
                self._calibrated = Calibrated(self.model, readable(self.tokenizer, texts))
            return self._calibrated.under(recipe, progress, rounding)
        _require_text(recipe)
        return under(recipe, self.model, progress=rounding)

    def verdict(self, packed: Model, progress: Progress | None = None) -> Verdict | None:
        """How far the result is from the model; None without a text to compare on."""
        texts = [*self._parts(self.texts.check)]
        if not texts:
            return None
        told = counting(phase(progress, f"checking {packed.recipe['name']}"), 2)
        told(0)
        self._answers = self._answers or answers(self.model, texts)
        told()
        found = agreement(self._answers, answers(packed, texts))
        told()
        said = partial(described, found, self.texts.check_name)
        return Verdict(found["distance"], KEPT[found["measured"]], said, found)

    def _parts(self, lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """A line is a text, or two with a tab between, which a model without a head reads one by one.

        A head may read pairs, so it gets some of single lines too.
        """
        head = encoder_of(self.model.config).labels > 0
        alone = 0
        before = ""
        for line in lines:
            first, tab, second = line.partition("\t")
            alone += not tab
            pair = head and not tab and alone % ALONE == 0
            if tab and not head:
                yield from ((part,) for part in (first, second) if part.strip())
            else:
                yield (first, second) if tab else (before, line) if pair else (line,)
            before = line if not tab else before


def _require_text(recipe: Recipe) -> None:
    """Raise UsageError for a recipe that needs a calibration text."""
    if recipe.activations == "static":
        raise UsageError(
            f"recipe {recipe.name} has static activations: give a calibration text (--calibration FILE), a text a "
            "line, a tab between those of a pair, like what the model will read"
        )


def _distances(texts: Sequence[tuple[str, ...]], base: Model) -> Lost:
    """How far the answers of a changed model are from those of `base`."""
    before = answers(base, texts)
    return lambda changed: distances(before, answers(changed, texts))


def languages(tokenizer: EncoderTokenizer) -> tuple[str, ...]:
    """The languages that an encoder reads, as far as a text in them ships."""

    def tokens(line: str) -> int:
        (ids,), _ = tokenizer.encode([(line,)])
        return len(ids) + shipped_text.UNKNOWN * sum(piece in ("[UNK]", "<unk>") for piece in tokenizer.tokens(ids))

    return shipped_text.read_languages(tokens)
