"""Fetching a model from the Hugging Face hub into a folder: the files that we read, and no others.

Files come by way of the hub's own cache, so that a download that was stopped goes on where it was.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from subbyte import errors
from subbyte.errors import ModelError, SubbyteError, UsageError
from subbyte.folders import config_json
from subbyte.folders.atomic import new_folder
from subbyte.folders.files import read_json
from subbyte.folders.foreign import hub_name

PICKLE_INDEX = re.compile(r"(pytorch_model\.bin|tf_model\.h5|flax_model\.msgpack)\.index\.json")
SMALL = re.compile(r"[^/]+\.(json|spm|txt|model|md)(\.gz|\.xz)?|(LICENSE|NOTICE)[^/]*")
WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
PICKLES = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?")
STUDENT = re.compile(r"[^/]+\.(spm|yml|md)(\.gz|\.xz|\.zst)?|(model|lex)[^/]*\.bin(\.gz|\.xz|\.zst)?|LICENSE[^/]*")
MODULE = re.compile(r"\d+_\w+")  # a folder of sentence-transformers
LARGE = 10_000_000  # bytes that are worth a sentence where nobody may look
# the owners of models that people call by their bare names
OWNERS = ("", "sentence-transformers/", "Helsinki-NLP/")


@dataclass(frozen=True)
class Download:
    """What was fetched: the model's full name, the version (a commit), the folder, its files and their bytes."""

    name: str
    revision: str
    folder: Path
    files: tuple[str, ...]
    bytes: int
    pickled: bool  # the weights are in pickles, which are not read: they have to be converted first


def download(
    name: str, out: str | Path | None = None, *, revision: str | None = None, say: Callable[[str], None] | None = None
) -> Download:
    """Fetch a model by its name, or its address, into the folder `out`, which must not be there yet, or be empty.

    out       default: the last part of the name, in the working folder
    revision  a branch, a tag or a commit; default: main
    say       called with a sentence about what is going to be fetched, if it is large or stderr is a terminal

    Raises UsageError without huggingface_hub, for a name that is none, and for an `out` that is there; ModelError for a
    model that is not on the hub, not open to all, or not run by us; SubbyteError if hub or folder cannot be reached.
    """
    try:
        import huggingface_hub as library
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ModuleNotFoundError:
        raise UsageError(errors.missing_packages(["huggingface_hub"], "download")) from None
    wanted = hub_name(name)
    if wanted is None:
        raise UsageError(f"{name}: is no name of a model on the Hugging Face hub, which are like owner/model")
    folder = Path(out if out is not None else PurePosixPath(wanted).name)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder}: is there already and is no folder; choose another name")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder}: is there already, and not empty; use it, remove it, or choose another name for OUT"
        )
    if not sys.stderr.isatty():
        library.utils.disable_progress_bars()
    with new_folder(folder, force=False) as new:
        found = _fetched(library, wanted, revision, new, say)
    return replace(found, folder=folder)


def _fetched(library: Any, name: str, revision: str | None, new: Path, say: Callable[[str], None] | None) -> Download:
    """The files of a model in the folder `new`; the small ones come first, and say whether the others are wanted."""
    name, commit, sizes = _listed(library, name, revision)
    files = wanted_files(sizes)
    if not files:
        shown = ", ".join(sorted(sizes)[:6]) or "nothing"
        raise ModelError(f"{name}: has no model that is read, a config.json with safetensors; it has {shown}")
    pickled = any(PICKLES.fullmatch(file) for file in files)
    size = sum(sizes[file] or 0 for file in files)
    if say and (size >= LARGE or sys.stderr.isatty()):
        about = f", {size / 1e6:,.1f} MB" if size else ""
        say(f"fetching {len(files)} of the {len(sizes)} files of {name}{about}")
    small = [file for file in files if PurePosixPath(file).suffix not in (".safetensors", ".bin", ".gz", ".xz", ".zst")]
    for part in (small, files):
        with _sentences(library, name, revision):
            source = Path(library.snapshot_download(name, revision=commit, allow_patterns=part))
        if part is small and config_json.CONFIG in small:
            config = read_json(source, config_json.CONFIG, ModelError)
            config_json.architecture_of(config, f"{name}/{config_json.CONFIG}")
    for file in files:
        (new / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / file, new / file)
    return Download(name, commit, new, tuple(files), sum((new / file).stat().st_size for file in files), pickled)


def wanted_files(names: Iterable[str]) -> list[str]:
    """Those of a repository's files that we read, sorted; pickled weights only where there are no others."""
    names = sorted(names)
    if config_json.CONFIG not in names and not any(MODULE.match(name) for name in names):
        found = [name for name in names if STUDENT.fullmatch(name)]
        return found if any(".bin" in name and name.startswith("model") for name in found) else []
    inner = {name: _inside(name) for name in names}
    small = [name for name, file in inner.items() if SMALL.fullmatch(file) and not PICKLE_INDEX.fullmatch(file)]
    weights = [name for name, file in inner.items() if WEIGHTS.fullmatch(file)]
    if not any(PurePosixPath(name).parent.name in ("", "0_Transformer") for name in weights):
        weights += [name for name, file in inner.items() if PICKLES.fullmatch(file)]
    return sorted({*small, *weights}) if weights else []


def _inside(name: str) -> str:
    """The name of a file in its folder, if that is one of ours; else the name as it is, which has a slash in it."""
    head, slash, tail = name.partition("/")
    return tail if slash and MODULE.fullmatch(head) else name


def _listed(library: Any, name: str, revision: str | None) -> tuple[str, str, dict[str, int | None]]:
    """The full name of a model, its commit, and its files with their sizes; bare names are tried with known owners."""
    missing = library.errors.RepositoryNotFoundError
    for owner in OWNERS if "/" not in name else ("",):
        try:
            with _sentences(library, name, revision, but=(missing,)):
                info = library.HfApi().model_info(f"{owner}{name}", revision=revision, files_metadata=True)
        except library.errors.GatedRepoError:  # which is one of those that are missing
            raise _gated(name) from None
        except missing:
            continue
        return info.id, info.sha, {file.rfilename: file.size for file in info.siblings}
    tried = f" ({', '.join(f'{owner}{name}' for owner in OWNERS)})" if "/" not in name else ""
    raise ModelError(f"{name}: there is no such model on the Hugging Face hub{tried}, or it is private")


@contextmanager
def _sentences(library: Any, name: str, revision: str | None, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turns what the hub's library raises into one of our sentences, but for the errors `but`."""
    try:
        yield
    except but:
        raise
    except library.errors.GatedRepoError:
        raise _gated(name) from None
    except library.errors.RevisionNotFoundError:
        raise ModelError(f"{name}: has no revision {revision!r} on the Hugging Face hub") from None
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        raise SubbyteError(
            f"{name}: could not be fetched from the Hugging Face hub: {said}; without a network, run subbyte "
            "download on a machine that has one, and copy the folder"
        ) from None


def _gated(name: str) -> ModelError:
    return ModelError(
        f"{name}: is not open to all: ask for access on https://huggingface.co/{name}, log in with hf auth login, and "
        "run this again"
    )
