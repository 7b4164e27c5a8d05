"""What the finetuning of a translation model brings: pairs of sentences, their trainer, and BLEU."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

from subbyte.compress.calibration.translation import grams
from subbyte.compress.calibration.words import count_words, word_frequencies
from subbyte.compress.rounding import quantize_model
from subbyte.errors import UsageError
from subbyte.metrics import score
from subbyte.models.families import translation_of
from subbyte.models.model import Model
from subbyte.numbers.packed import PackedMatrix
from subbyte.numbers.schemes import Clustered
from subbyte.progress import phase
from subbyte.run.likelihood import translations
from subbyte.run.translation_engine import Engine
from subbyte.run.translator import Translator
from subbyte.text.lines import read_lines, require_parallel
from subbyte.text.tokenizer import load_tokenizer
from subbyte.training.checkpoints import Checkpoints
from subbyte.training.task import Job
from subbyte.training.translation.batches import MOST_TOKENS, Pair
from subbyte.training.translation.blockwise import Blockwise
from subbyte.training.translation.settings import DECLARED, Finetuning, Texts
from subbyte.training.translation.trainer import Trainer

VALID_LINES = 2000


class TranslationTask:
    """Lines as ids; the float32 model fills in translations that are not given (Kim & Rush 2016)."""

    declared: ClassVar = DECLARED
    metric: ClassVar = "bleu"
    first: ClassVar = False
    refusal: ClassVar = (
        "labelled texts are for classifiers, and translation models are finetuned on text (--source, --valid-source)"
    )

    def __init__(self, job: Job[Texts, Finetuning]) -> None:
        self.job, self.model, texts = job, job.model, job.texts
        self.tokenizer = load_tokenizer(self.model.folder, self.model.config)
        self.sources = [self.tokenizer.encode(line) for line in read_lines(texts.source)]
        self.targets = None
        if texts.target:
            self.targets = [self.tokenizer.encode_target(line) for line in read_lines(texts.target)]
            require_parallel(texts.source, self.sources, texts.target, self.targets)
        self.valid = list(islice(read_lines(texts.valid_source), VALID_LINES))
        if not self.valid:
            raise UsageError(f"{texts.valid_source}: is empty")
        self.references: list[str] = []
        if texts.valid_target:
            self.references = list(islice(read_lines(texts.valid_target), VALID_LINES))
            require_parallel(texts.valid_source, self.valid, texts.valid_target, self.references)
        self.pairs: list[Pair] = []

    def trainer(self, kept: Checkpoints) -> Trainer:
        """The model before the first update; the translations that the float32 model makes are kept."""
        job, model = self.job, self.model
        texts, progress = job.texts, job.progress
        if not self.references:
            made = self._translated([self.tokenizer.encode(line) for line in self.valid], 1)
            self.references = [self.tokenizer.decode(ids[:-1]) for ids in made]
        counts = word_frequencies(model, self.tokenizer, read_lines(texts.frequencies)) if texts.frequencies else None
        self.pairs = self._readable(self._taught(kept) if self.targets is None else self.targets)
        if counts is None:
            counts = count_words(model, self.pairs, separate=self.tokenizer.separate)
        clusters = {
            name: scheme.clusters.assign(counts[name])
            for name, scheme in job.schemes.items()
            if isinstance(scheme, Clustered) and name in counts
        }
        rounded = job.started
        if rounded:
            packed = {name: tensor for name, tensor in rounded.tensors.items() if isinstance(tensor, PackedMatrix)}
            clusters = {name: matrix.cluster for name, matrix in packed.items() if matrix.cluster is not None}
        elif job.settings.calibrate:
            sums = grams(model, self.tokenizer, read_lines(texts.source), phase(progress, "calibrating"))
            rounded = quantize_model(model, job.schemes, counts, sums, phase(progress, "rounding"))
        kind = Blockwise if job.settings.method == "blockwise" else Trainer
        return kind(
            model, job.schemes, self.pairs, job.settings, clusters=clusters, rounded=rounded,
            activations=job.recipe.activations, precision=job.precision, seed=job.seed,
        )  # fmt: skip

    def score(self, model: Model) -> float:
        """The BLEU of its greedy translations."""
        translator = Translator(Engine(model, threads=self.job.threads), self.tokenizer)
        return round(score(translator.translate(self.valid, beam_size=1), self.references)["bleu"], 3)

    def described(self) -> dict[str, Any]:
        """How many sentences there are, and whether the float32 model translated them."""
        return {"sentences": len(self.pairs), "distilled": self.targets is None}

    def _taught(self, kept: Checkpoints) -> list[list[int]]:
        if (targets := kept.targets()) is None:
            targets = self._translated(self.sources, self.job.texts.teacher_beam)
            kept.keep_targets(targets)
        return targets

    def _translated(self, sources: Sequence[Sequence[int]], beam_size: int) -> list[list[int]]:
        """Translations with their ends, empty where there is none; what is longer than the model reads is cut."""
        engine = Engine(self.model, threads=self.job.threads)
        search = engine.generation(beam_size=beam_size, do_sample=False, scores=False)
        most = engine.max_positions
        read = [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in sources]
        found = translations(engine, read, search, phase(self.job.progress, "translating"))
        return [ids if ids[-1:] == [search.end] else [] for ids in found]

    def _readable(self, targets: Sequence[Sequence[int]]) -> list[Pair]:
        """The pairs with no side that is empty or too long."""
        longest = min(MOST_TOKENS, translation_of(self.model.config).longest)
        pairs = [Pair(*both) for both in zip(self.sources, targets, strict=True)]
        pairs = [p for p in pairs if min(len(p.source), len(p.target)) > 1 and p.tokens <= longest]
        if not pairs:
            raise UsageError(f"{self.job.texts.source}: has no sentence that the model can read")
        return pairs
