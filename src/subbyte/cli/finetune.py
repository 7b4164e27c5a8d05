"""`subbyte finetune`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from subbyte.cli.inspect import print_totals
from subbyte.cli.options import Json, Threads
from subbyte.cli.printing import print_json, stages
from subbyte.errors import UsageError


def finetune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A float32 MarianMT folder, or a Bergamot folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    recipe: Annotated[str, typer.Option(metavar="R", help="A preset (nmt-mixed, log4, student4, ...) or a TOML file.")],
    source: Annotated[Path, typer.Option(metavar="FILE", help="Training text, a sentence a line (.gz too).")],
    valid_source: Annotated[Path, typer.Option(metavar="FILE", help="Text on which the best model is chosen.")],
    target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Translations of --source, line by line.  [default: MODEL translates it, which is distillation]",
        ),
    ] = None,
    valid_target: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Translations of --valid-source.  [default: MODEL translates it]"
        ),
    ] = None,
    frequencies: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Text whose words are counted, where the recipe gives frequent ones more bits.  "
            "[default: --source and --target]",
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help="Start from the codes and scales of this folder, made of MODEL by the same recipe.",
        ),
    ] = None,
    method: Annotated[
        Literal["straight_through", "error_feedback", "periodic", "scales"] | None,
        typer.Option(show_default=False, help="How rounded weights are trained.  [default: as the recipe says]"),
    ] = None,
    updates: Annotated[
        int | None, typer.Option(min=1, metavar="N", show_default=False, help="Steps.  [default: the recipe's, 1000]")
    ] = None,
    period: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default=False, help="Steps between overwritings, for periodic."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(show_default=False, help="Of Adam, at its highest.  [default: the recipe's, 0.0003]")
    ] = None,
    batch_tokens: Annotated[
        int | None,
        typer.Option(min=16, metavar="N", show_default=False, help="Tokens a step.  [default: the recipe's, 4096]"),
    ] = None,
    distillation: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            show_default=False,
            help="Weight of MODEL's probabilities; that of the targets is the rest.  [default: the recipe's, 0.5]",
        ),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, metavar="N", show_default=False, help="Steps between validations.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", show_default=False, help="Stop after so many validations without gain."),
    ] = None,
    teacher_beam: Annotated[int, typer.Option(min=1, max=256, help="Beams with which MODEL translates --source.")] = 1,
    precision: Annotated[
        Literal["float32", "bf16"], typer.Option(help="Of the products in training; bf16 where the processor has it.")
    ] = "float32",
    checkpoints: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", show_default=False, help="The working folder.  [default: OUT.finetune]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the working folder.")] = False,
    seed: Annotated[int, typer.Option(help="Of the order of sentences and of dropout.")] = 0,
    threads: Threads = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an older folder OUT, and give up an unfinished run.")
    ] = False,
    json: Json = False,
) -> None:
    """Compress the float32 model in MODEL, train it as it is stored, and write the best to the folder OUT.

    Needs torch: pip install "subbyte[finetune]". Stopped at any time, it goes on with --resume.
    """
    try:
        from subbyte.training.finetuning import finetune as run
    except ModuleNotFoundError as error:
        raise UsageError(f'{error.name} is not installed; pip install "subbyte[finetune]"') from None
    with stages() as progress:
        document = run(
            model,
            out,
            recipe,
            source=source,
            target=target,
            valid_source=valid_source,
            valid_target=valid_target,
            frequencies=frequencies,
            start=start,
            checkpoints=checkpoints,
            resume=resume,
            force=force,
            seed=seed,
            threads=threads,
            precision=precision,
            teacher_beam=teacher_beam,
            progress=progress,
            method=method,
            updates=updates,
            period=period,
            learning_rate=learning_rate,
            batch_tokens=batch_tokens,
            distillation=distillation,
            validate_every=validate_every,
            patience=patience,
        )
    if json:
        print_json(document)
    else:
        print_totals(out, document)
