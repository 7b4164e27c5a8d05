// What kernels in vectors of 16 lanes share. This folder is compiled once for each instruction set; everything in it
// has internal linkage, so no flag leaks from one instruction set into another.
//
// The including file has included a lanes_*.hpp, which defines F32x16 with + - * / and, lane by lane,
//   splat, load, store, absolute
//   multiply_add(a, b, c)              a * b + c, rounded once
//   larger(a, b), smaller(a, b)        a > b ? a : b,  a < b ? a : b
//   where_greater(x, bound, then)      x > bound ? then : +0
//   negated_where_negative(x, value)   x < 0 ? -value : value
//   power_of_two(n)                    2^n for whole n in -126..127
//   store_levels(p, v), widen(p)       whole numbers to int8 and back
//   fold16(v, out)                     out[i] = v[i] folded in the written order
// and the register blocks: kDenseRows x kDenseInputs of the matrix products, kDenseRowsOfOne for one input, and
// kAttendKeys vectors of keys and kAttendValues of values in self-attention, kCompensated columns that hear of errors.
#pragma once
#include <cmath>
#include <cstring>

#include "kernels/kernels.hpp"
#include "kernels/math.hpp"

namespace subbyte {
namespace {

// f<width>() for the width of a matrix.
#define SUBBYTE_BY_WIDTH(width, f, ...) \
  switch (width) {                      \
    case 8: return f<8>(__VA_ARGS__);   \
    case 4: return f<4>(__VA_ARGS__);   \
    case 3: return f<3>(__VA_ARGS__);   \
    case 2: return f<2>(__VA_ARGS__);   \
    default: return f<1>(__VA_ARGS__);  \
  }

// The first n values, zeros behind them; n = 0 and n >= 16 are fine.
inline F32x16 load_upto(const float* p, size_t n) {
  if (n >= kTile) return load(p);
  float part[kTile] = {};
  std::memcpy(part, p, n * sizeof(float));
  return load(part);
}

// Stores the first n values; the usual whole vector is one instruction.
inline void store_upto(float* p, F32x16 v, size_t n) {
  if (n >= kTile) return store(p, v);
  float part[kTile];
  store(part, v);
  std::memcpy(p, part, n * sizeof(float));
}

// The first n lanes, zeros behind them.
inline F32x16 first_lanes(F32x16 v, size_t n) {
  if (n >= kTile) return v;
  float part[kTile];
  store(part, v);
  return load_upto(part, n);
}

inline float fold(F32x16 v) {
  float lane[kTile];
  store(lane, v);
  for (size_t w = kTile / 2; w > 0; w /= 2)
    for (size_t i = 0; i < w; ++i) lane[i] += lane[i + w];
  return lane[0];
}

inline float largest(F32x16 v) {
  float lane[kTile];
  store(lane, v);
  for (size_t w = kTile / 2; w > 0; w /= 2)
    for (size_t i = 0; i < w; ++i) lane[i] = lane[i] > lane[i + w] ? lane[i] : lane[i + w];
  return lane[0];
}

inline F32x16 exp_of(F32x16 x) {
  using namespace constants;
  const F32x16 low = splat(kExpLow), inside = larger(smaller(x, splat(kExpHigh)), low);
  const F32x16 n = multiply_add(inside, splat(kLog2E), splat(kRound)) - splat(kRound);
  const F32x16 r = multiply_add(n, splat(-kLn2Low), multiply_add(n, splat(-kLn2High), inside));
  F32x16 p = splat(kExp[0]);
  for (int i = 1; i < 8; ++i) p = multiply_add(p, r, splat(kExp[i]));
  return where_greater(x, low, p * power_of_two(n));
}

// Bias and scatter of 16 results of one input. Most rows that have neighbours in a matrix have them among its parts
// too.
inline void finish(float* y, F32x16 v, const float* bias, const uint32_t* outputs, size_t row, size_t rows) {
  const size_t n = rows - row < kTile ? rows - row : kTile;
  if (!outputs || outputs[row + n - 1] - outputs[row] == n - 1) {
    const size_t first = outputs ? outputs[row] : row;
    if (bias) v = v + load_upto(bias + first, n);
    store_upto(y + first, v, n);
    return;
  }
  float lane[kTile];
  store(lane, v);
  for (size_t r = 0; r < n; ++r) {
    const size_t out = outputs[row + r];
    y[out] = bias ? lane[r] + bias[out] : lane[r];
  }
}

}  // namespace
}  // namespace subbyte
