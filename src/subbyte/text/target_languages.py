"""Into which language a text is translated, by a model that has several: a token such as >>deu<< before it says so."""

import logging
from collections.abc import Collection, Iterable, Sequence

from subbyte.errors import UsageError

logger = logging.getLogger("subbyte")

SHOWN = 12


class TargetLanguages:
    """The languages of one call: a text keeps the token that it begins with, another gets that of the call.

    Where there is neither, though the model has several languages, the first such text is warned of.
    """

    def __init__(self, tokens: Sequence[str], name: str | None = None) -> None:
        """`tokens`: those of the model; `name`: deu for >>deu<<, what the model lacks is a UsageError."""
        self._tokens = tokens
        self._start = ""  # of texts without a token of their own
        self._silent = not tokens
        if name is not None:
            if f">>{name}<<" not in tokens:
                has = f"has {', '.join(_names(tokens))}" if tokens else "translates into one language and takes none"
                raise UsageError(f"{name}: is no target language of this model; it {has}")
            self._start = f">>{name}<< "

    def addressed(self, text: str) -> str:
        """The text with its language before it, unless it is blank."""
        if not text.strip() or language_of(text, self._tokens)[0]:
            return text
        if not self._start:
            self.warn()
        return self._start + text

    def start_of(self, text: str) -> tuple[str, str]:
        """What each sentence of a text is to begin with, and the text without a token of its own."""
        own, words = language_of(text, self._tokens)
        return (f"{own} " if own else self._start), words

    def warn(self) -> None:
        """Say that a text goes into no language in particular, the first time."""
        if not self._silent:
            listed = ", ".join(_names(self._tokens[:SHOWN])) + (" ..." if len(self._tokens) > SHOWN else "")
            logger.warning(
                "this model has %d target languages (%s), and the text does not begin with one, as in %s text: the "
                "language of the translation is left to chance; give one (--target-language, target_language=)",
                len(self._tokens), listed, self._tokens[0],
            )  # fmt: skip
        self._silent = True


def language_of(text: str, tokens: Collection[str]) -> tuple[str, str]:
    """Which of these tokens (>>deu<<) the text begins with, or "", and the rest of the text."""
    token = text[: text.find("<<") + 2] if text.startswith(">>") else ""
    return (token, text[len(token) :].lstrip(" \t")) if token in tokens else ("", text)


def languages_among(pieces: Iterable[str]) -> tuple[str, ...]:
    """The tokens that name a target language."""
    return tuple(sorted(piece for piece in pieces if len(piece) > 4 and piece[:2] == ">>" and piece[-2:] == "<<"))


def _names(tokens: Sequence[str]) -> list[str]:
    return [token[2:-2] for token in tokens]
