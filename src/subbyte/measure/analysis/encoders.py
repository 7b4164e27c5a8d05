"""What an encoder loses under presets, its activations by themselves, its weights a block at a time."""

from subbyte.compress.encoder_rounding import Calibrated
from subbyte.measure.analysis import outliers, weights
from subbyte.measure.analysis.answers import answers_of, batches
from subbyte.measure.analysis.document import Analysis, Quality, blank
from subbyte.measure.analysis.leave_one_out import leave_one_out
from subbyte.measure.analysis.noise import Statistic
from subbyte.measure.analysis.presets import measured
from subbyte.measure.analysis.quality import quality
from subbyte.measure.analysis.texts import Texts
from subbyte.models.model import Model
from subbyte.numbers.arrays import Array
from subbyte.progress import Progress, phase
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.text.encoder_tokenizer import EncoderTokenizer, load_encoder_tokenizer


class EncoderJudge:
    """Compares models of one shape with a float32 one on some texts; the same ids for all of them."""

    def __init__(self, model: Model, tokenizer: EncoderTokenizer, texts: Texts, threads: int | None) -> None:
        """Raises UsageError where the labels are not those of the model."""
        self.threads = threads
        self.answers = answers_of(model, texts)
        self.batches = batches(tokenizer, texts.texts, self.answers.apart)
        self.wanted = self.answers.wanted(model, texts)
        self.exact = self._given(model)

    def __call__(self, model: Model) -> Quality:
        """Of a model whose answers may differ."""
        found = self._given(model)
        by_text, statistics = self.answers.compared(found, self.exact)
        scores: dict[str, Statistic] = {}
        gains: dict[str, Statistic] = {}
        if self.wanted is not None:
            scores |= self.answers.scores(found, self.wanted)
            exact = self.answers.scores(self.exact, self.wanted)
            gains |= {name: _gain(score, exact[name]) for name, score in scores.items()}
        shares = dict.fromkeys(("agreement", "accuracy"), len(by_text))
        return quality(by_text, {**statistics, **scores}, shares, gains)

    def _given(self, model: Model) -> Array:
        return self.answers.given(EncoderEngine(model, threads=self.threads), model, self.batches)


def analyzed(model: Model, texts: Texts, threads: int, progress: Progress | None = None) -> Analysis:
    """A float32 encoder, calibrated on every second text and judged on the others."""
    tokenizer = load_encoder_tokenizer(model.folder, model.config, sentence=model.sentence)
    held_out, seen = texts.held_out(), texts.seen()
    judge = EncoderJudge(model, tokenizer, held_out, threads)
    engine = EncoderEngine(model, threads=threads)
    every = batches(tokenizer, texts.texts, judge.answers.apart)
    document = blank(model, judge.answers.name, texts, engine.isa, threads)
    document["tokens"] = sum(len(ids) for batch in every for ids in batch[0])
    document["calibrated"], document["judged"] = len(seen), len(held_out.texts)
    document["points"], document["residual"] = outliers.outliers(
        engine, every, lambda id: tokenizer.tokens([id])[0], phase(progress, "activations")
    )
    calibrated = Calibrated(model, batches(tokenizer, seen, judge.answers.apart), threads)
    document["leave_one_out"] = leave_one_out(calibrated, judge, len(held_out.texts), phase(progress, "leave one out"))
    document["sizes"], document["left_out"] = measured(
        model, lambda recipe, steps: calibrated.under(recipe, rounding=steps), judge, judge.answers.name,
        phase(progress, "presets"),
    )  # fmt: skip
    document["blocks"] = weights.blocks(model, judge, phase(progress, "weights"))
    return document


def _gain(score: Statistic, of_float32: Statistic) -> Statistic:
    return lambda of: score(of) - of_float32(of)
