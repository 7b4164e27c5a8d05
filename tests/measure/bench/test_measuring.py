"""Measuring beside other engines: fairness and records."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import subbyte
from builders import fake_rival
from builders.fake_workers import CORE, SMALL
from builders.tiny_marian import tiny_marian_folder
from subbyte.errors import MeasurementError, UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench import rivals
from subbyte.measure.bench.measuring import benchmark, quartiles
from subbyte.measure.bench.planning import TEXT_TASK, sentences_of
from subbyte.measure.bench.rivals import ours
from subbyte.measure.bench.subjects import Setup, Task
from subbyte.measure.bench.table import tables
from subbyte.run.translation_engine import Engine


def test_quartiles():
    assert quartiles([5, 1, 3, 2, 4]) == (2, 3, 4)
    assert quartiles([1, 2]) == (1.25, 1.5, 1.75)
    assert quartiles([7]) == (7, 7, 7)


def test_a_benchmark_of_ours_alone(tiny_folder):
    document = benchmark(tiny_folder, recipes=["uniform4"], **SMALL)
    assert document["cpu"] and document["threads"] == 1
    assert [(run["precision"], run["sequence_length"]) for run in document["runs"]] == [
        (precision, tokens) for tokens in (4, None) for precision in ("float32", "uniform4")
    ]
    for run in document["runs"]:
        assert 0 < run["p25_seconds"] <= run["median_seconds"] <= run["p75_seconds"] < 10
        assert run["tokens_per_second"] == run["tokens"] / run["median_seconds"]
        assert run["peak_rss_bytes"] > run["rss_growth_bytes"] > 0
        assert (run["rounds"], run["sentences"], run["note"]) == (2, 3, None)
        assert run["details"]["isa"] in [name for name, _ in subbyte.run.resident.instruction_sets()]  # type: ignore[attr-defined]
    assert [run["tokens"] for run in document["runs"][:2]] == [12, 12]
    floats, packed = document["runs"][:2]
    assert floats["details"]["activations"] == "float32" and packed["details"]["activations"] == "int8"
    assert packed["bytes_on_disk"] < floats["bytes_on_disk"]


def test_free_running_generates_what_the_translator_does(tiny_folder):
    from subbyte.measure.bench.planning import SENTENCES

    (run,) = benchmark(tiny_folder, **(SMALL | {"tokens": 0, "rounds": 1}))["runs"]
    translator = subbyte.Translator.from_pretrained(tiny_folder)
    found = translator.stream(SENTENCES[:3], translator.engine.generation(beam_size=1, max_length=128))
    assert run["tokens"] == sum(hypotheses[0].tokens - 1 for hypotheses in found)


@pytest.mark.parametrize("tokens", [5, None])
def test_we_search_as_the_task_says(tiny_folder, monkeypatch, tokens):
    setup = Setup("", str(tiny_folder), [CORE], sentences=[[5, 0]])
    searches = []
    monkeypatch.setattr(Engine, "translate", lambda _, batch, search: searches.append(search) or [])
    ours.ENGINE.opener(setup)().translate(setup.sentences, Task("tokens", 1, 3, tokens, 20))
    (search,) = searches
    assert (search.beam_size, search.num_hypotheses, search.length_penalty, search.early_stopping) == (3, 1, 1.0, False)
    assert (search.min_length, search.max_length, search.forced_end) == ((6, 6, None) if tokens else (0, 20, 0))


def test_engines_take_turns_and_the_first_round_does_not_count(tiny_folder, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setitem(rivals.RIVALS, "again", "builders.fake_rival")
    monkeypatch.setattr("builders.fake_rival.ENGINE", replace(fake_rival.ENGINE, prepare=prepare_two))
    steps = []
    document = benchmark(tiny_folder, ["fake"], progress=lambda *step: steps.append(step), **SMALL)
    first = ["/one 2 1 4", "/one 2 1 4", "/two 2 1 4", "/two 2 1 4"]  # two batches a pass
    assert (tmp_path / "log").read_text().splitlines()[:12] == 3 * first
    assert steps[:3] == [("opening", n, 3) for n in range(1, 4)]
    assert steps[3:] == [
        ("measuring", n, 18) for n in range(1, 19)
    ]  # 3 subjects, 2 tasks, 2 rounds and one that is not counted
    fakes = [run for run in document["runs"] if run["engine"] == "fake"]
    assert [run["precision"] for run in fakes] == ["one", "two", "one", "two"]
    assert {run["version"] for run in fakes} == {version("pytest")} and {run["rounds"] for run in fakes} == {2}


def prepare_two(models, work):
    from subbyte.measure.bench.subjects import Subject

    for name in ("one", "two"):
        (work / name).mkdir()
    return [Subject("fake", name, Link(f"/{name}")) for name in ("one", "two")]


class Link(type(Path())):  # type: ignore[misc]
    """A path that has a name of its own in the log."""


def test_a_rival_below_its_published_speed_gets_a_note(tiny_folder, fake):
    document = benchmark(tiny_folder, ["fake"], **SMALL)
    forced, free = (run for run in document["runs"] if run["engine"] == "fake")
    assert forced["note"] is None
    assert free["note"] and free["note"].endswith("tokens per second: slower than the 1e-9 ms of a fake")
    assert f"- fake float32, batch 2, beam 1, free running: {free['note']}" in tables(document)


def test_text_is_measured_from_text_to_text_by_everybody_and_counted_by_our_tokenizer(tiny_folder, fake, tmp_path):
    fake("text")
    (tmp_path / "text").write_text("a dog\n")
    ours, theirs = benchmark(tiny_folder, ["fake"], text=tmp_path / "text", rounds=1)["runs"]
    assert (ours["form"], ours["batch_size"], ours["sequence_length"]) == ("text", 1, None)
    tokenizer = sentences_of(open_model(tiny_folder), tmp_path / "text", 1, [TEXT_TASK]).tokenizer
    assert theirs["tokens"] == len(tokenizer.encode_target("A DOG")) - 1


def test_an_engine_that_does_not_generate_what_was_forced_is_an_error(tiny_folder, fake):
    fake("short")
    with pytest.raises(MeasurementError, match="fake float32: generated 3 to 3 tokens a sentence where 4 were to be"):
        benchmark(tiny_folder, ["fake"], **SMALL)


def test_an_engine_may_refuse_a_model(tiny_folder, fake):
    fake("refuse")
    with pytest.raises(UsageError, match=r"tiny: fake cannot run it: it has no taste"):
        benchmark(tiny_folder, ["fake"], **SMALL)


def test_no_two_subjects_of_one_name(tiny_folder):
    with pytest.raises(UsageError, match="subbyte int8 would be measured twice"):
        benchmark(tiny_folder, recipes=["int8", "int8"], **SMALL)


def test_more_threads_than_cores_are_refused(tiny_folder):
    with pytest.raises(UsageError, match=r"threads is 1000, should be 1 to \d+"):
        benchmark(tiny_folder, threads=1000, **SMALL)


def test_work_keeps_what_was_made_apart_for_each_source(tiny_folder, tmp_path):
    for scale in (0.3, 0.2):
        benchmark(
            tiny_marian_folder(tmp_path / f"{scale}", scale=scale), recipes=["int8"], work=tmp_path / "w", **SMALL
        )
    assert [path.name for path in (tmp_path / "w").glob("*/*")] == ["subbyte-int8", "subbyte-int8"]
