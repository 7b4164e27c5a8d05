# ruff: noqa: RUF001  (marks of all scripts are the point)
"""Random texts that have borders of sentences."""

from __future__ import annotations

from hypothesis import strategies as st

# what borders are made of
PARTS = [
    *".!?…。？।؟،,;:—-#>*|\"'“”»«)(」「1 2a",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u00a0",
    "\u2029",
    "\u3000",
    "\ufeff",
]
PARTS += ["Dr", "A", "B.", "dog", "Hund", "犬", "です", "ß", ">>de<< ", "\x00", "\u0301", "😀", "\x85", "\x1c"]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PARTS)).map("".join))
