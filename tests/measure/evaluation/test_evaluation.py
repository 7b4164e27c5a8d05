"""Scores, speed and memory of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import sacrebleu

import subbyte
from subbyte.metrics import score


def test_scores_are_those_of_sacrebleu():
    translations, references = ["Ein Hund läuft am Strand.", "Hallo"], ["Ein Hund rennt am Strand.", "Hallo Welt"]
    found = score(translations, references)
    assert found["bleu"] == sacrebleu.corpus_bleu(translations, [references]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(translations, [references]).score


def test_peak_memory_stays_when_memory_is_freed():
    code = "from subbyte.measure.memory import peak_rss_bytes as peak; before = peak(); size = 1 << 27; b'x' * size\n"
    code += "assert (1 << 26) < peak() - before < (1 << 28), (before, peak())"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counts_and_rates(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("A dog.\n\nTwo dogs.\n")
    calls = []
    options = {"max_length": 6, "beam_size": 1, "progress": lambda *call: calls.append(call)}
    document = subbyte.evaluate_translation(tiny_folder, tmp_path / "text", tmp_path / "text", **options)
    assert document["examples"] == 3 and calls == [("translating", i, 3) for i in (1, 2, 3)]
    tokens = document["tokens_per_second"] * document["seconds"]
    assert 2 <= round(tokens) <= 10 and tokens == pytest.approx(round(tokens))


def test_an_empty_file_is_refused(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("")
    with pytest.raises(subbyte.UsageError, match="is empty"):
        subbyte.evaluate_translation(tiny_folder, tmp_path / "text", tmp_path / "text")
