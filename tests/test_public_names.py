"""What `import subbyte` offers: few names, sorted, each really there and documented."""

from __future__ import annotations

import ast
import inspect

import pytest

import subbyte


def test_the_names():
    assert subbyte.__all__ == [
        "Classifier",
        "Encoder",
        "FormatError",
        "KernelError",
        "ModelError",
        "RecipeError",
        "SchemeError",
        "SubbyteError",
        "Translator",
        "UsageError",
        "analyze",
        "evaluate_classification",
        "evaluate_similarity",
        "evaluate_translation",
        "inspect",
        "pack",
        "quantize",
        "verify",
    ]
    assert {*subbyte.__all__} <= {*dir(subbyte)}


@pytest.mark.parametrize("name", subbyte.__all__)
def test_each_is_there_and_documented(name):
    assert inspect.getdoc(getattr(subbyte, name))


def test_type_checkers_are_told_the_same_homes():
    tree = ast.parse(inspect.getsource(subbyte))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {node.names[0].asname: node.module for node in block.body if isinstance(node, ast.ImportFrom)}
    assert told == {name: f"subbyte.{home}" for name, home in subbyte._HOMES.items()}


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        subbyte.quantise  # noqa: B018
