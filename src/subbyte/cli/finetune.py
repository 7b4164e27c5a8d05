"""`subbyte finetune`"""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from subbyte import errors
from subbyte.cli.inspect import print_totals
from subbyte.cli.options import Json, Threads
from subbyte.cli.printing import print_json, stages
from subbyte.errors import UsageError

if TYPE_CHECKING:
    from subbyte.run.inspection import Inspection


def finetune(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A float32 MarianMT folder, a Bergamot folder, or an encoder.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    recipe: Annotated[str, typer.Option(metavar="R", help="A preset (nmt-mixed, student4, w4a8, ...) or a TOML file.")],
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Training text, a sentence a line (.gz too)."),
    ] = None,
    valid_source: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Text on which the best model is chosen.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Encoders: labelled training texts (.tsv or .tsv.gz)."),
    ] = None,
    valid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Encoders: those on which the best model is chosen."),
    ] = None,
    gradient: Annotated[
        Literal["learned", "lsq", "mse", "mse_exact", "blend", "fixed"] | None,
        typer.Option(show_default=False, help="Encoders: of scales of activations.  [default: as the recipe says]"),
    ] = None,
    metric: Annotated[
        Literal["accuracy", "f1", "matthews", "pearson", "spearman", "correlation"] | None,
        typer.Option(show_default=False, help="Encoders: what is best.  [default: accuracy, for numbers correlation]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", show_default=False, help="Encoders: texts a step.")
    ] = None,
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
    teacher_beam: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, show_default=False, help="Beams with which MODEL translates --source.  [default: 1]"
        ),
    ] = None,
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
        bool,
        typer.Option(
            "--force",
            help="Replace an older folder OUT, if all in it is as subbyte wrote it, and give up an unfinished run.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Compress the float32 model in MODEL, train it as it is stored, and write the best to the folder OUT.

    Translation models need --source and --valid-source, encoders with a classifier --train and --valid. Needs torch:
    pip install ".[finetune]" in a checkout of subbyte. Stopped at any time, it goes on with --resume.
    """
    translation = {
        "source": source, "valid_source": valid_source, "target": target, "valid_target": valid_target,
        "frequencies": frequencies, "start": start, "method": method, "period": period, "batch_tokens": batch_tokens,
        "distillation": distillation, "teacher_beam": teacher_beam,
    }  # fmt: skip
    encoders = {"train": train, "valid": valid, "gradient": gradient, "metric": metric, "batch_size": batch_size}
    both = {
        "checkpoints": checkpoints, "resume": resume, "force": force, "seed": seed, "threads": threads,
        "precision": precision, "updates": updates, "learning_rate": learning_rate, "validate_every": validate_every,
        "patience": patience,
    }  # fmt: skip
    labelled = _of_one_kind(translation, encoders)
    run = _runner(labelled)
    given = {name: value for name, value in (encoders if labelled else translation).items() if value is not None}
    try:
        with stages() as progress:
            document = run(model, out, recipe, progress=progress, **given, **both)
    except (KeyboardInterrupt, SystemExit):
        if stopped := _stopped(checkpoints or Path(f"{out}.finetune")):
            print(f"subbyte: {stopped}", file=sys.stderr)
        raise
    if json:
        print_json(document)
    else:
        print_totals(out, document)


def _stopped(working: Path) -> str:
    """What to say of a run that was stopped; nothing before it has begun."""
    try:
        if json_text.loads((working / "run.json").read_text("utf-8")).get("finished"):
            return ""
    except (OSError, ValueError):
        return ""
    done = "the state is saved" if (working / "state.pt").exists() else "no update was made yet"
    return f"{working}: the run was stopped, {done}; the same command with --resume goes on with it"


def _of_one_kind(translation: Mapping[str, Any], encoders: Mapping[str, Any]) -> bool:
    """Whether the options are for an encoder. Raises UsageError for options of both kinds, and for missing ones."""
    of_translation, of_encoders = (
        [_flag(name) for name, value in options.items() if value is not None] for options in (translation, encoders)
    )
    if of_translation and of_encoders:
        raise UsageError(
            f"{' '.join(of_translation)} for a translation model and {' '.join(of_encoders)} for an encoder do not go "
            "together"
        )
    needed = ("train", "valid") if of_encoders else ("source", "valid_source")
    missing = [_flag(name) for name in needed if (encoders if of_encoders else translation)[name] is None]
    if missing and not of_encoders:
        raise UsageError(
            f"{' and '.join(missing)} needed, text for a translation model; an encoder needs --train and --valid"
        )
    if missing:
        raise UsageError(f"{' and '.join(missing)} needed, a .tsv of labelled texts for an encoder")
    return bool(of_encoders)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _runner(labelled: bool) -> Callable[..., Inspection]:
    """What finetunes an encoder, or a translation model. Raises UsageError without torch."""
    try:
        if labelled:
            from subbyte.training.encoders.task import finetune_encoder

            return finetune_encoder
        from subbyte.training.translation.task import finetune

        return finetune
    except ModuleNotFoundError as error:
        raise UsageError(errors.missing_packages([str(error.name)], "finetune")) from None
