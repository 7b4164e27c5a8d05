"""In the place of huggingface_hub: a hub that has one model, `somebody/tiny`, which is a folder of this machine."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

NAME = "somebody/tiny"


class RepositoryNotFoundError(Exception):
    """There is no such model."""


class GatedRepoError(RepositoryNotFoundError):
    """It is not open to all."""


class RevisionNotFoundError(Exception):
    """It has no such revision."""


def fake_hub(folder: Path) -> dict[str, ModuleType]:
    """Module name -> module, for sys.modules."""
    library, errors, utils = (ModuleType(f"huggingface_hub{end}") for end in ("", ".errors", ".utils"))
    files = [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in sorted(folder.iterdir())]

    def model_info(name: str, **_: Any) -> Any:
        if name != NAME:
            raise RepositoryNotFoundError(name)
        return SimpleNamespace(id=name, sha="0" * 40, siblings=files)

    vars(errors).update(
        {kind.__name__: kind for kind in (RepositoryNotFoundError, GatedRepoError, RevisionNotFoundError)}
    )
    vars(utils).update(disable_progress_bars=lambda: None)
    vars(library).update(
        errors=errors, utils=utils, HfApi=lambda: SimpleNamespace(model_info=model_info),
        snapshot_download=lambda *_, **__: str(folder),
    )  # fmt: skip
    return {module.__name__: module for module in (library, errors, utils)}
