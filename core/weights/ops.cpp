#include "weights/ops.hpp"

#include <algorithm>

namespace subbyte {
namespace {
// Below this many multiply-adds a job costs more to hand out than to do.
constexpr size_t kWorthSharing = 400000;
constexpr size_t kChunksPerThread = 3;
}  // namespace

Ops::Ops(const Kernels& kernels, size_t threads, Rounding rounding)
    : kernels_(kernels), threads_(threads), rounding_(rounding), scratch_(threads_.count()), row_(threads_.count()) {}

size_t Ops::chunks_for(size_t units, size_t work) const {
  if (threads_.count() == 1 || work < kWorthSharing) return 1;
  return std::max<size_t>(1, std::min(units, threads_.count() * kChunksPerThread));
}

void Ops::quantize(Inputs& inputs, size_t groups) {
  if (!inputs.grid && inputs.quantized_groups == groups) return;
  const size_t steps = steps_of(inputs.cols);
  int8_t* q = x_.grow(int8_input_bytes(inputs.m, steps));
  float* scale = x_scale_.grow(inputs.m);
  int32_t* sum = x_sum_.grow(inputs.m * groups);
  for_rows(inputs.m, inputs.cols * 16, [&](size_t row, size_t worker) {
    kernels_.quantize_rows({operand_row(inputs, row, worker), q + row * steps * kTile, scale + row, sum + row * groups,
                            1, inputs.cols, inputs.cols, steps, groups});
  });
  inputs.grid = nullptr;
  inputs.quantized_groups = groups;
}

void Ops::note(const Matrix& w, Inputs& inputs, const Grid* grid) {
  if (!seen_) return;
  settle(inputs);
  const auto found = seen_->find(&w);
  if (found == seen_->end()) return;
  std::vector<float>& values = found->second;
  values.insert(values.end(), inputs.x, inputs.x + inputs.m * inputs.cols);
  if (grid) round(*grid, inputs.m, inputs.cols, values.data() + values.size() - inputs.m * inputs.cols);
}

void Ops::linear(const Matrix& w, Inputs& inputs, const float* bias, float* y, size_t y_stride) {
  if (inputs.m == 0) return;
  note(w, inputs);
  const size_t work_of_row = inputs.m * inputs.cols;
  if (w.dense() || rounding_ != Rounding::int8) settle(inputs);
  if (w.dense()) {
    split(w.rows(), w.rows() * work_of_row, [&](size_t begin, size_t end, size_t) {
      kernels_.linear_dense({w.weights(), inputs.x, bias, y, inputs.m, w.rows(), w.cols(), w.stride(), inputs.cols,
                             y_stride, begin * kTile, std::min(end * kTile, w.rows())});
    });
    return;
  }
  if (rounding_ == Rounding::int8) return linear(w.parts(), inputs, bias, y, y_stride);
  for (const Matrix::Part& part : w.parts()) {
    split(part.packed.rows, part.packed.rows * work_of_row, [&](size_t begin, size_t end, size_t worker) {
      kernels_.linear_float({part.packed, inputs.x, bias, part.outputs, y, inputs.m, w.cols(), inputs.cols, y_stride,
                             begin, end, scratch_[worker].grow(256 * part.packed.steps)});
    });
  }
}

void Ops::linear(const std::vector<Matrix::Part>& parts, Inputs& inputs, const float* bias, float* y, size_t y_stride) {
  if (inputs.m == 0) return;
  quantize(inputs, parts.front().packed.groups);
  products(parts, inputs, x_, x_sum_, x_scale_.data(), bias, y, y_stride);
}

void Ops::products(const std::vector<Matrix::Part>& parts, const Inputs& inputs, const Buffer<int8_t>& x,
                   const Buffer<int32_t>& x_sum, const float* x_scale, const float* bias, float* y, size_t y_stride) {
  for (const Matrix::Part& part : parts) {
    split(part.packed.rows, part.packed.rows * inputs.m * inputs.cols, [&](size_t begin, size_t end, size_t worker) {
      kernels_.linear_int8({part.packed, x.data(), x_sum.data(), x_scale, bias, part.outputs, y, inputs.m, y_stride,
                            begin, end, scratch_[worker].grow(int8_scratch(part.packed.steps))});
    });
  }
}

// `groups`: whose codes are summed, as many as the grid has, or any number where it has one.
void Ops::quantize(Inputs& inputs, const Grid& grid, size_t groups) {
  const size_t size = inputs.cols / groups, padded = steps_of(inputs.cols) * kTile;
  if (inputs.grid == &grid && inputs.quantized_groups == groups) return;
  int8_t* high = x_.grow(int8_input_bytes(inputs.m, steps_of(inputs.cols)));
  int8_t* low = grid.wide() ? low_.grow(int8_input_bytes(inputs.m, steps_of(inputs.cols))) : nullptr;
  int32_t* high_sum = x_sum_.grow(inputs.m * groups);
  int32_t* low_sum = grid.wide() ? low_sum_.grow(inputs.m * groups) : nullptr;
  for_rows(inputs.m, inputs.cols * 16, [&](size_t row, size_t worker) {
    const float* x = operand_row(inputs, row, worker);
    for (size_t g = 0; g < groups; ++g) {
      const size_t at = row * padded + g * size, sum = row * groups + g;
      kernels_.grid_codes({x + g * size, size, grid.groups[grid.groups.size() > 1 ? g : 0], high + at,
                           low ? low + at : nullptr, high_sum + sum, low ? low_sum + sum : nullptr});
    }
  });
  inputs.grid = &grid;
  inputs.quantized_groups = groups;
}

void Ops::linear(const StaticProduct& w, Inputs& inputs, float* y, size_t y_stride) {
  if (inputs.m == 0) return;
  note(w.matrix(), inputs, &w.grid());
  quantize(inputs, w.grid(), w.groups());
  float* x_scale = x_scale_.grow(inputs.m);
  const bool wide = w.grid().wide();
  std::fill_n(x_scale, inputs.m, wide ? 255.0f * w.x_scale() : w.x_scale());
  products(w.parts(), inputs, x_, x_sum_, x_scale, w.bias(), y, y_stride);
  if (!wide) return;
  size_t rows = 0;
  for (const Matrix::Part& part : w.parts()) rows += part.packed.rows;
  float* low = low_product_.grow(inputs.m * rows);
  std::fill_n(x_scale, inputs.m, w.x_scale());
  products(w.parts(), inputs, low_, low_sum_, x_scale, nullptr, low, rows);
  for_rows(inputs.m, rows, [&](size_t row, size_t) {
    for (size_t i = 0; i < rows; ++i) y[row * y_stride + i] += low[row * rows + i];
  });
}

void Ops::round(const Grid& grid, size_t m, size_t n, float* x) {
  const GridGroup& first = grid.groups.front();
  const GridColumns columns = {grid.inverse.data(), grid.scale.data(), grid.zero.data(), first.limit};
  for_rows(m, n * 4, [&](size_t row, size_t) {
    if (grid.groups.size() == 1)
      kernels_.round_to_grid(x + row * n, n, first);
    else
      kernels_.round_columns(x + row * n, n, columns);
  });
}

void Ops::settle(Inputs& inputs) {
  if (!inputs.factors && inputs.rotation == 1) return;
  const size_t n = inputs.cols;
  float* y = settled_.grow(inputs.m * n);
  for_rows(inputs.m, n * 4, [&](size_t row, size_t) {
    kernels_.operand({inputs.x + row * n, inputs.factors, y + row * n, n, inputs.rotation});
  });
  inputs.x = y;
  inputs.factors = nullptr;
  inputs.rotation = 1;
}

// A row of what is multiplied, valid until the worker's next one.
const float* Ops::operand_row(const Inputs& inputs, size_t row, size_t worker) {
  const float* x = inputs.x + row * inputs.cols;
  if (!inputs.factors && inputs.rotation == 1) return x;
  float* y = row_[worker].grow(inputs.cols);
  kernels_.operand({x, inputs.factors, y, inputs.cols, inputs.rotation});
  return y;
}

Rounded Ops::rounded(const Inputs& inputs, size_t i) const {
  const size_t size = steps_of(inputs.cols) * kTile;
  return {x_.data() + i * size, size, x_sum_.data()[i], x_scale_.data()[i]};
}

void Ops::layer_norm(const float* x, const float* residual, const std::vector<float>& gamma,
                     const std::vector<float>& beta, float eps, size_t m, float* y) {
  const size_t n = gamma.size();
  for_rows(m, n * 16, [&](size_t row, size_t) {
    kernels_.layer_norm(
        {x + row * n, residual ? residual + row * n : nullptr, gamma.data(), beta.data(), y + row * n, 1, n, eps});
  });
}

void Ops::activate(Activation kind, float* x, size_t n) {
  constexpr size_t kPiece = 4096;  // a multiple of 16: pieces do not change any lane
  for_rows((n + kPiece - 1) / kPiece, kPiece * (kind == Activation::relu ? 1 : 16), [&](size_t piece, size_t) {
    kernels_.activate(kind, x + piece * kPiece, std::min(kPiece, n - piece * kPiece));
  });
}

}  // namespace subbyte
