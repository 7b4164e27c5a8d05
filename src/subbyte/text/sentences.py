# ruff: noqa: RUF001  (marks of all scripts are the point)
"""Lines of text taken apart into sentences and the white space between them, and put together again.

The rule is our own (docs/text.md says why, and how well it does). It knows Unicode, no grammar, and in doubt it does
not split: a model bears two sentences better than half a one. Every expression takes what it can and never gives back
(`*+`, `++`), so the time is linear in the text, whatever the text.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

BREAKS = "\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029"  # white space that no sentence goes across
WIDE_ENDS = "。！？｡"  # these need no white space after them
ENDS = ".!?…‼⁇⁈⁉\u037e؟۔।॥։።፧။" + WIDE_ENDS
CLOSING = "\"'”“’‘»«›‹)\\]}」』）】》〉*_"  # what may stand between the end and the white space
OPENING = re.compile(r"[\s\"'“”„‘’‚«»‹›(\[{「『（【《〈¿¡*_#>|•–—-]*+")

# An end with all that belongs to it, a French closing quote after a blank too; or white space that is a border itself.
BORDER = re.compile(
    rf"[{ENDS}][{ENDS}{CLOSING}]*+(?:[ \u00a0\u202f][»”](?=\s|$))?+(?P<space>\s*+)|(?P<hard>[{BREAKS}]\s*+)"
)
HARD = re.compile(f"[{BREAKS}]")

# At the start of a line: indentation, marks of lists, headings and quotations, numbers of lists.
MARKS = re.compile(r"[\s\ufeff]*+(?:(?:[-*+•·‣◦–—>#|=~]++|\d{1,3}+[.)])\s++)*+")

CLAUSES = re.compile(r"[,;:،؛–—]\s++|[、，；：]")
SPACES = re.compile(r"\s++")

LONGEST_ABBREVIATION = 16  # characters looked at before a full stop
BEFORE_WORDS = re.compile(r"[\s\"'“”„‘’‚«»‹›(\[{/–—-]")

# Before a full stop these end no sentence, in whatever language; none that is a common word of another one.
ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof rev hon gen col sgt capt lt maj cmdr gov sen rep st mt ft messrs jr sr inc ltd corp co bros dept
    univ assn ave blvd rd vs etc cf al viz approx ca ph
    hr fr frl bzw usw vgl evtl ggf inkl exkl sog bspw gest hrsg jh mio mrd tel str dipl ing allg ehem
    mme mlle mm mgr sra srta dra sres av avda ee uu ud uds exmo exma dott avv geom pag
    dhr mevr drs mw bijv enz jl blz resp np tzn itp itd ul tj tzv napr
    др ул см стр руб тыс млн млрд проф акад
    """.split()
)
# ... and these end none before a number.
BEFORE_NUMBERS = frozenset(
    """
    no nos nr pp pg vol ch chap sec fig figs eq art arts par cit ver vers kap bd abs abb tab bl pos ziff
    jan feb mar apr jun jul aug sep sept oct nov dec okt dez
    """.split()
)
ROMAN = frozenset("IVXLC")


@dataclass(frozen=True)
class Segments:
    """A text in parts: glue[0], sentences[0], glue[1], ..., sentences[-1], glue[-1].

    Glue is white space and what has no letter in it: indentation, marks and numbers of lists, rules, the end of the
    line. It is kept as it is; a sentence has no white space around it.
    """

    glue: tuple[str, ...]
    sentences: tuple[str, ...]

    def joined(self, translations: Sequence[str]) -> str:
        """The text with these in the sentences' places; given the sentences, it is the text again.

        Where sentences follow each other without white space, as in Chinese, translations in other scripts get a space.
        """
        parts = [self.glue[0]]
        for sentence, translation, glue in zip(self.sentences, translations, self.glue[1:], strict=True):
            parts += (translation, glue)
            if not glue and sentence[-1] in WIDE_ENDS and east_asian_width(translation[-1:] or "。") not in "WF":
                parts[-1] = " "
        parts[-1] = self.glue[-1]
        return "".join(parts)


