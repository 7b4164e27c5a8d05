"""How far long work has come: what functions that take their time tell their caller, if it asks."""

from collections.abc import Callable

# name of the phase, done so far, in all (None: not known, as with the lines of a pipe). The phases of a piece of work
# come one after the other, and none of them goes back.
Progress = Callable[[str, int, int | None], None]
Steps = Callable[[int, int | None], None]  # the same of one phase, which its caller gives a name


def phase(progress: Progress | None, name: str) -> Steps | None:
    """What tells `progress` of the phase `name`; None where nobody asks."""
    return (lambda done, total: progress(name, done, total)) if progress else None


def counting(progress: Steps | None, total: int) -> Callable[..., None]:
    """What tells `progress`, if there is one, that one more of `total` is done, or so many more."""
    done = 0

    def more(count: int = 1) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    return more
