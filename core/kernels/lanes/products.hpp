// The matrix products, in the order of work that every instruction set with registers shares.
//
// The including file has defined
//   kFewInputs                                         inputs that one pass over the codes of a block can serve
//   expand<width>(w, block, bias, out)                 levels plus bias of one block, [steps, quad, 64]
//   int8_block<width, inputs, even>(a, block, first)   a block times `inputs` inputs; width 0: from levels plus
//                                                      kBias, which stand in a.scratch; even: by the spacing of levels
#pragma once
#include "kernels/lanes/vectors.hpp"
#include "kernels/layout.hpp"

namespace subbyte {
namespace {

// int8_block for n inputs, 1 <= n <= inputs.
template <int width, size_t inputs, bool even = false>
inline void int8_inputs(const LinearInt8& a, size_t block, size_t first, size_t n) {
  if constexpr (inputs > 1) {
    if (n < inputs) return int8_inputs<width, inputs - 1, even>(a, block, first, n);
  }
  int8_block<width, inputs, even>(a, block, first);
}

// Makes expanded levels of a block what its exceptions are.
inline void add_exceptions(const Packed& w, size_t block, uint8_t* levels) {
  for_exceptions(w, block, [=](const Exception& one) {
    uint8_t& level = levels[one.col / kTile * 256 + 64 * (one.row % 4) + 16 * (one.row / 4) + one.col % kTile];
    level = static_cast<uint8_t>(level + one.more);
  });
}

// Few inputs: codes are unpacked in registers. Many: once into scratch, then met by kFewInputs at a time.
template <int width>
void int8_blocks(const LinearInt8& a) {
  if (a.m == 0) return;
  for (size_t block = a.block_begin; block < a.block_end; ++block) {
    if (a.m <= kFewInputs) {
      if (width >= 2 && width <= 4 && a.w.spacing)
        int8_inputs<width, kFewInputs, true>(a, block, 0, a.m);
      else
        int8_inputs<width, kFewInputs>(a, block, 0, a.m);
      continue;
    }
    expand<width>(a.w, block, kBias, a.scratch);
    add_exceptions(a.w, block, a.scratch);
    for (size_t i = 0; i < a.m; i += kFewInputs)
      int8_inputs<0, kFewInputs>(a, block, i, a.m - i < kFewInputs ? a.m - i : kFewInputs);
  }
}

void linear_int8(const LinearInt8& a) { SUBBYTE_BY_WIDTH(a.w.width, int8_blocks, a) }

// Products of `inputs` rows of x with 16 rows of weights given by `weight(row, step)`; out[input][row] is the folded
// sum over steps [begin, end). `rows` weights and all inputs are held in registers at a time.
template <size_t inputs, size_t rows, class Weight>
inline void dots(const float* x, size_t x_stride, size_t cols, size_t begin, size_t end, const Weight& weight,
                 float out[][kTile]) {
  const size_t whole = end * kTile <= cols ? end : cols / kTile;
  F32x16 sums[inputs][kTile];
  for (size_t row = 0; row < kTile; row += rows) {
    F32x16 acc[inputs][rows];
    for (size_t i = 0; i < inputs; ++i)
      for (size_t r = 0; r < rows; ++r) acc[i][r] = splat(0.0f);
    const auto step = [&](size_t s, const auto& load_x) {
      F32x16 w[rows];
      for (size_t r = 0; r < rows; ++r) w[r] = weight(row + r, s);
      for (size_t i = 0; i < inputs; ++i) {
        const F32x16 xs = load_x(x + i * x_stride + s * kTile);
        for (size_t r = 0; r < rows; ++r) acc[i][r] = multiply_add(xs, w[r], acc[i][r]);
      }
    };
    for (size_t s = begin; s < whole; ++s) step(s, [](const float* p) { return load(p); });
    for (size_t s = whole; s < end; ++s) step(s, [&](const float* p) { return load_upto(p, cols - s * kTile); });
    for (size_t i = 0; i < inputs; ++i)
      for (size_t r = 0; r < rows; ++r) sums[i][row + r] = acc[i][r];
  }
  for (size_t i = 0; i < inputs; ++i) fold16(sums[i], out[i]);
}

constexpr size_t rows_for(size_t inputs) { return inputs == 1 ? kDenseRowsOfOne : kDenseRows; }

template <size_t inputs>
void dense_block(const LinearDense& a, size_t row, size_t first) {
  const size_t rows = a.rows - row, steps = (a.cols + kTile - 1) / kTile;
  const float* w = a.w + row * a.w_stride;
  float out[inputs][kTile];
  dots<inputs, rows_for(inputs)>(
      a.x + first * a.x_stride, a.x_stride, a.cols, 0, steps,
      [&](size_t r, size_t s) { return load(w + (r < rows ? r : 0) * a.w_stride + s * kTile); }, out);
  for (size_t i = 0; i < inputs; ++i)
    finish(a.y + (first + i) * a.y_stride, load(out[i]), a.bias, nullptr, row, a.rows);
}

void linear_dense(const LinearDense& a) {
  for (size_t row = a.row_begin; row < a.row_end; row += kTile) {
    size_t i = 0;
    for (; i + kDenseInputs <= a.m; i += kDenseInputs) dense_block<kDenseInputs>(a, row, i);
    for (; i < a.m; ++i) dense_block<1>(a, row, i);
  }
}

// Signed levels of one block of codes, [steps, quad, 64].
template <int width>
inline void expand_levels(const Packed& w, size_t block, uint8_t* out) {
  expand<width>(w, block, 0, out);
  add_exceptions(w, block, out);
}

inline void expand_block(const Packed& w, size_t block, uint8_t* out) {
  SUBBYTE_BY_WIDTH(w.width, expand_levels, w, block, out)
}

template <size_t inputs>
void float_block(const LinearFloat& a, size_t block, size_t first) {
  const Packed& w = a.w;
  const size_t padded = (w.rows + kTile - 1) / kTile * kTile, row = block * kTile, group_steps = w.steps / w.groups;
  const int8_t* levels = reinterpret_cast<const int8_t*>(a.scratch);
  F32x16 y[inputs];
  for (size_t i = 0; i < inputs; ++i) y[i] = splat(0.0f);
  for (size_t g = 0; g < w.groups; ++g) {
    float out[inputs][kTile];
    float zero[kTile] = {};
    if (w.zero)
      for (size_t r = 0; r < kTile; ++r) zero[r] = static_cast<float>(w.zero[g * padded + row + r]);
    dots<inputs, rows_for(inputs)>(
        a.x + first * a.x_stride, a.x_stride, a.cols, g * group_steps, (g + 1) * group_steps,
        [&](size_t r, size_t s) { return widen(levels + s * 256 + 64 * (r % 4) + 16 * (r / 4)) - splat(zero[r]); },
        out);
    const F32x16 scale = load(w.scale + g * padded + row);
    for (size_t i = 0; i < inputs; ++i) y[i] = g == 0 ? load(out[i]) * scale : y[i] + load(out[i]) * scale;
  }
  for (size_t i = 0; i < inputs; ++i) finish(a.y + (first + i) * a.y_stride, y[i], a.bias, a.outputs, row, w.rows);
}

void linear_float(const LinearFloat& a) {
  for (size_t block = a.block_begin; block < a.block_end; ++block) {
    expand_block(a.w, block, a.scratch);
    size_t i = 0;
    for (; i + kDenseInputs <= a.m; i += kDenseInputs) float_block<kDenseInputs>(a, block, i);
    for (; i < a.m; ++i) float_block<1>(a, block, i);
  }
}

}  // namespace
}  // namespace subbyte
