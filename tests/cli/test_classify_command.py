"""`subbyte classify`, and `subbyte evaluate` of encoders"""

from __future__ import annotations

import numpy as np
import pytest

import subbyte
from builders.encoder_folders import LINES, classifier_folder, regression_folder, sentence_folder

PAIRS = [("a dog", "the cat sleeps"), ("two men", "men"), ("a", "")]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
KEYS = "task metrics examples seconds tokens_per_second peak_rss_bytes isa threads activations model".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return classifier_folder(tmp_path_factory.mktemp("classify") / "m")


@pytest.fixture(scope="module")
def classifier(folder):
    return subbyte.Classifier.from_pretrained(folder, threads=1)


def test_a_label_each_line(run, folder, classifier, tmp_path):
    (tmp_path / "text").write_bytes(TEXT)
    expected = "".join(f"{one['label']}\t{one['score']:.4f}\n" for one in classifier(LINES))
    for arguments in ([tmp_path / "text"], ["--batch-size", 3], ["--threads", 2]):
        result = run("classify", folder, *arguments, stdin=TEXT)
        assert (result.code, result.out, result.err) == (0, expected, "")


def test_a_tab_makes_a_pair(run, folder, classifier):
    result = run("classify", folder, stdin="".join(f"{a}\t{b}\n" for a, b in PAIRS).encode())
    assert result.out == "".join(f"{one['label']}\t{one['score']:.4f}\n" for one in classifier(PAIRS))
    both, first = classifier(["a dog the cat sleeps", PAIRS[0]])
    assert both["score"] != first["score"]


def test_all_labels_best_first(run, folder, classifier):
    for line, scores in zip(
        run("classify", folder, "--all", stdin=TEXT).out.split("\n"), classifier.scores(LINES), strict=False
    ):
        fields = line.split("\t")
        assert {*fields[::2]} == {"bad", "good", "so so"}
        assert fields[0] == max(scores, key=lambda one: one["score"])["label"]
        assert [*map(float, fields[1::2])] == sorted(map(float, fields[1::2]), reverse=True)
        assert sum(one["score"] for one in scores) == pytest.approx(1)


def test_json_is_one_document(run, folder, classifier):
    document = run("classify", folder, "--json", stdin=TEXT).json
    assert document == {"model": str(folder), "lines": [[one] for one in classifier(LINES)]}
    assert [len(line) for line in run("classify", folder, "--json", "--all", stdin=TEXT).json["lines"]] == [3] * 4


def test_a_regression_says_a_number(run, tmp_path):
    folder = regression_folder(tmp_path / "r")
    classifier = subbyte.Classifier.from_pretrained(folder, threads=1)
    assert classifier.regression
    numbers = [float(line.partition("\t")[2]) for line in run("classify", folder, stdin=TEXT).out.split("\n")[:-1]]
    ids, types = classifier.tokenizer.encode([(line,) for line in LINES])
    np.testing.assert_allclose(numbers, classifier.engine.logits(ids, types)[:, 0], atol=1e-4)


def test_what_makes_scores_may_be_asked_for(run, folder, classifier):
    logits = [one for one in classifier.logits(LINES)]
    for activation in ("none", "sigmoid", "softmax"):
        out = run("classify", folder, "--activation", activation, stdin=TEXT).out
        asked = subbyte.Classifier.from_pretrained(folder, threads=1, activation=activation)
        assert [float(line.partition("\t")[2]) for line in out.splitlines()] == pytest.approx(
            [asked.scored(of_labels).max() for of_labels in logits], abs=1e-4
        )
    assert run("classify", folder, "--activation", "tanh", stdin=TEXT).code == 2


def test_wrong_calls_are_refused(classifier):
    with pytest.raises(subbyte.UsageError, match="a list of texts is needed"):
        [*classifier.scores("a dog")]
    with pytest.raises(subbyte.UsageError, match="batch size is 0"):
        classifier(["a dog"], batch_size=0)
    with pytest.raises(subbyte.UsageError, match="a pair of two"):
        classifier([("a", "b", "c")])
    assert classifier([]) == []


# --- evaluate


def table(path, header, rows):
    path.write_text("\n".join("\t".join(row) for row in [header, *rows]) + "\n")
    return path


