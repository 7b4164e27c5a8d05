"""`subbyte inspect`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import subbyte
from subbyte.cli.options import Json, ModelFolder
from subbyte.cli.printing import print_columns, print_json, print_pairs

if TYPE_CHECKING:
    from subbyte.run.inspection import Inspection


def inspect(
    folder: ModelFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its sha256 sum first.")] = False,
    json: Json = False,
) -> None:
    """Show the tensors of a folder (shape, scheme, bits, bytes, error), its size, and how this machine would run it."""
    if verify:
        print(f"{len(subbyte.verify(folder))} files are as they were written", file=sys.stderr)
    document = subbyte.inspect(folder)
    if json:
        print_json(document)
        return
    print_totals(folder, document)
    print()
    _print_tensors(document)
    print()
    _print_kernels(document)


def print_totals(folder: Path, document: Inspection) -> None:
    """The size of a folder in five or six lines."""
    print_pairs(
        {
            str(folder): document["architecture"],
            **({"makes": document["answers"]} if document["answers"] else {}),
            "parameters": f"{document['parameters']:,}",
            "folder": f"{document['folder_bytes']:,} bytes, all files; {document['folder_bits']:.2f} bits per weight",
            "weights": f"{document['weights_bytes']:,} bytes, {document['average_bits']:.2f} bits per weight, "
            f"{document['compression']:.2f} times smaller than float32, scales and header included",
            "in memory": f"{document['resident_weight_bytes']:,} bytes of weight matrices",
        }
    )


def _print_tensors(document: Inspection) -> None:
    """A line a matrix, and a table of the schemes that they have, each with the rule that chose it."""
    ways: dict[tuple[str, str, str], int] = {}
    rows = []
    for tensor in document["tensors"]:
        if tensor["role"]:
            way = (tensor["scheme"], tensor["granularity"] or "-", tensor["rule"] or "-")
            shape, bits = " x ".join(map(str, tensor["shape"])), round(tensor["bits"], 2)
            lost = "-" if tensor["sqnr_db"] is None else round(tensor["sqnr_db"], 1)
            rows.append([tensor["name"], shape, bits, tensor["bytes"], lost, ways.setdefault(way, 1 + len(ways))])
    print_columns(["matrix", "shape", "bits", "bytes", "SQNR dB", "way"], rows)
    vectors = [tensor["bytes"] for tensor in document["tensors"] if not tensor["role"]]
    print(f"and {len(vectors)} vectors, {sum(vectors):,} bytes")
    print()
    print_columns(["way", "scheme", "scale per", "rule"], [[number, *way] for way, number in ways.items()])


def _print_kernels(document: Inspection) -> None:
    kernels = document["kernels"]
    print(f"runs on {kernels['isa']} with {kernels['activations']} activations")
    if any(tensor["scheme"] == "int8" for tensor in document["tensors"]):
        print("  in the int8 codes of its file; --activations float32 takes float32 weights as well")
    print(f"  of the instruction sets known, this machine has {', '.join(kernels['available'])}")
    if kernels["unavailable"]:
        print(f"  and lacks {', '.join(kernels['unavailable'])}")
    for path in kernels["paths"]:
        print(f"{path['bits']} bits, {path['resident_bits']} in memory")
        if path["few"]:
            print(f"  at most {path['few']} inputs  {path['few_inputs']}")
        print(f"  {'more' if path['few'] else 'any number of'} inputs  {path['many_inputs']}")
