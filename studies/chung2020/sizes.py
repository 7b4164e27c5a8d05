"""Average bits and sizes as Chung et al. 2020 count them, and the bytes that our files take. Arithmetic, no chance.

    python studies/chung2020/sizes.py                             # the paper's tables, counted again
    python studies/chung2020/sizes.py MODEL                       # and a float32 MarianMT folder under our recipes

The paper stores n * q / 8 bytes of codes and a float32 scale for every row and bit, float32 for all vectors, and counts
1 MB as 1,024,000 bytes. We store the same codes, a float16 scale a row and a byte for every row and bit, for clusters
two bits a word that say which, and a header.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import subbyte
from subbyte.compress.recipes.recipe import load_recipe, resolve
from subbyte.folders.opening import open_model
from subbyte.models.model import Model
from subbyte.numbers.granularity import RowClusters
from subbyte.numbers.schemes import Clustered

MB = 1_024_000  # bytes, in the paper
FLOAT_BITS = 32
CLUSTERS = 4  # b

Width = int | RowClusters | None  # bits; or b, b - 1, ... bits by cluster; None is float32


@dataclass(frozen=True)
class Matrix:
    """A weight matrix of a block."""

    block: str
    rows: int
    cols: int


@dataclass(frozen=True)
class Shape:
    """A model as the accounting sees it: its matrices, and how many float32 values are in none."""

    matrices: tuple[Matrix, ...]
    floats: int

    @property
    def weights(self) -> int:
        """Elements of the matrices."""
        return sum(matrix.rows * matrix.cols for matrix in self.matrices)


def transformer(vocabulary: int, width: int, ffn: int, layers: int) -> Shape:
    """The paper's Transformer: no attention biases, a layer norm after each sub-layer and at the end of each stack."""
    attention = [(width, width)] * 4
    feed_forward = [(ffn, width), (width, ffn)]
    stacks = {"Enc_ee": attention, "Enc_ffn": feed_forward}
    stacks |= {"Dec_dd": attention, "Dec_ed": attention, "Dec_ffn": feed_forward}
    found = [Matrix(block, *shape) for block, shapes in stacks.items() for shape in shapes * layers]
    norms = layers * (2 + 3) + 2
    floats = norms * 2 * width + 2 * layers * (ffn + width)
    return Shape((Matrix("Emb", vocabulary, width), *found), floats)


BASE = transformer(vocabulary=32_768, width=512, ffn=2048, layers=6)

ENCODER: Mapping[str, Width] = {"Enc_ee": 3, "Enc_ffn": 4}
DECODER: Mapping[str, Width] = {"Dec_dd": 2, "Dec_ed": 3, "Dec_ffn": 1}
BLOCKS = ("Emb", *ENCODER, *DECODER)


def by_frequency(ratio: float) -> RowClusters:
    """The paper's four clusters of words."""
    return RowClusters(CLUSTERS, ratio)


# The paper's Table 2: name -> widths (a block that is not named is float32), average bits and MB as printed.
TABLE_2: Mapping[str, tuple[Mapping[str, Width], str, str]] = {
    "FP baseline": ({}, "32.0", "237.8"),
    "3-bit baseline": (dict.fromkeys(BLOCKS, 3), "3.0", "23.7"),
    "2-bit baseline": (dict.fromkeys(BLOCKS, 2), "2.0", "15.9"),
    "2-bit Emb. baseline": ({"Emb": 2}, "23.7", "176.1"),
    "2.5, FP, FP": ({"Emb": by_frequency(1)}, "23.9", "177.7"),
    "1.3, FP, FP": ({"Emb": by_frequency(4)}, "23.5", "175.2"),
    "1.1, FP, FP": ({"Emb": by_frequency(8)}, "23.5", "174.8"),
    "2.5, 1.8, FP": ({"Emb": by_frequency(1), **DECODER}, "11.3", "85.1"),
    "1.3, 1.8, FP": ({"Emb": by_frequency(4), **DECODER}, "11.0", "82.5"),
    "1.1, 1.8, FP": ({"Emb": by_frequency(8), **DECODER}, "11.0", "82.2"),
    "2.5, 1.8, 3.7": ({"Emb": by_frequency(1), **DECODER, **ENCODER}, "2.6", "20.2"),
    "1.3, 1.8, 3.7": ({"Emb": by_frequency(4), **DECODER, **ENCODER}, "2.2", "17.6"),
    "1.1, 1.8, 3.7": ({"Emb": by_frequency(8), **DECODER, **ENCODER}, "2.2", "17.2"),
}


def rows_by_bits(rows: int, width: int | RowClusters) -> list[tuple[int, int]]:
    """(rows, bits) of each part of a matrix."""
    if isinstance(width, RowClusters):
        return [(size, width.count - i) for i, size in enumerate(width.sizes(rows))]
    return [(rows, width)]