def test_classification_of_its_own_labels_is_perfect(run, folder, classifier, tmp_path):
    rows = [(one["label"], line) for one, line in zip(classifier(LINES[:2]), LINES[:2], strict=True)]
    rows += [
        (str(classifier.labels.index(one["label"])), a) for one, a in zip(classifier(["a man"]), ["a man"], strict=True)
    ]
    data = table(tmp_path / "d.tsv", ("label", "sentence"), rows)
    document = run("evaluate", folder, "--task", "classification", "--data", data, "--json", "--threads", 1).json
    assert [*document] == KEYS and document["metrics"]["accuracy"] == 1
    assert (document["task"], document["examples"], document["activations"]) == ("classification", 3, "float32")
    result = run("evaluate", folder, "--task", "classification", "--data", data)
    assert result.code == 0 and "accuracy" in result.out and "100.00" in result.out and "Matthews" in result.out


def test_metrics_are_those_of_the_labels(run, folder, classifier, tmp_path):
    names = list(classifier.labels)
    rows = [(names[i % 3], f"{line} {'dog ' * i}") for i, line in enumerate(LINES * 3)]
    data = table(tmp_path / "d.tsv", ("label", "sentence"), rows)
    found = run("evaluate", folder, "--task", "classification", "--data", data, "--json").json["metrics"]
    hits = [one["label"] == label for one, (label, _) in zip(classifier([text for _, text in rows]), rows, strict=True)]
    assert found["accuracy"] == pytest.approx(np.mean(hits)) and [*found] == ["accuracy", "matthews"]


def test_regression_has_correlations(run, tmp_path):
    folder = regression_folder(tmp_path / "r")
    classifier = subbyte.Classifier.from_pretrained(folder, threads=1)
    numbers = [one["score"] for one in classifier(PAIRS)]
    rows = [(f"{2 * n + 1:.6f}", *pair) for n, pair in zip(numbers, PAIRS, strict=True)]
    data = table(tmp_path / "d.tsv", ("score", "sentence1", "sentence2"), rows)
    found = run("evaluate", folder, "--task", "classification", "--data", data, "--json").json["metrics"]
    assert found == {"pearson": pytest.approx(1), "spearman": pytest.approx(1)}


def test_similarity_is_the_cosine_of_vectors(run, tmp_path):
    folder = sentence_folder(tmp_path / "s")
    pairs = [("a dog", "a dog"), ("a dog", "a cat runs"), ("two men are here", "the park ."), ("the", "two")]
    vectors = subbyte.Encoder.from_pretrained(folder, threads=1).encode([text for pair in pairs for text in pair])
    cosines = (vectors[::2] * vectors[1::2]).sum(1)
    data = table(
        tmp_path / "d.tsv",
        ("score", "sentence1", "sentence2"),
        [(f"{c:.6f}", *pair) for c, pair in zip(cosines, pairs, strict=True)],
    )
    document = run("evaluate", folder, "--task", "sts", "--data", data, "--json").json
    assert document["metrics"] == {"pearson": pytest.approx(1), "spearman": pytest.approx(1)}
    assert (document["task"], document["examples"]) == ("sts", 4)
    assert "Spearman" in run("evaluate", folder, "--task", "sts", "--data", data).out


def test_evaluations_that_cannot_be(run, folder, compressed, tmp_path):
    data = table(tmp_path / "d.tsv", ("label", "sentence"), [("bad", "a dog")])
    assert run("evaluate", folder, "--task", "classification").code == 2
    assert run("evaluate", folder, "--task", "sts").code == 2
    assert run("evaluate", folder).code == 2  # translation needs texts
    result = run("evaluate", folder, "--task", "sts", "--data", data)
    assert result.code == 1 and "there should be two" in result.err
    result = run("evaluate", compressed, "--task", "classification", "--data", data)
    assert result.code == 1 and "this needs an encoder" in result.err
    other = table(tmp_path / "o.tsv", ("label", "sentence"), [("bad", "a"), ("unheard", "a dog")])
    result = run("evaluate", folder, "--task", "classification", "--data", other)
    assert result.code == 1 and "line 3 has the label 'unheard'; the model knows bad good so so" in result.err
    result = run("evaluate", folder, "--source", data, "--reference", data)
    assert result.code == 1 and "Traceback" not in result.err
