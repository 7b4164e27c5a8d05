"""A Bergamot student in the int8 codes that its file holds: what runs where somebody names such a folder.

The file has one multiplier m a matrix, and a weight is code / m; our scale is 1 / m in float16, so that a folder that
is opened and one that was converted by the preset `student8` give the same answers, bit by bit.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from subbyte.errors import ModelError, SchemeError
from subbyte.folders.bergamot import student
from subbyte.folders.bergamot.model_file import INTGEMM8, Item, int8_codes
from subbyte.models.model import Dynamic, Model, Tensor
from subbyte.models.specification import Shape
from subbyte.numbers.granularity import PerTensor
from subbyte.numbers.packed import Block, PackedMatrix
from subbyte.numbers.schemes import Uniform, to_plain

SCHEME = Uniform(bits=8, granularity=PerTensor(), range="minmax")  # that of student8


def load_codes(folder: Path) -> Model:
    """The model in a student folder, its int8 matrices packed as they are; without any, the float32 model.

    Raises ModelError as `student.load` does.
    """
    model = student.model_of(student.open_student(folder), folder, _tensor)
    return replace(model, activations=Dynamic()) if model.compressed else model


def _tensor(item: Item, place: student.Place, shape: Shape, where: str) -> Tensor:
    if item.type != INTGEMM8 or len(shape) != 2:
        return student.floats_of(item, place, shape, where)
    codes, step = int8_codes(item, where)
    # The largest code is 127 by the way students are made, and then nothing is rounded. Any other file goes through the
    # same formulas as when it is converted, for each of the 256 codes once.
    low, high = int(codes.min()), int(codes.max())
    values = np.arange(-128, 128, dtype=np.int8) * step
    try:
        params = SCHEME.fit(values[[low + 128, high + 128]].reshape(1, 1, 2))
    except SchemeError as error:
        raise ModelError(f"{where}: {item.name}: {error}; --activations float32 runs it without one") from None
    levels = SCHEME.encode(values.reshape(1, 1, -1), params).ravel().astype(np.int16) - 127
    if not np.array_equal(levels[low + 128 : high + 129], np.arange(low, high + 1)):
        codes = levels.astype(np.int8)[codes.astype(np.int16) + 128]
    codes = student.arranged(codes, item, place, shape)
    return PackedMatrix((shape[0], shape[1]), shape[1], (Block(8, codes, params["scale"]),), None, to_plain(SCHEME))
