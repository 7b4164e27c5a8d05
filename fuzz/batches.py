#!/usr/bin/env python3
"""Batches against one text at a time: python fuzz/batches.py --batches 10000 --seed 0 --family student --isa avx2

Draws batches of texts (blank, of unequal lengths, of one token, too long, the same again and again, none at all) for
translator, student, encoder and classifier, asks tiny models in several forms for all they can answer, with other sizes
of batch each time, and wants for every text the bits that it gets alone. What a text gets alone is held against the
reference instruction set. Each family and instruction set runs in a child process, so that a crash belongs to a batch.
The last line is a summary in JSON, as in batch_records.jsonl; the exit code is 1 if a batch failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import subbyte
from builders.tiny_encoder import tiny_encoder_folder
from builders.tiny_marian import tiny_marian_folder
from builders.tiny_packed import EVERY_KIND, quantized
from builders.tiny_student import FLOAT32, tiny_student_folder
from subbyte.folders.opening import open_model
from subbyte.models.kinds import label_names
from subbyte.models.model import Model, SentenceVectors
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.tokenizer import load_tokenizer

FAMILIES = ("translator", "student", "encoder", "classifier")
WORDS = ("a", "dog", "cat", "runs", "in", "the", "park", "two", "men", "and", "walk", "home", "small", "bench")
BLANK = ("", " ", "\t \t", "\u3000", "\r")
ODD = (
    "a", ".", "a dog. a cat! the park?", "\u200b", "dog\x00cat", "ünïcödé \U0001f600", "a" * 300, "a b " * 80,
    "dog " * 63, "the " * 500, ">>de<< a dog", "-" * 90, "a\nb\n", "two men walk home. " * 30,
)  # fmt: skip
OTHERS = 90  # texts of words
SEARCHES: tuple[dict[str, Any], ...] = (
    {"beam_size": 1},
    {"beam_size": 4},
    {"beam_size": 1, "return_scores": True},
    {"beam_size": 4, "return_scores": True, "num_hypotheses": 3},
    {"beam_size": 3, "split_sentences": True},
    {"beam_size": 1, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "return_scores": True},
    {"beam_size": 4, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2, "early_stopping": "never",
     "min_new_tokens": 3},
    {"beam_size": 2, "prefix": "a", "max_new_tokens": 5, "return_scores": True},
)  # fmt: skip
DRAWS: tuple[dict[str, Any], ...] = (
    {"beam_size": 1, "num_hypotheses": 2, "do_sample": True, "top_p": 0.9, "temperature": 1.2, "seed": 3},
    {"beam_size": 3, "num_hypotheses": 2, "do_sample": True, "top_k": 0, "seed": 4},
)
LENGTH = 14  # of translations, where the search says nothing else: tiny models never end by themselves

Answer = Any  # comparable; floats as they are, arrays as bytes
Question = Callable[[Sequence[int], int], list[Answer]]  # numbers of texts and a size of batch -> an answer a text


@dataclass(frozen=True)
class Batch:
    """What is asked: a form of the model, a question, which texts, and how many at a time.

    fresh  of a model that was opened just now: it has no memory to work in yet
    """

    form: str
    question: str
    numbers: tuple[int, ...]
    size: int
    fresh: bool = False


@dataclass
class Subject:
    """A family's models on one instruction set, with the same on the reference."""

    opened: Callable[[str, bool], dict[str, Question]]  # form, whether on the reference -> the questions of a new model
    questions: dict[str, dict[str, Question]]  # form -> name -> question
    reference: dict[str, dict[str, Question]]
    alone: dict[tuple[str, str, int], Answer] = field(default_factory=dict)

    def answer(self, form: str, question: str, number: int) -> Answer:
        """What a text gets alone; the same as on the reference."""
        key = (form, question, number)
        if key not in self.alone:
            found = self.questions[form][question]([number], 1)
            expected = self.reference[form][question]([number], 1)
            assert found == expected, f"{key}: alone it is not what it is on the reference"
            (self.alone[key],) = found
        return self.alone[key]

    def failure(self, batch: Batch) -> str:
        """Why the answers to a batch are not those that its texts get alone; "" if they are."""
        try:
            questions = self.opened(batch.form, False) if batch.fresh else self.questions[batch.form]
            found = questions[batch.question](batch.numbers, batch.size)
            expected = [self.answer(batch.form, batch.question, number) for number in batch.numbers]
        except Exception as error:  # whatever it is, it belongs to the batch
            return f"{type(error).__name__}: {error}"
        if len(found) != len(expected):
            return f"{len(found)} answers to {len(expected)} texts"
        wrong = [i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
        return f"texts {wrong} differ from what they get alone" if wrong else ""


def texts() -> list[str]:
    """Those that batches are drawn from; always the same."""
    rng = random.Random("texts")
    made = (" ".join(rng.choices(WORDS, k=rng.choice((1, 2, 3, 5, 8, 13, 21, 40)))) for _ in range(OTHERS))
    return [*BLANK, *ODD, *made]


TEXTS = texts()


def drawn(family: str, forms: dict[str, dict[str, Question]], seed: int, number: int) -> Batch:
    """The batch of this number: the same for every instruction set."""
    rng = random.Random(f"{family} {seed} {number}")
    form = rng.choice(list(forms))
    question = rng.choice(list(forms[form]))
    kind = rng.choice(("none", "one", "blank", "blank first", "repeated", "odd", "any", "any", "any", "any"))
    count = rng.randint(2, 9)
    blanks, odd = range(len(BLANK)), range(len(BLANK), len(BLANK) + len(ODD))
    if kind == "none":
        numbers = []
    elif kind == "one":
        numbers = [rng.randrange(len(TEXTS))]
    elif kind == "blank":
        numbers = rng.choices(blanks, k=count)
    elif kind == "blank first":
        numbers = [*rng.choices(blanks, k=count // 2), *rng.choices(range(len(TEXTS)), k=count)]
    elif kind == "repeated":
        numbers = [*rng.choices(range(len(TEXTS)), k=1)] * count
    elif kind == "odd":
        numbers = [*rng.choices(odd, k=count // 2), *rng.choices(range(len(TEXTS)), k=count // 2)]
    else:
        numbers = rng.choices(range(len(TEXTS)), k=count)
    return Batch(form, question, tuple(numbers), rng.choice((1, 2, 3, 4, 5, 32)), fresh=rng.random() < 0.15)


def firsts(forms: dict[str, dict[str, Question]]) -> list[Batch]:
    """The batches before those that are drawn: nothing, and nothing but blanks, as the first that a model is asked."""
    return [
        Batch(form, question, numbers, 32, fresh=True)
        for form, questions in forms.items()
        for question in questions
        for numbers in ((), (0,), (1, 0, 2))
    ]


def partner(number: int) -> int:
    """The text that a text is paired with; blank ones and odd ones are among both."""
    return (7 * number + 3) % len(TEXTS)


def translator_questions(model: Model, tokenizer: Any, isa: str) -> dict[str, Question]:
    """What a translation model is asked."""
    translator = subbyte.Translator(Engine(model, isa=isa, threads=1), tokenizer)
    engine, longest = translator.engine, translator.engine.max_positions

    def search(options: dict[str, Any]) -> Question:
        lengths = {} if "max_new_tokens" in options else {"max_length": LENGTH}
        return lambda numbers, size: translator.translate(
            [TEXTS[i] for i in numbers], batch_size=size, **lengths, **options
        )

    def draw(options: dict[str, Any]) -> Question:
        generation = engine.generation(max_length=LENGTH, **options)

        def ask(numbers: Sequence[int], size: int) -> list[Answer]:
            ids = [translator.tokenizer.encode(TEXTS[i], longest) for i in numbers]
            return [
                found
                for i in range(0, max(len(ids), 1), size)
                for found in engine.translate(ids[i : i + size], generation, numbers[i : i + size])
            ]

        return ask

    def score(numbers: Sequence[int], size: int) -> list[Answer]:
        targets = [" ".join(TEXTS[partner(i)].split()[:9])[:20] for i in numbers]
        return [*translator.stream_scores(zip([TEXTS[i] for i in numbers], targets, strict=True), size)]

    def inputs(numbers: Sequence[int], size: int) -> list[Answer]:
        ids = [translator.tokenizer.encode(TEXTS[i], longest) for i in numbers]
        names = ["model.encoder.layers.0.fc1.weight"]
        (rows,) = engine.inputs(ids, [], names)
        return _parts(rows, [len(one) for one in ids])

    questions = {f"translate {options}": search(options) for options in SEARCHES}
    return questions | {f"draw {options}": draw(options) for options in DRAWS} | {"score": score, "inputs": inputs}


def encoder_questions(model: Model, tokenizer: Any, isa: str) -> dict[str, Question]:
    """What an encoder is asked."""
    encoder = subbyte.Encoder(EncoderEngine(model, isa=isa, threads=1), tokenizer, SentenceVectors())

    def encode(normalize: bool) -> Question:
        return lambda numbers, size: [
            vector.tobytes() for vector in encoder.stream([TEXTS[i] for i in numbers], size, normalize)
        ]

    def states(numbers: Sequence[int], size: int) -> list[Answer]:
        ids, types = encoder.tokenizer.encode([(TEXTS[i],) for i in numbers])
        return [rows.tobytes() for rows in encoder.engine.states(ids, types)]

    def observe(numbers: Sequence[int], size: int) -> list[Answer]:
        ids, types = encoder.tokenizer.encode([(TEXTS[i],) for i in numbers])
        (rows,) = encoder.engine.observe(ids, types, ["layers.0.ffn_input"])
        return _parts(rows, [len(one) for one in ids])

    return {"encode": encode(False), "encode to length 1": encode(True), "states": states, "observe": observe}


def classifier_questions(model: Model, tokenizer: Any, isa: str) -> dict[str, Question]:
    """What a classifier is asked, of texts and of pairs."""
    engine = EncoderEngine(model, isa=isa, threads=1)
    classifier = subbyte.Classifier(engine, tokenizer, label_names(model))

    def logits(pairs: bool) -> Question:
        def ask(numbers: Sequence[int], size: int) -> list[Answer]:
            given = [(TEXTS[i], TEXTS[partner(i)]) if pairs else TEXTS[i] for i in numbers]
            return [one.tobytes() for one in classifier.logits(given, size)]  # type: ignore[arg-type]

        return ask

    def labels(numbers: Sequence[int], size: int) -> list[Answer]:
        return [*classifier([TEXTS[i] for i in numbers], batch_size=size)]

    return {"logits": logits(False), "logits of pairs": logits(True), "labels": labels}


def _parts(rows: Any, lengths: list[int]) -> list[Answer]:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    assert len(rows) == sum(lengths)
    return [rows[end - length : end].tobytes() for end, length in zip(ends, lengths, strict=True)]


def forms_of(family: str, work: Path) -> dict[str, Model]:
    """Tiny models of a family, made in the folder `work`."""
    if family in ("translator", "student"):
        if family == "translator":
            folder = tiny_marian_folder(work / "float32", d_model=16, encoder_ffn_dim=24, decoder_ffn_dim=16)
            recipes = {"int8": "int8", "4 bits": "uniform4", "1 bit": "binary1", "every kind": EVERY_KIND}
        else:
            folder = tiny_student_folder(work / "int8 file", dim_emb="16", transformer_dim_ffn="24")
            recipes = {"8 bits": "student8", "4 bits": "student4", "nmt-mixed": "nmt-mixed"}
        forms = {folder.name: open_model(folder)} | {name: quantized(folder, text) for name, text in recipes.items()}
        if family == "student":
            forms["float32 file"] = open_model(tiny_student_folder(work / "float", FLOAT32, enc_depth="1"))
        return forms
    calibration = work / "calibration.txt"
    calibration.write_text("\n".join(text for text in TEXTS if text.strip() and "\n" not in text and "\r" not in text))
    kinds = ("bert", "distilbert", "roberta", *(["regression"] if family == "classifier" else []))
    forms = {}
    for kind in kinds:
        whole = f"{'bert' if kind == 'regression' else kind}, {'regression' if kind == 'regression' else 'classifier'}"
        source = tiny_encoder_folder(
            work / kind, kind if family == "encoder" and kind == "bert" else whole, words=WORDS,
            **({"n_layers": 1} if kind == "distilbert" else {"num_hidden_layers": 1}),
        )  # fmt: skip
        plain = {"tokenizer_class": "PreTrainedTokenizerFast"}  # RoBERTa's own class would want byte pairs
        (source / "tokenizer_config.json").write_text(json.dumps(plain))
        forms[kind] = open_model(source)
        recipes = {"int8": False, "uniform4": False, "encoder4": False, "w8a8": True, "w8a8-turned": True, "w4a8": True}
        for recipe, calibrated in recipes.items():
            if kind == "bert" or recipe in ("uniform4", "w8a8-turned"):
                out = work / f"{kind} {recipe}"
                subbyte.quantize(source, out, recipe, calibration=calibration if calibrated else None, check=False)
                forms[out.name] = open_model(out)
    return forms


def tokenizers_of(family: str, models: dict[str, Model]) -> dict[str, Any]:
    """The tokenizer of each model: they are the slow part of opening it."""
    load = load_tokenizer if family in ("translator", "student") else load_encoder_tokenizer
    return {form: load(model.folder, model.config) for form, model in models.items()}


def questions_of(family: str, model: Model, tokenizer: Any, isa: str) -> dict[str, Question]:
    """What a model of this family is asked, opened for this."""
    makers = {"encoder": encoder_questions, "classifier": classifier_questions}
    return makers.get(family, translator_questions)(model, tokenizer, isa)


def subject(family: str, isa: str) -> Subject:
    """A family's models, opened."""
    with tempfile.TemporaryDirectory(prefix="subbyte-batches-") as work:
        models = forms_of(family, Path(work))
        tokenizers = tokenizers_of(family, models)

        def opened(form: str, on_reference: bool) -> dict[str, Question]:
            return questions_of(family, models[form], tokenizers[form], "reference" if on_reference else isa)

        found, reference = ({form: opened(form, on_reference) for form in models} for on_reference in (False, True))
    return Subject(opened, found, reference)


def smallest(subject: Subject, batch: Batch) -> Batch:
    """A batch that fails too, with texts left out as long as it does."""
    numbers = list(batch.numbers)
    for at in reversed(range(len(numbers))):
        if subject.failure(replace(batch, numbers=tuple(numbers[:at] + numbers[at + 1 :]))):
            del numbers[at]
    return replace(batch, numbers=tuple(numbers))


def run(subject: Subject, family: str, seed: int, first: int, count: int) -> Iterator[tuple[int, Batch, str]]:
    """Every batch with its number, and why it failed."""
    before = firsts(subject.questions)
    for number in range(first, first + count):
        batch = before[number] if number < len(before) else drawn(family, subject.questions, seed, number)
        failure = subject.failure(batch)
        yield number, smallest(subject, batch) if failure else batch, failure


def child(family: str, isa: str, seed: int, first: int, count: int) -> None:
    """Run batches; the number of each is told before it, and failures after."""
    logging.getLogger("subbyte").setLevel(logging.CRITICAL)
    it = subject(family, isa)
    print(json.dumps({"number": first}), flush=True)
    for number, batch, failure in run(it, family, seed, first, count):
        if failure:
            print(json.dumps({"failure": failure, "number": number, "batch": vars(batch)}), flush=True)
        print(json.dumps({"number": number + 1}), flush=True)


def watch(family: str, isa: str, seed: int, count: int) -> tuple[int, list[str]]:
    """How many batches ran, and those that failed; a child that falls is followed by another one, behind the batch."""
    number, failures = 0, []
    while number < count:
        command = [sys.executable, __file__, "--child", family, isa, str(seed), str(number), str(count - number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            started = False
            for line in process.stdout:
                told = json.loads(line)
                number, started = told["number"], True
                if "failure" in told:
                    failures.append(f"{family} {isa} {seed} {number}: {told['failure']}: {told['batch']}")
                    print(failures[-1], file=sys.stderr, flush=True)
        if process.returncode:
            if not started:
                raise SystemExit(f"{family} {isa}: the child ended with {process.returncode} before its first batch")
            failures.append(f"{family} {isa} {seed} {number}: crash: exit code {process.returncode}")
            print(failures[-1], file=sys.stderr, flush=True)
            number += 1
    return number, failures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = [name for name, runs in instruction_sets() if runs]
    parser.add_argument("--batches", type=int, default=1000, help="of each family and instruction set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="default: all")
    parser.add_argument("--isa", choices=here, action="append", help="default: all that this machine has")
    parser.add_argument("--commit", default="", help="for the record")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        family, isa, *numbers = options.child
        child(family, isa, *map(int, numbers))
        return 0
    start, ran, failures = time.monotonic(), Counter[str](), []
    for family in options.family or FAMILIES:
        for isa in options.isa or here:
            count, failed = watch(family, isa, options.seed, options.batches)
            ran[f"{family} {isa}"] = count
            failures += failed
            print(f"{family} {isa}: {count} batches, {len(failed)} failed", file=sys.stderr, flush=True)
    chosen = [f" --family {name}" for name in options.family or ()] + [f" --isa {name}" for name in options.isa or ()]
    command = f"python fuzz/batches.py --batches {options.batches} --seed {options.seed}{''.join(chosen)}"
    print(json.dumps({
        "commit": options.commit, "command": command, "python": platform.python_version(), "batches": dict(ran),
        "failures": failures[:50], "seconds": round(time.monotonic() - start),
    }))  # fmt: skip
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
