"""What `quantize` asks of an encoder: its rounded form under a recipe, and how far that agrees with it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from subbyte.compress.calibration import shipped_text
from subbyte.compress.calibration.encoders import readable
from subbyte.compress.calibration.texts import Texts
from subbyte.compress.choice import Verdict
from subbyte.compress.encoder_agreement import KEPT, Answers, agreement, answers, described
from subbyte.compress.encoder_rounding import Calibrated
from subbyte.compress.recipes.recipe import Recipe
from subbyte.compress.rounding import under
from subbyte.errors import UsageError
from subbyte.models.families import encoder_of
from subbyte.models.model import Model
from subbyte.progress import Progress, counting, phase
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer

TRANSLATION_ONLY = "a budget and frequencies are for translation models; give an encoder a recipe"
ALONE = 3  # of so many lines without a tab the last is paired with the one before it, for heads, which may read pairs


class EncoderTask:
    """A float encoder, and the texts it is rounded for and compared on, which are read once for all recipes."""

    def __init__(
        self, model: Model, texts: Callable[[Sequence[str]], Texts], frequencies: str | Path | None = None
    ) -> None:
        if frequencies is not None:
            raise UsageError(TRANSLATION_ONLY)
        self.model = model
        self.tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
        self.texts = texts(languages(self.tokenizer))
        self._calibrated: Calibrated | None = None
        self._answers: Answers | None = None

    def searched(self, *asked: object) -> NoReturn:
        """There is no search of bits for encoders."""
        raise UsageError(TRANSLATION_ONLY)

    def compressed(self, recipe: Recipe, progress: Progress | None = None) -> Model:
        """The model under a recipe."""
        rounding = phase(progress, f"rounding to {recipe.name}")
        if self.texts.calibration is not None:
            if self._calibrated is None:
                texts = self._parts(self.texts.calibration)
                self._calibrated = Calibrated(self.model, readable(self.tokenizer, texts))
            return self._calibrated.under(recipe, progress, rounding)
        if recipe.activations == "static":
            raise UsageError(
                f"recipe {recipe.name} has static activations: give a calibration text (--calibration FILE), a text a "
                "line, a tab between those of a pair, like what the model will read"
            )
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


def languages(tokenizer: EncoderTokenizer) -> tuple[str, ...]:
    """The languages that an encoder reads, as far as a text in them ships."""

    def tokens(line: str) -> int:
        (ids,), _ = tokenizer.encode([(line,)])
        return len(ids) + shipped_text.UNKNOWN * sum(piece in ("[UNK]", "<unk>") for piece in tokenizer.tokens(ids))

    return shipped_text.read_languages(tokens)
