"""`subbyte finetune`"""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Collection, Iterator
from dataclasses import fields
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from subbyte import errors
from subbyte.cli.inspect import print_totals
from subbyte.cli.options import Json, Threads, with_options
from subbyte.cli.printing import print_json, stages
from subbyte.errors import UsageError
from subbyte.training.encoders import settings as encoders
from subbyte.training.settings import MOST, Declared, declarations
from subbyte.training.translation import settings as translation


def _options(texts: type[Any], settings: type[Any]) -> dict[str, tuple[Any, Declared, Any]]:
    """Name -> type, declaration and default, of all that the command has an option for."""
    defaults = {one.name: one.default for one in fields(settings)}
    declared = {name: one for name, one in declarations(settings).items() if one[1].option}
    return {name: (*one, defaults.get(name)) for name, one in {**declarations(texts), **declared}.items()}


TRANSLATION, ENCODERS = _options(*translation.DECLARED), _options(*encoders.DECLARED)


def _parameters() -> Iterator[Parameter]:
    """The options that are declared. They are None where they are not given: then it is as the recipe says."""
    for name in {**TRANSLATION, **ENCODERS}:
        kinds = [options[name] for options in (TRANSLATION, ENCODERS) if name in options]
        hint, declaration, _ = kinds[0]
        least, most = declaration.limits or (None, None)
        told = declaration.help.replace("`", "")
        if declaration.option:
            defaults = dict.fromkeys(f"{default:g}" if hint is float else str(default) for *_, default in kinds)
            told = f"{told}.  [default: the recipe's, or {', encoders '.join(defaults)}]"
        option = typer.Option(
            metavar={int: "N", float: "X"}.get(hint, declaration.path if Path in (hint, *get_args(hint)) else None),
            min=least,
            max=most if most != MOST else None,
            help=f"{told[0].upper()}{told[1:]}" if name in TRANSLATION else f"Encoders: {told}",
        )
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[hint | None, option])


@with_options(_parameters())
def finetune(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A float32 MarianMT folder, a Bergamot folder, or an encoder.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    recipe: Annotated[str, typer.Option(metavar="R", help="A preset (nmt-mixed, student4, w4a8, ...) or a TOML file.")],
    *,
    precision: Annotated[
        Literal["float32", "bf16"], typer.Option(help="Of the products in training; bf16 where the processor has it.")
    ] = "float32",
    checkpoints: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The working folder.  [default: OUT.finetune]")
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
    **options: Any,
) -> None:
    """Compress the float32 model in MODEL, train it as it is stored, and write the best to the folder OUT.

    Translation models need --source and --valid-source, encoders with a classifier --train and --valid. Needs torch:
    pip install ".[finetune]" in a checkout of subbyte. Stopped at any time, it goes on with --resume.
    """
    given = {name: value for name, value in options.items() if value is not None}
    _check_together(given)
    try:
        from subbyte.training.job import finetune as train
    except ModuleNotFoundError as error:
        raise UsageError(errors.missing_packages([str(error.name)], "finetune")) from None
    try:
        with stages() as progress:
            document = train(
                model, out, recipe, checkpoints=checkpoints, resume=resume, force=force, seed=seed, threads=threads,
                precision=precision, progress=progress, **given,
            )  # fmt: skip
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


def _check_together(given: Collection[str]) -> None:
    """Raises UsageError for options of both kinds of model, and for missing ones."""
    of_translation, of_encoders = (
        [_flag(name) for name in given if name in own and name not in others]
        for own, others in ((TRANSLATION, ENCODERS), (ENCODERS, TRANSLATION))
    )
    if of_translation and of_encoders:
        raise UsageError(
            f"{' '.join(of_translation)} for a translation model and {' '.join(of_encoders)} for an encoder do not go "
            "together"
        )
    needed = ("train", "valid") if of_encoders else ("source", "valid_source")
    if missing := " and ".join(_flag(name) for name in needed if name not in given):
        if of_encoders:
            raise UsageError(f"{missing} needed, a .tsv of labelled texts for an encoder")
        raise UsageError(f"{missing} needed, text for a translation model; an encoder needs --train and --valid")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
