"""`subbyte encode`"""

from __future__ import annotations

import json as json_text
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import subbyte
from subbyte.cli.options import ActivationsOption, BatchSize, InputFile, Isa, Json, ModelFolder, Threads, followed
from subbyte.cli.printing import print_json, stages
from subbyte.text.batches import DEFAULT_BATCH_SIZE
from subbyte.text.lines import LineReader, without_end

if TYPE_CHECKING:
    import numpy as np


def encode(
    folder: ModelFolder,
    file: InputFile = None,
    out: Annotated[
        Path | None, typer.Option(metavar="F.npy", help="Write float32 [lines, width] here.  [default: JSON on stdout]")
    ] = None,
    normalize: Annotated[
        bool | None,
        typer.Option("--normalize/--no-normalize", help="Vectors of length 1.  [default: as the folder says]"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help='Put before each text; "" for none.  [default: that of --prompt-name]')
    ] = None,
    prompt_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of the folder's prompts.  [default: its default]")
    ] = None,
    truncate_dim: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The first N values.  [default: as the folder says]")
    ] = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    isa: Isa = "best",
    activations: ActivationsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an older file of vectors.")] = False,
    json: Json = False,
) -> None:
    """Make a vector of each line: a JSON list a line on stdout, or a .npy file. What is too long is cut."""
    if out and json:
        raise typer.BadParameter("--out and --json exclude each other")
    if out and out.suffix != ".npy":
        raise typer.BadParameter(f"{out}: should end in .npy")
    from subbyte.folders.atomic import new_file  # not for --help of them all

    typed = file is None and sys.stdin.isatty()
    encoder = subbyte.Encoder.from_pretrained(folder, threads=threads, isa=isa, activations=activations)
    read = LineReader(file)
    size = batch_size or (1 if typed else DEFAULT_BATCH_SIZE)
    vectors = encoder.stream(map(without_end, read), size, normalize, prompt, prompt_name, truncate_dim)
    kept = []
    with new_file(out, force=force, ours=_is_ours) if out else nullcontext() as target:
        with stages(unless=typed or (not (out or json) and sys.stdout.isatty())) as progress:
            for vector in followed(vectors, read, "encoding", progress):
                if out or json:
                    kept.append(vector)
                else:
                    print(json_text.dumps(_numbers(vector)), flush=typed)
        if target:
            import numpy as np

            np.save(target, np.stack(kept) if kept else np.zeros((0, encoder.width(truncate_dim)), np.float32))
    if json:
        print_json({"model": str(folder), "vectors": [_numbers(vector) for vector in kept]})


def _is_ours(path: Path) -> bool:
    import numpy as np

    found = np.load(path, mmap_mode="r")
    return bool(found.dtype == np.float32 and found.ndim == 2)


def _numbers(vector: np.ndarray) -> list[float]:
    """With as many digits as a float32 has."""
    return [float(f"{value:.9g}") for value in vector]
