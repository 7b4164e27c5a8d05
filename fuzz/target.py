"""What is done to each folder, and what may come of it.

The folder is opened; if it opens, its tokenizer is loaded, an engine is made, a sentence is translated (by an encoder:
classified, or made a vector), and the folder is inspected, verified and quantized. Allowed are a result, `FormatError`,
`ModelError` and, where grids of activations do not fit the kernels, `KernelError`. Every other exception is a fault, as
are more than a second of processor time and more memory than `memory_bound`. A crash is seen by run.py.

Memory is what tracemalloc counts, in every seventh case because it takes long: Python's objects and numpy's arrays,
which is all that the readers have. In all cases the process's high water mark may not rise by much more, and
AddressSanitizer ends the process at a single large allocation, native ones too (run.py sets the limit).
"""

from __future__ import annotations

import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from folders import WEIGHTS, Files, tensors_of, write_folder

import subbyte
from subbyte.errors import FormatError, KernelError, ModelError, SchemeError
from subbyte.folders.compressed_file import SUFFIXES
from subbyte.folders.converted import saving, sums
from subbyte.folders.opening import open_model
from subbyte.models.encoder import WORDS
from subbyte.models.model import Model
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.run.resident import instruction_sets
from subbyte.run.translation_engine import Engine
from subbyte.run.translator import Translator
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer
from subbyte.text.tokenizer import load_tokenizer

SECONDS = 1.0  # of processor time
SLACK = 16 << 20  # bytes beyond the size of the files, until they are checked
UNPACKED = 36  # times that a packed file counts
TRACED = 7  # prime to the numbers that choose the steps
RESIDENT_SLACK = 64 << 20  # bytes by which the process may grow beyond that; sanitizers keep much
SENTENCES = ["a small dog runs in the park", "zwei Hunde"]
OPENING = (FormatError, ModelError)
RUNNING = (*OPENING, SchemeError, KernelError)  # SchemeError: weights too large for a scale in float16


@dataclass(frozen=True)
class Outcome:
    """`result` is one of translated, refused when opened, refused when run, or what is wrong; `fault`: it is."""

    result: str
    fault: bool
    seconds: float
    allocated: int  # bytes beyond the files, while the folder was opened


def memory_bound(files: Files, model: Model | None) -> int:
    """Bytes that opening may allocate: all files and 16 MiB; and for a folder that opens, what its shapes imply.

    A coded array counts 129 times: a byte of it stands for at most 128 codes, which may take a byte each.

    Those are three copies of the weights in float32 (of the file, of the tensor, of one that is being turned), and for
    each word of the vocabularies a few objects of Python.
    """
    sizes = (len(data) * (UNPACKED if name.endswith(SUFFIXES) else 1) for name, data in files.items())
    bound = sum(sizes) + 128 * coded_bytes(files) + SLACK
    if model is not None:
        values = sum(
            np.size(t) if isinstance(t, np.ndarray) else t.shape[0] * t.shape[1] for t in model.tensors.values()
        )
        if model.task == "encode":
            words = model.tensors[WORDS].shape[0]
        else:
            words = model.config["vocab_size"] + (model.config.get("decoder_vocab_size") or 0)
        bound += 12 * values + 2048 * words
    return bound


def coded_bytes(files: Files) -> int:
    """Bytes of the coded arrays of a folder."""
    try:
        tensors = tensors_of(files[WEIGHTS])
        return sum(len(data) for name, (_, _, data) in tensors.items() if ".coded" in name)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        return 0


def run_case(files: Files, folder: Path, number: int) -> Outcome:
    """Do everything to a folder with these files. `number` chooses among instruction sets and further steps."""
    write_folder(folder, files)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    model, problem = None, None
    with _peak(counted=number % TRACED == 0) as peak:
        try:
            model = open_model(folder)
            load = load_encoder_tokenizer if model.task == "encode" else load_tokenizer
            tokenizer = load(folder, model.config)
        except OPENING as error:
            str(error).encode("utf-8", "backslashreplace")
        except BaseException as error:
            problem = f"open: {type(error).__name__}: {str(error)[:300]}"
        else:
            problem = ""
    result = "refused when opened" if problem is None else "translated"
    if problem == "":
        problem = None
        for what, step in _steps(model, tokenizer, folder, number):
            try:
                step()
            except RUNNING:
                result = "refused when run"
            except BaseException as error:
                problem = f"{what}: {type(error).__name__}: {str(error)[:300]}"
                break
    seconds = time.process_time() - start
    bound = memory_bound(files, model)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) * 1024
    if problem is None and peak[0] > bound:
        problem = f"memory: {peak[0]:,} bytes allocated, allowed are {bound:,}"
    if problem is None and grown > bound + RESIDENT_SLACK:
        problem = f"memory: the process grew by {grown:,} bytes, allowed are {bound + RESIDENT_SLACK:,}"
    if problem is None and seconds > SECONDS:
        problem = f"time: {seconds:.2f} s"
    beyond = max(0, peak[0] - sum(map(len, files.values())))
    return Outcome(problem or result, problem is not None, seconds, beyond)


@contextmanager
def _peak(*, counted: bool) -> Iterator[list[int]]:
    """A list whose only number is, in the end, the most bytes that were allocated at once; 0 uncounted."""
    found = [0]
    if not counted:
        yield found
        return
    tracemalloc.start(1)
    try:
        yield found
    finally:
        found[0] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def _steps(model: Model, tokenizer, folder: Path, number: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is done to a folder that opened. Which steps come is a matter of `number`; 0 has all of them."""
    sets = [name for name, runs in instruction_sets() if runs]

    def translate() -> None:
        activations = (None, "int8", "float32")[number // 4 % 3]
        engine = Engine(model, isa=sets[number % len(sets)], threads=1, activations=activations)
        translator = Translator(engine, tokenizer)
        translations = translator.translate(SENTENCES, max_length=6)
        assert len(translations) == 2
        translator.translate(SENTENCES[:1], max_length=4, beam_size=4, num_hypotheses=2, return_scores=True)

    def encode() -> None:
        activations = (None, "int8", "float32")[number // 4 % 3]
        engine = EncoderEngine(model, isa=sets[number % len(sets)], threads=1, activations=activations)
        ids, types = tokenizer.encode([("a b c",), ("b", "a c")])
        assert len(engine.pooled(ids, types)) == 2
        if engine.settings.labels:
            assert engine.logits(ids, types).shape == (2, engine.settings.labels)

    encoder = model.task == "encode"
    yield ("encode", encode) if encoder else ("translate", translate)
    if number % 4 == 0:
        yield "inspect", lambda: subbyte.inspect(folder)
    if (number % 4 == 1 or number == 0) and (folder / sums.SUMS).exists():
        yield "verify", lambda: sums.verify(folder)
    if number % 16 in (2, 10) or number == 0:
        if isinstance(model.tensors[WORDS if encoder else "model.encoder.layers.0.fc1.weight"], np.ndarray):
            yield "quantize", lambda: subbyte.quantize(folder, folder.with_name("out"), "uniform3", force=True)
        else:
            yield "save", lambda: saving.save(model, folder.with_name("out"), report={}, force=True)
    if number % 8 == 5 and model.compressed:
        yield "pack", lambda: subbyte.pack(folder, folder.with_name("out"), force=True)
