// Matrices whose inputs may stand on grids, and the points where values are put on them.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "models/arena.hpp"
#include "models/tensors.hpp"

namespace subbyte {

// A place in the computation whose values may be rounded to a grid, and looked at.
struct Point {
  std::optional<Grid> grid;
  std::vector<float> equalizer;        // of what products read, a factor a column; empty: none
  size_t rotation = 1;                 // then turned in blocks of so many columns; 1: not at all
  bool as_codes = false;               // is not rounded itself: products make codes of it
  std::vector<float>* seen = nullptr;  // takes the values before they are rounded

  // Values on their way through, [m, n].
  void pass(Ops& ops, size_t m, size_t n, float* x) {
    if (seen) seen->insert(seen->end(), x, x + m * n);
    if (grid && !as_codes) ops.round(*grid, m, n, x);
  }

  // What products read of values that have passed.
  Inputs operand(const float* x, size_t m, size_t n) const {
    return {x, m, n, equalizer.empty() ? nullptr : equalizer.data(), rotation};
  }

  const GridGroup* group() const { return grid ? &grid->groups[0] : nullptr; }
};

// A matrix with its bias; `fixed` is what it makes of inputs on a grid. A matrix of floats has none, and rounds a copy
// of an operand to `grid`.
struct Product {
  Linear linear;
  std::unique_ptr<StaticProduct> fixed = nullptr;
  const Grid* grid = nullptr;

  // Fits the product to the point of its inputs, which must live as long. Inputs on a grid are only multiplied as codes
  // where weights are codes too.
  Fault fit(const Point& inputs, Rounding rounding) {
    if (!inputs.grid) return {};
    if (!linear.weight->dense() && rounding == Rounding::int8) {
      auto made = StaticProduct::of(*linear.weight, linear.bias, *inputs.grid);
      if (!made) return made.fault();
      fixed = std::move(*made);
    } else if (inputs.grid->operand) {
      grid = &*inputs.grid;
    }
    return {};
  }

  size_t rows() const { return linear.weight ? linear.weight->rows() : 0; }
  size_t folded_bytes() const { return fixed ? fixed->bytes() : 0; }  // resident, beside the matrix

  // y = [m, rows]
  void run(Arena& arena, Inputs& inputs, float* y) const {
    Ops& ops = arena.ops;
    if (fixed) return ops.linear(*fixed, inputs, y, rows());
    if (!grid) return linear.run(ops, inputs, y, rows());
    ops.settle(inputs);
    float* copy = arena.rounded.grow(inputs.m * inputs.cols);
    std::copy_n(inputs.x, inputs.m * inputs.cols, copy);
    ops.round(*grid, inputs.m, inputs.cols, copy);
    Inputs rounded = {copy, inputs.m, inputs.cols};
    linear.run(ops, rounded, y, rows());
  }
};

}  // namespace subbyte