def segments(text: str, fits: Callable[[str], bool] = lambda sentence: True) -> Segments:
    """A text taken apart.

    fits  whether the model can read a sentence whole; one that it cannot read is cut near its middle, at the end of a
          clause, or between words, or anywhere, until its parts fit
    """
    glue, sentences, kept = [], [], 0
    for start, end in _spans(text):
        for first, last in _parts(text, start, end, fits):
            glue.append(text[kept:first])
            sentences.append(text[first:last])
            kept = last
    return Segments((*glue, text[kept:]), tuple(sentences))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence starts and ends."""
    start, marks = 0, True
    for border in BORDER.finditer(text):
        space = border["space"] or ""
        hard = border["hard"] is not None or HARD.search(space) is not None
        if hard or _ends(text, border, space):
            yield from _trimmed(text, start, border.end(), marks)
            start, marks = border.end(), hard
    yield from _trimmed(text, start, len(text), marks)


def _trimmed(text: str, start: int, end: int, marks: bool) -> Iterator[tuple[int, int]]:
    """The span without white space around it, and without `marks` before it; nothing if no letter is in it."""
    if marks and (found := MARKS.match(text, start, end)):
        start = found.end()
    piece = text[start:end]
    if any(map(str.isalpha, piece)):
        first = len(piece) - len(piece.lstrip())
        yield start + first, start + len(piece.rstrip())


def _ends(text: str, border: re.Match[str], space: str) -> bool:
    """Whether a sentence ends at this border: at the mark before it, with what follows it."""
    mark = text[border.start() : border.end() - len(space)]
    if not space:
        return mark[-1] in WIDE_ENDS
    opening = OPENING.match(text, border.end())
    after = text[opening.end() : opening.end() + 1] if opening else ""
    if not after or after.title() != after:  # a small letter; those of scripts without capitals are no small ones
        return False
    return mark != "." or not _abbreviates(text[max(0, border.start() - LONGEST_ABBREVIATION) : border.start()], after)


def _abbreviates(before: str, after: str) -> bool:
    """Whether a full stop belongs to the word before it; `after` is the next character that is not an opening mark."""
    word = BEFORE_WORDS.split(before)[-1]
    if word.isdecimal():  # German ordinals, dates
        return len(word) <= 2 or after.isdecimal()
    parts = word.split(".")
    if all(part.isalpha() and len(part) <= (1 if len(parts) == 1 else 2) for part in parts):  # A. Smith; e.g., Ph.D.
        return not any(map(_unicameral, word))
    if word.casefold() in ABBREVIATIONS or (word and ROMAN.issuperset(word)):
        return True
    return word.casefold() in BEFORE_NUMBERS and after.isdecimal()


def _unicameral(letter: str) -> bool:
    """Whether a character is of a script that has no capitals."""
    return letter.upper() == letter.lower() and letter != "."


def _parts(text: str, start: int, end: int, fits: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """The span, or, where the model cannot read it whole, those of its parts."""
    if fits(text[start:end]) or end - start < 2:
        yield start, end
        return
    cut = _middle(text, start, end)
    for first, last in ((start, cut), (cut, end)):
        piece = text[first:last]
        first += len(piece) - len(piece.lstrip())
        yield from _parts(text, first, first + len(piece.strip()), fits)


def _middle(text: str, start: int, end: int) -> int:
    """Where to cut: in the middle half after a clause, or else a word, the nearest to the middle; or else there."""
    middle, quarter = (start + end) // 2, (end - start) // 4
    for expression in (CLAUSES, SPACES):
        cuts = [found.end() for found in expression.finditer(text, middle - quarter, middle + quarter)]
        if cuts:
            return min(cuts, key=lambda cut: abs(cut - middle))
    return middle
