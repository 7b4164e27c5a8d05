"""`subbyte translate`: lines in, lines out."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

import subbyte
from builders.tiny_marian import edit_json

LINES = ["A dog runs.", "", "Two men and a woman are here.", "A dog runs."]


def test_lines_in_lines_out(run, compressed):
    result = run("translate", compressed, stdin="\n".join(LINES).encode())
    assert result.code == 0 and result.err == ""
    expected = subbyte.Translator.from_pretrained(compressed).translate(LINES)
    assert result.out == "".join(f"{line}\n" for line in expected)
    assert expected[1] == "" and expected[0] == expected[3] != ""


def test_a_file_packed_or_not(run, compressed, tmp_path):
    text = "\n".join(LINES).encode() + b"\n"
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "text.gz").write_bytes(gzip.compress(text))
    expected = run("translate", compressed, stdin=text).out
    assert run("translate", compressed, tmp_path / "text").out == expected
    assert run("translate", compressed, tmp_path / "text.gz").out == expected


def test_float_folders_translate_too(run, floats):
    assert run("translate", floats, stdin=b"A dog.\n").out.count("\n") == 1


def test_batches_threads_and_instruction_sets_change_nothing(run, compressed):
    text = "\n".join(LINES).encode()
    expected = run("translate", compressed, "--scores", stdin=text).out
    for options in (["--batch-size", 1], ["--threads", 2], ["--isa", "reference"]):
        assert run("translate", compressed, "--scores", *options, stdin=text).out == expected


@pytest.mark.parametrize("line", ["a\u2028b", "a\u0085b", "a\x0bb", "a\rb", "a\x1eb"])
def test_only_a_line_feed_ends_a_line(run, compressed, line):
    assert run("translate", compressed, stdin=f"{line}\r\n{line}".encode()).out.count("\n") == 2


def test_a_piece_with_a_line_end_does_not_make_a_line(run, compressed, monkeypatch):
    monkeypatch.setattr("subbyte.text.marian_tokenizer.MarianTokenizer.decode", lambda *_: "a\r\nb")
    assert run("translate", compressed, stdin=b"A dog.\n").out == "a  b\n"


def test_no_lines_in_no_lines_out(run, compressed):
    assert run("translate", compressed).out == ""


def test_scores_and_several_hypotheses(run, compressed):
    options = ["--num-hypotheses", 3, "--beam-size", 4, "--scores"]
    rows = [line.split("\t") for line in run("translate", compressed, *options, stdin=b"A dog.\n").out.splitlines()]
    scores = [float(score) for score, _ in rows]
    assert len(rows) == 3 and scores == sorted(scores, reverse=True)


def test_json_is_one_document(run, compressed):
    document = run("translate", compressed, "--json", "--num-hypotheses", 2, stdin=b"A dog.\n\n").json
    first, empty = document["translations"]
    assert first["source"] == "A dog." and [*first["hypotheses"][0]] == ["text", "score", "tokens"]
    assert len(first["hypotheses"]) == 2 and empty["hypotheses"][0]["text"] == ""


def test_options_reach_the_search(run, compressed):
    text = b"Two men and a woman are here.\n"
    short = run("translate", compressed, "--max-length", 4, "--beam-size", 1, "--json", stdin=text).json
    assert short["translations"][0]["hypotheses"][0]["tokens"] <= 3
    penalized = [
        run("translate", compressed, "--length-penalty", penalty, "--scores", stdin=text).out for penalty in (0, 1)
    ]
    assert penalized[0] != penalized[1]


def test_text_that_is_not_utf_8_is_named_by_line_and_byte(run, compressed):
    result = run("translate", compressed, stdin=b"A dog.\nM\xe4nner\n")
    assert result.code == 1 and "stdin: line 2 is not UTF-8: byte 2 of it is 0xe4" in result.err


def test_ten_thousand_words_are_cut_with_a_warning(run, compressed, caplog):
    result = run("translate", compressed, stdin=b"dog " * 10_000 + b"\nA dog.\n")
    assert result.code == 0 and result.out.count("\n") == 2
    assert "text 1 has" in caplog.text and "the rest is left out" in caplog.text


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--isa", "sse2"], 'instruction set "sse2" cannot run here'),
        (["--num-hypotheses", 5, "--beam-size", 4], "5 hypotheses were asked for, but the beam size is 4"),
        (["none.txt"], "none.txt: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, compressed, options, sentence):
    result = run("translate", compressed, *options, stdin=b"A dog.\n")
    assert result.code == 1 and sentence in result.err and result.out == ""


DOCUMENT = b"# A dog runs.\r\n\n  Two men are here!   A cat. \t\n- 1.5\n  no end"


def test_split_keeps_white_space_in_lines(run, compressed):
    out = run("translate", compressed, "--split", stdin=DOCUMENT).out.split("\n")
    one, two, three, four = subbyte.Translator.from_pretrained(compressed).translate(
        ["A dog runs.", "Two men are here!", "A cat.", "no end"]
    )
    assert out == [f"# {one}", "", f"  {two}   {three} \t", "- 1.5", f"  {four}", ""]


def test_a_document_keeps_its_form(run, compressed, tmp_path):
    expected = subbyte.Translator.from_pretrained(compressed).translate_document(DOCUMENT.decode())
    assert expected.startswith("# ") and "\r\n\n  " in expected and expected[-1] != "\n"
    for options in (["--batch-size", 1], ["--split"], ["--threads", 2]):
        assert run("translate", compressed, "--document", *options, stdin=DOCUMENT).out == expected
    (tmp_path / "text.gz").write_bytes(gzip.compress(DOCUMENT))
    assert run("translate", compressed, "--document", tmp_path / "text.gz").out == expected
    translations = run("translate", compressed, "--document", "--json", stdin=DOCUMENT).json["translations"]
    assert "".join(one["hypotheses"][0]["text"] for one in translations) == expected
    assert "".join(one["source"] for one in translations).encode() == DOCUMENT


def test_nothing_of_a_long_line_is_lost(run, compressed, caplog):
    result = run("translate", compressed, "--split", stdin=b"dog " * 1000 + b"\nA dog.\n")
    assert result.code == 0 and caplog.text == "" and result.out.count("\n") == 2


@pytest.mark.parametrize("options", [["--scores"], ["--num-hypotheses", 2]])
@pytest.mark.parametrize("mode", ["--split", "--document"])
def test_scores_are_not_those_of_documents(run, compressed, options, mode):
    result = run("translate", compressed, mode, *options, stdin=b"A dog.\n")
    assert result.code == 2 and f"{options[0]} is about one sentence a line" in result.err


def test_a_target_language_is_put_before_each_sentence(run, tiny_folder):
    expected = run("translate", tiny_folder, stdin=b">>nl<< A dog.\n>>nl<< A cat.\n").out.replace("\n", " ")
    assert run("translate", tiny_folder, "--split", stdin=b">>nl<< A dog. A cat. ").out == expected + "\n"
    options = ["--document", "--target-language", "nl"]
    assert run("translate", tiny_folder, *options, stdin=b"A dog. A cat. ").out == expected
    result = run("translate", tiny_folder, "--target-language", "fr", stdin=b"A dog.\n")
    assert result.code == 1 and "fr: is no target language of this model; it has de, nl" in result.err


def test_a_text_without_a_language_is_warned_about_once(run, tiny_folder, caplog):
    text = b"\nA dog.\nA cat.\n" * 20
    for options in ([], ["--split"], ["--batch-size", 2]):
        caplog.clear()
        assert run("translate", tiny_folder, *options, stdin=text).code == 0
        assert caplog.text.count("2 target languages (de, nl)") == 1
    caplog.clear()
    run("translate", tiny_folder, "--target-language", "nl", stdin=text)
    run("translate", tiny_folder, stdin=b"\n>>nl<< A dog.\n")
    assert caplog.text == ""


def test_options_of_the_search_are_those_of_python(run, compressed):
    options = {
        "max-new-tokens": 9, "min-new-tokens": 4, "no-repeat-ngram-size": 2, "repetition-penalty": 1.3,
        "early-stopping": "never", "prefix": "ein", "temperature": 1.5, "top-k": 9, "top-p": 0.9, "seed": 5,
    }  # fmt: skip
    given = {name.replace("-", "_"): value for name, value in options.items()}
    expected = subbyte.Translator.from_pretrained(compressed).translate(LINES, do_sample=True, **given)
    listed = [text for name, value in options.items() for text in (f"--{name}", value)]
    result = run("translate", compressed, "--sample", *listed, stdin="\n".join(LINES).encode())
    assert result.out.splitlines() == expected and result.err == "" and expected[0].startswith("ein")
    lengths = ["--max-length", 9, "--min-length", 8]
    found = subbyte.Translator.from_pretrained(compressed).translate(LINES, max_length=9, min_length=8)
    assert run("translate", compressed, *lengths, stdin="\n".join(LINES).encode()).out.splitlines() == found


def test_draws_are_as_many_as_are_asked_for(run, compressed):
    draw = ["--sample", "--beam-size", 1, "--num-hypotheses", 5, "--temperature", 3]
    first, again, other = (
        run("translate", compressed, *draw, "--seed", seed, stdin=b"A dog.\n").out for seed in (1, 1, 2)
    )
    assert first == again != other and first.count("\n") == 5 and len(set(first.splitlines())) > 1


@pytest.mark.parametrize(
    "options, code, message",
    [
        (["--temperature", 0.5], 1, "temperature is about drawing tokens; it needs do_sample (--sample)"),
        (["--sample", "--temperature", 0], 1, "temperature is 0.0, should be a finite number"),
        (["--sample", "--top-p", 2], 1, "top p is 2.0, should be above 0 and at most 1"),
        (["--repetition-penalty", "nan"], 1, "repetition penalty is nan"),
        (["--no-repeat-ngram-size", -1], 2, "no-repeat-ngram-size"),
        (["--max-length", 9, "--max-new-tokens", 9], 1, "say the same thing"),
        (["--prefix", "ein " * 99], 1, "tokens; with max length 32"),
        (["--prefix", "ein", "--split"], 2, "--prefix is about one sentence a line"),
        (["--set", "beams=3"], 1, "'beams': no such search setting"),
        (["--set", "num_beams=many"], 1, "num_beams is 'many', should be a whole number"),
    ],
)
def test_wrong_options_of_the_search(run, compressed, options, code, message):
    result = run("translate", compressed, *options, stdin=b"A dog.\n")
    assert result.code == code and message in result.err and result.out == "" and "Traceback" not in result.err


def test_a_setting_that_is_not_followed_can_be_put_aside(run, floats, tmp_path, caplog):
    folder = shutil.copytree(floats, tmp_path / "m")
    edit_json(folder / "generation_config.json", diversity_penalty=0.5)
    (tmp_path / "t").write_text("A dog.\n")
    for command in (["translate", folder], ["quantize", folder, tmp_path / "out", "--recipe", "int8", "--no-check"]):
        result = run(*command, stdin=b"A dog.\n")
        assert result.code == 1 and result.out == "" and not (tmp_path / "out").exists()
        assert "diversity_penalty is 0.5, which is not supported" in result.err
        assert result.err.count("diversity_penalty is 0.5") == 1 and "--set diversity_penalty=null" in result.err
        assert run(*command, "--set", "diversity_penalty=null", stdin=b"A dog.\n").code == 0
    result = run("score", folder, tmp_path / "t", tmp_path / "t")
    assert result.code == 0 and result.err == caplog.text == ""
    expected = run("translate", folder, "--set", "diversity_penalty=0", stdin=b"A dog.\n").out
    assert expected == run("translate", floats, stdin=b"A dog.\n").out
    assert run("translate", tmp_path / "out", stdin=b"A dog.\n").code == 0
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())["diversity_penalty"] is None
