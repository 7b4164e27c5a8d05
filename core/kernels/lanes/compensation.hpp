// The one kernel that compression has.
#pragma once
#include "kernels/lanes/vectors.hpp"

namespace subbyte {
namespace {

// values[c] = fma(errors[i], matrix[rows[i], c], values[c]) for all i, for columns begin to end, a row a lane.
inline void hear(const float* errors, const size_t* rows, size_t count, const float* matrix, size_t cols, size_t begin,
                 size_t end, float* values) {
  size_t c = begin;
  for (; c + kCompensated <= end; c += kCompensated) {
    F32x16 acc[kCompensated];
    for (size_t k = 0; k < kCompensated; ++k) acc[k] = load(values + (c + k) * kTile);
    for (size_t i = 0; i < count; ++i) {
      const F32x16 error = load(errors + i * kTile);
      const float* row = matrix + rows[i] * cols + c;
      for (size_t k = 0; k < kCompensated; ++k) acc[k] = multiply_add(error, splat(row[k]), acc[k]);
    }
    for (size_t k = 0; k < kCompensated; ++k) store(values + (c + k) * kTile, acc[k]);
  }
  for (; c < end; ++c) {
    F32x16 acc = load(values + c * kTile);
    for (size_t i = 0; i < count; ++i)
      acc = multiply_add(load(errors + i * kTile), splat(matrix[rows[i] * cols + c]), acc);
    store(values + c * kTile, acc);
  }
}

// The levels of column j become those nearest to `value`. False: they were already.
inline bool to_levels(const Compensate& a, size_t j, F32x16 value, float room, float* level) {
  const float* borders = a.borders + a.group[j] * (a.levels - 1) * kTile;
  const float* shift = a.shift ? a.shift + a.group[j] * (a.levels - 1) * kTile : nullptr;
  const float* values = a.values + a.group[j] * a.levels * kTile;
  const F32x16 one = splat(1.0f);
  F32x16 above[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};  // sums of ones: exact
  for (size_t k = 0; k + 1 < a.levels; ++k) {
    F32x16 border = load(borders + k * kTile);
    if (shift) border = multiply_add(load(shift + k * kTile), splat(room), border);
    above[k % 4] = above[k % 4] + where_greater(border, value, one);
  }
  float count[kTile];
  store(count, (above[0] + above[1]) + (above[2] + above[3]));
  bool moved = false;
  for (size_t lane = 0; lane < kTile; ++lane) {
    const size_t number = a.levels - 1 - static_cast<size_t>(count[lane]);
    moved |= number != a.numbers[j * kTile + lane];
    a.numbers[j * kTile + lane] = static_cast<uint8_t>(number);
    level[lane] = values[number * kTile + lane];
  }
  return moved;
}

// Columns work in blocks: those of a block hear of an error at once, the others when the block is done, one error after
// the other, so that the order of operations is the same.
void compensate(const Compensate& a) {
  constexpr size_t kBlock = 64;
  const size_t n = a.cols;
  float *rest = a.scratch, *levels = a.scratch + n * kTile;
  float errors[kBlock * kTile];
  size_t rows[kBlock];
  std::memcpy(rest, a.w, n * kTile * sizeof(float));
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = begin + kBlock < n ? begin + kBlock : n;
    for (size_t j = begin; j < end; ++j) {
      const F32x16 value = load(rest + j * kTile);
      to_levels(a, j, value, a.spread[j * n + j] * a.spread[j * n + j], levels + j * kTile);
      const F32x16 error = (value - load(levels + j * kTile)) / splat(a.spread[j * n + j]);
      float* kept = errors + (j - begin) * kTile;
      store(kept, splat(-0.0f) - error);
      rows[j - begin] = j;
      hear(kept, rows + (j - begin), 1, a.spread, n, j + 1, end, rest);
    }
    hear(errors, rows, end - begin, a.spread, n, end, n, rest);
  }
  float* slope = rest;
  std::memset(slope, 0, n * kTile * sizeof(float));
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = begin + kBlock < n ? begin + kBlock : n;
    for (size_t j = begin; j < end; ++j) {
      store(errors + (j - begin) * kTile, load(a.w + j * kTile) - load(levels + j * kTile));
      rows[j - begin] = j;
    }
    hear(errors, rows, end - begin, a.gram, n, 0, n, slope);
  }
  for (size_t sweep = 0; sweep < a.sweeps; ++sweep) {
    for (size_t begin = 0; begin < n; begin += kBlock) {
      const size_t end = begin + kBlock < n ? begin + kBlock : n;
      size_t count = 0;
      for (size_t j = begin; j < end; ++j) {
        float* level = levels + j * kTile;
        const F32x16 before = load(level);
        const float most = a.gram[j * n + j];
        if (!to_levels(a, j, before + load(slope + j * kTile) / splat(most), 1.0f / most, level)) continue;
        float* kept = errors + count * kTile;
        store(kept, before - load(level));
        rows[count] = j;
        hear(kept, rows + count, 1, a.gram, n, begin, end, slope);
        ++count;
      }
      hear(errors, rows, count, a.gram, n, 0, begin, slope);
      hear(errors, rows, count, a.gram, n, end, n, slope);
    }
  }
}

}  // namespace
}  // namespace subbyte
