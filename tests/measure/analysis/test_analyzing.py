"""`subbyte.analyze`: tasks, the document, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import subbyte
from builders.planted_bert import texts
from builders.tiny_bench_bert import tiny_bert_folder
from subbyte.errors import UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.analysis import answers, outliers, translation
from subbyte.measure.analysis.answers import batches
from subbyte.measure.analysis.encoders import EncoderJudge
from subbyte.measure.analysis.keeping import LIMITS
from subbyte.measure.analysis.texts import Texts, read_texts
from subbyte.models.model import Static
from subbyte.numbers.grids import Grid
from subbyte.run.encoder_engine import EncoderEngine
from subbyte.text.encoder_tokenizer import load_encoder_tokenizer


def written(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert_folder(tmp_path_factory.mktemp("models") / "bare")


def test_moments_and_counts_are_those_of_all_values_at_once(folder, monkeypatch):
    monkeypatch.setattr(answers, "TOKENS", 20)  # many batches
    monkeypatch.setattr(outliers, "SIGMAS", 2.0)
    model = open_model(folder)
    tokenizer, engine = load_encoder_tokenizer(folder, model.config), EncoderEngine(model, threads=1)
    every = batches(tokenizer, [(text,) for text in texts(12)], apart=True)
    assert len(every) > 3
    points, _ = outliers.outliers(engine, every, str)
    ids, types = tokenizer.encode([(text,) for text in texts(12)])
    for point, x in zip(points, engine.observe(ids, types, [*engine.points]), strict=True):
        x = x.astype(np.float64)
        far = abs(x - x.mean()) > 2 * x.std()
        assert point["values"] == x.size and point["outliers"] == far.sum(), point["name"]
        np.testing.assert_allclose([point["mean"], point["deviation"]], [x.mean(), x.std()], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose([point["low"], point["high"]], [x.min(0), x.max(0)], rtol=1e-4)
        for one in point["dimensions"]:
            assert one["outliers"] == far[:, one["dimension"]].sum()
        if point["tokens"]:
            flat = np.concatenate(ids)
            for token in point["tokens"]:
                here = flat == int(token["token"])
                assert (token["outliers"], token["read"]) == (far[here].sum(), here.sum())


@pytest.mark.parametrize(
    "labels, task, metrics",
    [
        (0, "vectors", {"cosine", "spearman"}),
        (3, "classification", {"moved", "agreement", "accuracy"}),
        (1, "regression", {"off", "correlation", "pearson", "spearman"}),
    ],
)
def test_judges_by_task(tmp_path, labels, task, metrics):
    architecture = "BertForSequenceClassification" if labels else "BertModel"
    folder = tiny_bert_folder(tmp_path / "model", architecture, **({"num_labels": labels} if labels else {}))
    model = open_model(folder)
    pairs = [*zip(texts(12), texts(24)[12:], strict=True)]
    marks = [str(i % 3) for i in range(12)]
    judge = EncoderJudge(model, load_encoder_tokenizer(folder, model.config), Texts(pairs, marks, "x.tsv"), 1)
    assert judge.answers.name == task
    same = judge(model)
    assert same["distance"] == pytest.approx(0, abs=1e-9) and {*same["metrics"]} == metrics
    assert {*same["noise"]} == {"distance", *metrics} and all(change["by"] == 0 for change in same["changes"].values())
    assert {*same["changes"]} == metrics & {"spearman", "pearson", "accuracy"} and len(same["by_text"]) == 12
    assert LIMITS[task].keeps(same)
    rough = Grid(2, (0.5,), (0,))
    grids = {"layers.1.output": rough}
    rounded = judge(replace(model, activations=Static(grids)))
    assert rounded["distance"] > 1e-4 and rounded["noise"]["distance"] > 0
    assert np.mean(rounded["by_text"]) == pytest.approx(rounded["distance"], rel=1e-3)


def test_translation_models_have_blocks_and_what_a_search_gives_them(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "AVERAGES", (9.0, 8.0, 2.0))  # overhead is large here: nothing has 2 bits
    words = "abcdefghijklmnopqrstuvwxyz123456"
    data = written(tmp_path / "text.txt", [f"two men {word} in the park" for word in words])
    found = subbyte.analyze(tiny_folder, data, tmp_path / "page.html", threads=1)
    assert found["task"] == "translation" and found["points"] == [] and found["leave_one_out"] is None
    assert [block["block"] for block in found["blocks"]][:2] == ["shared.embedding", "encoder.0.self_attention"]
    assert sum(block["weights"] for block in found["blocks"]) < 40_000
    for block in found["blocks"]:
        assert block["lost"]["2"] >= block["lost"]["3"] >= block["lost"]["4"] > 0
    searched = [one for one in found["sizes"] if one["measured"] is None]
    assert [one["name"] for one in searched] == ["--recipe normal4 --budget 9bits", "--recipe normal4 --budget 8bits"]
    assert searched[0]["expected"] < searched[1]["expected"]
    for one in searched:
        average = float(one["name"].removeprefix("--recipe normal4 --budget ").removesuffix("bits"))
        assert one["bits"] <= average
        given = [block["given"][f"{average:g}"] * block["weights"] for block in found["blocks"]]
        assert sum(given) / sum(block["weights"] for block in found["blocks"]) <= average
    assert "bits at 9 a weight" in (tmp_path / "page.html").read_text("utf-8")


def test_progress_goes_through_its_parts(folder, tmp_path):
    seen: dict[str, list[tuple[int, int]]] = {}
    data = written(tmp_path / "text.txt", texts(12))
    subbyte.analyze(folder, data, threads=1, progress=lambda name, *step: seen.setdefault(name, []).append(step))
    assert [*seen] == ["activations", "leave one out", "presets", "weights"]
    for steps in seen.values():
        assert steps[-1][0] == steps[-1][1] and steps == sorted(steps) and len({total for _, total in steps}) == 1


def test_the_document_is_json_and_the_same_again(folder, tmp_path):
    data = written(tmp_path / "text.txt", texts(12))
    found = subbyte.analyze(folder, data, tmp_path / "a.html", threads=1)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == found
    subbyte.analyze(folder, data, tmp_path / "b.html", threads=1)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_plain_text_has_pairs_and_leaves_out_empty_lines(tmp_path):
    path = written(tmp_path / "text.txt", ["a", "", "b\tc", " \tx", *"defghijklmnop"])
    read = read_texts(path, 12)
    assert read.texts[:3] == [("a",), ("b", "c"), ("d",)] and len(read.texts) == 12 and read.labels is None


def test_what_is_calibrated_on_is_not_measured(tmp_path):
    rows = [f"{i}\t text {i}" for i in range(12)]
    read = read_texts(written(tmp_path / "text.tsv", ["label\tsentence", *rows]), 12)
    held_out = read.held_out()
    assert not {*read.seen()} & {*held_out.texts} and len(read.seen()) + len(held_out.texts) == 12
    assert held_out.labels == [text[0].split()[1] for text in held_out.texts]


def test_a_text_that_comes_again_is_read_once(tmp_path):
    """Else it would be judged on after it was calibrated on, and a line a hundred times would have no noise."""
    read = read_texts(written(tmp_path / "text.txt", [*"aabbc", *"abcdefghijklmnop"]), 14)
    assert [text for (text,) in read.texts] == [*"abcdefghijklmn"]
    rows = [f"{i % 3}\ttext {i // 2}" for i in range(40)]
    read = read_texts(written(tmp_path / "text.tsv", ["label\tsentence", *rows]), 15)
    assert [text for (text,) in read.texts] == [f"text {i}" for i in range(15)]
    assert read.labels == [str(2 * i % 3) for i in range(15)]


def test_too_few_texts(folder, tmp_path):
    with pytest.raises(UsageError, match=r"has 3 different texts; 12 at least"):
        subbyte.analyze(folder, written(tmp_path / "text.txt", "abc"))


def test_a_compressed_model_is_refused(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "out", "uniform4")
    with pytest.raises(UsageError, match="is compressed already"):
        subbyte.analyze(tmp_path / "out", written(tmp_path / "text.txt", texts(12)))


def test_labels_that_the_model_does_not_know(tmp_path):
    folder = tiny_bert_folder(tmp_path / "model", "BertForSequenceClassification", num_labels=2)
    rows = [f"{'maybe' if i == 7 else 1}\ttext {i}" for i in range(12)]
    with pytest.raises(UsageError, match="'maybe'"):
        subbyte.analyze(folder, written(tmp_path / "text.tsv", ["label\tsentence", *rows]))