def average_bits(shape: Shape, widths: Mapping[str, Width]) -> float:
    """Bits of all weights over their number, a float32 weight counting 32; scales do not count."""
    total = 0
    for matrix in shape.matrices:
        width = widths.get(matrix.block)
        parts = [(matrix.rows, FLOAT_BITS)] if width is None else rows_by_bits(matrix.rows, width)
        total += sum(rows * matrix.cols * bits for rows, bits in parts)
    return total / shape.weights


def paper_bytes(shape: Shape, widths: Mapping[str, Width]) -> int:
    """What the paper counts: codes, and four bytes for every row and bit, and for every float."""
    total = 4 * shape.floats
    for matrix in shape.matrices:
        width = widths.get(matrix.block)
        if width is None:
            total += 4 * matrix.rows * matrix.cols
        else:
            parts = rows_by_bits(matrix.rows, width)
            total += sum(rows * matrix.cols * bits // 8 + 4 * rows * bits for rows, bits in parts)
    return total


def our_bytes(shape: Shape, widths: Mapping[str, Width]) -> int:
    """What the arrays of our model.safetensors take with binary coding (docs/format.md); the header comes on top."""
    total = 4 * shape.floats
    for matrix in shape.matrices:
        width = widths.get(matrix.block)
        if width is None:
            total += 4 * matrix.rows * matrix.cols
        else:
            parts = rows_by_bits(matrix.rows, width)
            total += sum(rows * -(-matrix.cols // 8) * bits + rows * (2 + bits) for rows, bits in parts)
            if len(parts) > 1:
                total += (len(parts) - 1).bit_length() * -(-matrix.rows // 8)
    return total


def shape_of(model: Model) -> Shape:
    """The shape of a float model, each matrix a block by its own name."""
    matrices = [Matrix(name, *model.tensors[name].shape) for name in model.roles]
    floats = sum(int(tensor.size) for name, tensor in model.tensors.items() if name not in model.roles)  # type: ignore[union-attr]
    return Shape(tuple(matrices), floats)


def widths_of(model: Model, recipe: str) -> dict[str, Width]:
    """The width of each matrix under a recipe."""
    schemes = resolve(load_recipe(recipe), model)
    return {name: s.clusters if isinstance(s, Clustered) else s.bits for name, s in schemes.items()}


def cluster_table(vocabulary: int = BASE.matrices[0].rows) -> str:
    """The average bits and cluster sizes of b = 4 for the paper's vocabulary."""
    rows = ["| r | average bits | words with 4, 3, 2, 1 bits |", "|---|---|---|"]
    for ratio in (1, 2, 4, 8):
        sizes = by_frequency(ratio).sizes(vocabulary)
        average = sum(size * bits for size, bits in zip(sizes, (4, 3, 2, 1), strict=True)) / vocabulary
        rows.append(f"| {ratio} | {average:.3f} | {', '.join(f'{size:,}' for size in sizes)} |")
    return "\n".join(rows)


def paper_table() -> str:
    """Table 2's bits and sizes, printed and counted, and what our arrays would take for the same model."""
    rows = ["| Emb, Dec, Enc | bits: paper | counted | MB: paper | counted | our arrays, MB of 1,024,000 |"]
    rows.append("|---|---|---|---|---|---|")
    for name, (widths, bits, size) in TABLE_2.items():
        cells = [name, bits, f"{average_bits(BASE, widths):.2f}", size, f"{paper_bytes(BASE, widths) / MB:.2f}"]
        rows.append(f"| {' | '.join(cells)} | {our_bytes(BASE, widths) / MB:.2f} |")
    return "\n".join(rows)


def model_table(folder: Path) -> str:
    """A model under our recipes: the paper's accounting, our arrays, and the file as it is on disk."""
    model = open_model(folder)
    shape = shape_of(model)
    rows = [
        "| recipe | bits, as the paper counts | bytes, as the paper counts | our arrays | `model.safetensors` | bits |"
    ]
    rows.append("|---|---|---|---|---|---|")
    for recipe in ("binary3", "binary2", "nmt-mixed-r1", "nmt-mixed", "nmt-mixed-r4"):
        widths = widths_of(model, recipe)
        with tempfile.TemporaryDirectory() as work:
            found = subbyte.quantize(folder, Path(work) / "out", recipe, check=False)
            stored = (Path(work) / "out" / "model.safetensors").stat().st_size
        cells = [f"`{recipe}`", f"{average_bits(shape, widths):.2f}", f"{paper_bytes(shape, widths):,}"]
        cells += [f"{our_bytes(shape, widths):,}", f"{stored:,}", f"{found['average_bits']:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    options = parser.parse_args()
    tables = [cluster_table(), paper_table()] + ([model_table(options.model)] if options.model else [])
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
