"""PyTorch: models of transformers in float32, as people run them. Only the worker imports torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Published, Setup, Subject, Task

PACKAGES = ("torch", "transformers")
STATED = Published(
    "float32",
    "the 147.3 tokens per second that CTranslate2's README states for Transformers 4.26 with OPUS-MT en-de "
    "(4 threads of a c5.2xlarge)",
    tokens_per_second=147.3,
    threads=4,
    batch_size=32,
    beam_size=4,
    parameters=75_000_000,
)


def refusal(models: Models) -> str | None:
    student = models.kind == "student"
    return "cannot run it: transformers has no Bergamot students; use a MarianMT folder" if student else None


def prepare(models: Models, work: Path) -> list[Subject]:
    return [Subject("torch", "float32", models.float_folder)]


def opener(setup: Setup) -> Load:
    import torch
    from transformers import MarianMTModel

    from subbyte.measure.bench.torch_encoder import open_encoder

    torch.set_num_threads(len(setup.cores))
    torch.set_num_interop_threads(1)

    details = {"isa": torch.backends.cpu.get_cpu_capability().lower()}

    def load_encoder() -> Opened:
        model = open_encoder(setup.folder, "sdpa")

        def encode(batch: Sequence[Sequence[int]], task: Task) -> Any:
            ids = torch.tensor(batch)
            with torch.inference_mode():
                return model(ids, torch.ones_like(ids)).numpy()

        return Opened(encode, details)

    def load() -> Opened:
        model = MarianMTModel.from_pretrained(setup.folder, dtype=torch.float32, local_files_only=True).eval()
        pad, end = model.config.pad_token_id, model.generation_config.eos_token_id
        forced_end = model.generation_config.forced_eos_token_id

        def translate(batch: Sequence[Sequence[int]], task: Task) -> list[int]:
            width = max(map(len, batch))
            ids = torch.tensor([[*sentence, *[pad] * (width - len(sentence))] for sentence in batch])
            mask = torch.tensor([[1] * len(sentence) + [0] * (width - len(sentence)) for sentence in batch])
            # given as an argument, None would mean: as the model says
            model.generation_config.forced_eos_token_id = None if task.tokens else forced_end
            with torch.inference_mode():
                found = model.generate(
                    ids,
                    attention_mask=mask,
                    num_beams=task.beam_size,
                    do_sample=False,
                    early_stopping=False,
                    length_penalty=1.0,
                    min_length=task.tokens + 1 if task.tokens else 0,  # lengths count the start token
                    max_length=task.tokens + 1 if task.tokens else task.max_length,
                )
            generated = found[:, 1:].tolist()
            return [tokens.index(end) if end in tokens else len(tokens) for tokens in generated]

        return Opened(translate, details)

    return load_encoder if setup.encoder else load


ENGINE = Engine(
    PACKAGES, prepare, opener, PACKAGES, (STATED,), can=lambda task: task.form in ("tokens", "vectors"), refusal=refusal
)
