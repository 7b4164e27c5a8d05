"""Search settings: read and refused when a folder is opened, put aside by options, and told apart by name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import subbyte
from builders.tiny_encoder import tiny_encoder_folder
from builders.tiny_marian import edit_json, tiny_marian_folder
from subbyte.errors import FormatError, ModelError, UsageError
from subbyte.folders.opening import open_model, with_settings
from subbyte.models.search_settings import KNOWN, NEUTRAL, NEUTRAL_IN_SAMPLING, parsed
from subbyte.run.translation_engine import Engine
from subbyte.run.translator import Translator

UNSUPPORTED: dict[str, Any] = {
    "assistant_early_exit": 2, "constraints": ["x"], "diversity_penalty": 0.5, "dola_layers": "low",
    "encoder_no_repeat_ngram_size": 3, "encoder_repetition_penalty": 1.2, "exponential_decay_length_penalty": [5, 1.1],
    "force_words_ids": [[5]], "guidance_scale": 1.5, "max_time": 2.0, "num_beam_groups": 2, "penalty_alpha": 0.6,
    "prompt_lookup_num_tokens": 3, "remove_invalid_values": True, "sequence_bias": [[[5], 1.0]],
    "stop_strings": ["."], "token_healing": True, "use_mtp": True, "watermarking_config": {"bias": 2.5},
}  # fmt: skip
UNSUPPORTED_IN_SAMPLING = {"epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "min_p": 0.05, "top_h": 0.4, "typical_p": 0.9}


def folder_with(tmp_path: Path, old: bool = False, **settings: Any) -> Path:
    """A folder whose search settings are changed; `old`: they stand in config.json."""
    folder = tiny_marian_folder(tmp_path / "source", languages=())
    edit_json(folder / "generation_config.json", **settings)
    if old:
        whole = json.loads((folder / "generation_config.json").read_text())
        (folder / "generation_config.json").unlink()
        edit_json(folder / "config.json", **whole)
    return folder


def test_every_key_that_is_not_followed_has_a_value_that_is_refused() -> None:
    assert UNSUPPORTED.keys() == NEUTRAL.keys() and UNSUPPORTED_IN_SAMPLING.keys() == NEUTRAL_IN_SAMPLING.keys()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{name: value} for name, value in UNSUPPORTED.items()]
    + [{"do_sample": True, name: value} for name, value in UNSUPPORTED_IN_SAMPLING.items()],
    ids=lambda settings: [*settings][-1],
)
def test_what_is_not_followed_is_refused_before_the_work_and_can_be_put_aside(
    tmp_path: Path, settings: dict[str, Any], old: bool, caplog: pytest.LogCaptureFixture
) -> None:
    name = [*settings][-1]
    folder = folder_with(tmp_path, old, **settings)
    file = "config.json" if old else "generation_config.json"
    said = rf"(?s){file}: search settings .*{name} is .* which is not supported.*--set {name}=null.*settings="
    with pytest.raises(ModelError, match=said):
        subbyte.quantize(folder, tmp_path / "out", "uniform4", check=False)
    assert not (tmp_path / "out").exists()

    translator = Translator.from_pretrained(folder)
    assert name in caplog.text  # a warning when it is opened
    with pytest.raises(ModelError, match=said):
        translator.translate(["A dog."])
    assert translator.score(["A dog."], ["ein hund"])[0] < 0  # what does not search does not mind

    caplog.clear()
    expected = Translator.from_pretrained(folder, settings={name: None, "do_sample": False}).translate(["A dog."])
    subbyte.quantize(folder, tmp_path / "out", "int8", check=False, settings={name: None})
    assert caplog.text == ""
    written = Translator.from_pretrained(tmp_path / "out")
    assert written.engine.generation(do_sample=False) is not None
    without = {"settings": {name: None}}
    assert expected == Translator.from_pretrained(folder, **without).translate(["A dog."], do_sample=False)  # type: ignore[arg-type]


def test_settings_of_sampling_have_no_say_without_it(tmp_path: Path) -> None:
    junk = {"temperature": "hot", "top_k": -1, "top_p": 7}
    engine = Engine(open_model(folder_with(tmp_path, **UNSUPPORTED_IN_SAMPLING, **junk)))
    engine.generation()
    with pytest.raises(ModelError, match=r"(?s)temperature is 'hot'.*top_p is 7.*top_k is -1"):
        engine.generation(do_sample=True)
    with pytest.raises(ModelError, match="min_p is 0"):
        engine.generation(do_sample=True, temperature=1.0, top_k=5, top_p=1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1, should be a whole number from 0"),
        ({"no_repeat_ngram_size": 2.0}, r"no_repeat_ngram_size is 2\.0"),
        ({"no_repeat_ngram_size": 2**64}, "no_repeat_ngram_size is 184"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0, should be a number from 1e-06"),
        ({"repetition_penalty": "1.2"}, "repetition_penalty is '1.2'"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"min_new_tokens": -3}, "min_new_tokens is -3"),
        ({"do_sample": 1}, "do_sample is 1, should be true or false"),
        ({"do_sample": True, "temperature": 0}, "temperature is 0"),
        ({"do_sample": True, "top_p": 1.5}, "top_p is 1.5"),
        ({"do_sample": True, "top_k": 2.5}, "top_k is 2.5"),
        ({"renormalize_logits": "yes"}, "renormalize_logits is 'yes'"),
        ({"early_stopping": "often"}, "early_stopping is 'often', should be true, false or 'never'"),
        ({"early_stopping": 2}, "early_stopping is 2"),
        ({"early_stopping": []}, r"early_stopping is \[\]"),
        ({"suppress_tokens": 5}, "suppress_tokens is 5, should be a list"),
        ({"begin_suppress_tokens": [10**6]}, "begin_suppress_tokens is"),
        ({"eos_token_id": []}, r"eos_token_id is \[\]"),
        ({"eos_token_id": [0, -1]}, "eos_token_id is"),
        ({"forced_bos_token_id": 10**6}, "forced_bos_token_id is"),
        ({"bad_words_ids": [[4, -5]]}, "bad_words_ids should be"),
    ],
)
def test_what_cannot_be_is_refused_when_a_folder_is_opened(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    for old in (False, True):
        folder = folder_with(tmp_path / str(old), old, **settings)
        with pytest.raises(ModelError, match=message):
            open_model(folder)
    source = tiny_marian_folder(tmp_path / "good")
    subbyte.quantize(source, tmp_path / "out", "int8", check=False)
    edit_json(tmp_path / "out" / "generation_config.json", **settings)
    with pytest.raises(FormatError, match=message):
        open_model(tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        with_settings(open_model(source), settings)


def test_options_come_before_the_settings_of_a_folder(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, no_repeat_ngram_size=2, repetition_penalty=1.5, min_length=9, max_new_tokens=7, num_beams=3,
        early_stopping=True, do_sample=True, temperature=0.5, top_k=7, length_penalty=2.0,
    )  # fmt: skip
    engine = Engine(open_model(folder))
    own = engine.generation()
    assert (own.no_repeat_ngram_size, own.repetition_penalty, own.min_length, own.max_length) == (2, 1.5, 9, 8)
    assert (own.beam_size, own.early_stopping, own.do_sample, own.temperature, own.top_k) == (3, True, True, 0.5, 7)
    given = engine.generation(
        no_repeat_ngram_size=0, repetition_penalty=1.0, min_length=0, max_length=5, beam_size=1, early_stopping=False,
        do_sample=False, length_penalty=0.0,
    )  # fmt: skip
    assert (given.no_repeat_ngram_size, given.repetition_penalty, given.min_length, given.max_length) == (0, 1.0, 0, 5)
    assert (given.beam_size, given.early_stopping, given.do_sample, given.length_penalty) == (1, False, False, 0.0)
    prefixed = engine.generation(prefix=[5, 6], min_new_tokens=4)
    assert (prefixed.max_length, prefixed.min_length, prefixed.prefix) == (10, 7, (5, 6))
    assert engine.generation(max_new_tokens=10**6).max_length == engine.max_positions
    assert engine.generation(seed=2**64 - 1, top_k=0, top_p=1).seed == 2**64 - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam size is 0, should be 1 to 256"),
        ({"beam_size": True}, "beam size is True"),
        ({"max_new_tokens": 0}, "max new tokens is 0"),
        ({"min_length": -1}, "min length is -1"),
        ({"no_repeat_ngram_size": -1}, "no repeat ngram size is -1"),
        ({"no_repeat_ngram_size": 1.5}, "no repeat ngram size is 1.5"),
        ({"repetition_penalty": 0}, "repetition penalty is 0, should be a finite number from 1e-06"),
        ({"repetition_penalty": float("nan")}, "repetition penalty is nan"),
        ({"length_penalty": float("inf")}, "length penalty is inf"),
        ({"length_penalty": "1"}, "length penalty is '1'"),
        ({"do_sample": True, "temperature": 0}, "temperature is 0, .*leave do_sample out"),
        ({"do_sample": True, "temperature": -1.0}, "temperature is -1.0"),
        ({"do_sample": True, "temperature": float("nan")}, "temperature is nan"),
        ({"do_sample": True, "top_p": 0}, "top p is 0, should be above 0 and at most 1"),
        ({"do_sample": True, "top_p": 1.01}, "top p is 1.01"),
        ({"do_sample": True, "top_p": float("nan")}, "top p is nan"),
        ({"do_sample": True, "top_k": -1}, r"top k is -1, .*0 for all words"),
        ({"do_sample": True, "seed": -1}, "seed is -1"),
        ({"do_sample": True, "seed": 2**64}, "seed is 184"),
        ({"do_sample": "yes"}, "do_sample is 'yes'"),
        ({"early_stopping": "often"}, "early stopping is 'often'"),
        ({"temperature": 0.5}, "temperature is about drawing tokens; it needs do_sample"),
        ({"seed": 5}, "seed is about drawing"),
        ({"max_length": 9, "max_new_tokens": 5}, "max length and max new tokens say the same"),
        ({"min_length": 9, "min_new_tokens": 5}, "min length and min new tokens say the same"),
        ({"min_length": 30, "max_length": 20}, "at least 30 tokens do not fit max length 20"),
        ({"min_new_tokens": 20, "max_length": 20}, "at least 21 tokens do not fit"),
        ({"num_hypotheses": 0}, "0 hypotheses"),
        ({"num_hypotheses": "2"}, "num hypotheses is '2', should be a whole number"),
        ({"num_hypotheses": None}, "num hypotheses is None, should be a whole number"),
        ({"num_hypotheses": 1.0}, "num hypotheses is 1.0, should be a whole number"),
        ({"return_scores": "no"}, "whether there are scores is 'no', should be True or False"),
        ({"num_hypotheses": 2, "beam_size": 1}, "the beam size is 1"),
        ({"num_hypotheses": 257, "beam_size": 1, "do_sample": True}, "at most 256 can be drawn"),
        ({"num_hypotheses": 3, "beam_size": 2, "do_sample": True}, "the beam size is 2"),
        ({"prefix": "ein " * 40}, r"the prefix has \d+ tokens; with max length 32, .* it may have 30: shorten it"),
        ({"prefix": "ein \U0001f600"}, "has no pieces|for which .* has no pieces"),
        ({"repetition_penalti": 1.2}, "repetition_penalti: no such search option; there are beam_size, max_length"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(tiny_folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Translator.from_pretrained(tiny_folder).translate(["A dog."], **options)


@pytest.mark.parametrize("settings", [["num_beams"], "num_beams=4", True])
def test_settings_are_an_object(tiny_folder: Path, settings: Any) -> None:
    with pytest.raises(UsageError, match="settings should be a dict of keys"):
        Translator.from_pretrained(tiny_folder, settings=settings)


def test_a_translation_begins_with_its_prefix(tmp_path: Path) -> None:
    translator = Translator.from_pretrained(tiny_marian_folder(tmp_path / "m", languages=()))
    texts = ["A dog runs.", "", "Two men are here."]
    for beam_size in (1, 4):
        found = translator.translate(texts, prefix="ein hund", beam_size=beam_size)
        assert found[1] == "" and all(text.startswith("ein hund") for text in found[::2])
        assert found != translator.translate(texts, beam_size=beam_size)
    for empty in ("", " "):
        assert translator.translate(texts, prefix=empty) == translator.translate(texts)
    with pytest.raises(UsageError, match="a prefix is that of one sentence"):
        translator.translate(texts, prefix="ein", split_sentences=True)


def test_two_ends_keep_the_one_that_is_a_word(tmp_path: Path) -> None:
    folder = tiny_marian_folder(tmp_path / "m", languages=())
    translator = Translator.from_pretrained(folder)
    word = translator.engine.translate([[5, 6, 0]], translator.engine.generation(beam_size=1))[0][0].tokens[0]
    edit_json(folder / "generation_config.json", eos_token_id=[word, 0])
    engine = Translator.from_pretrained(folder).engine
    assert (engine.generation().end, engine.generation().other_ends) == (0, (word,))
    assert engine.translate([[5, 6, 0]], engine.generation(beam_size=1))[0][0].tokens == [word]


def test_the_settings_that_a_caller_gives_are_parsed() -> None:
    lines = ["num_beams=4", "early_stopping=never", "diversity_penalty=null", "eos_token_id=[0, 5]", "do_sample = true"]
    expected = {"num_beams": 4, "early_stopping": "never", "diversity_penalty": None, "eos_token_id": [0, 5]}
    assert parsed(lines) == expected | {"do_sample": True}
    for wrong, message in (("num_beams", "should be KEY=VALUE"), ("beams=3", "'beams': no such .*num_beams")):
        with pytest.raises(UsageError, match=message):
            parsed([wrong])
    assert "num_beams" in KNOWN


def test_encoders_have_no_search_settings(tmp_path: Path) -> None:
    folder = tiny_encoder_folder(tmp_path / "m")
    (folder / "generation_config.json").write_text(json.dumps({"diversity_penalty": 0.5}))
    subbyte.quantize(folder, tmp_path / "out", "int8", check=False)
    with pytest.raises(UsageError, match="search settings are those of translation models"):
        subbyte.quantize(folder, tmp_path / "out2", "int8", settings={"num_beams": 2})


def test_a_text_without_a_language_warns_once_a_call(tiny_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    translator = Translator.from_pretrained(tiny_folder)
    with caplog.at_level(logging.WARNING, "subbyte"):
        translator.translate(["", ">>nl<< A dog."], batch_size=1)
        translator.translate(["A dog.", ""], target_language="de")
        translator.translate_document(">>nl<< A dog. A cat.\n\n- 5 -\n")
        translator.score([">>de<< A dog."], ["hund"])
        assert caplog.text == ""
        calls = (
            lambda: translator.translate(["A dog."] * 5, batch_size=2),
            lambda: translator.translate([">>fr<< A dog.", "A cat."], batch_size=1),
            lambda: translator.translate_document("A dog.\n" * 70),
            lambda: translator.score(["A dog."] * 4, ["hund"] * 4, batch_size=1),
        )
        for call in calls:
            call()
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            assert "2 target languages (de, nl)" in caplog.text and ">>de<< text" in caplog.text
            caplog.clear()
