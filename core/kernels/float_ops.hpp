// The float kernels in vectors of 16 lanes, compiled once for each instruction set: the compiler splits the vectors into
// what the machine has. Everything has internal linkage, so no flag leaks from one instruction set into another.
//
// The including file defines the two things whose best form differs:
//   F32x16 widen(const int8_t* p)                 16 levels as floats
//   void fold16(const F32x16 v[16], float* out)   out[i] = v[i] folded in the written order
// and kDenseRows x kDenseInputs, the register block of the matrix products.
#pragma once
#include <cmath>
#include <cstring>

#include "../kernels.hpp"
#include "math.hpp"

namespace subbyte {
namespace {

inline F32x16 splat(float value) { return value - F32x16{}; }

inline F32x16 load(const float* p) {
  F32x16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// The first n < 16 values, zeros behind them.
inline F32x16 load_part(const float* p, size_t n) {
  F32x16 v = {};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
}

inline F32x16 load_upto(const float* p, size_t n) { return n >= kTile ? load(p) : load_part(p, n); }

// Stores the first n values; the usual whole vector is one instruction.
inline void store_upto(float* p, F32x16 v, size_t n) {
  if (n >= kTile) std::memcpy(p, &v, sizeof v);
  else std::memcpy(p, &v, n * sizeof(float));
}

inline F32x16 larger(F32x16 a, F32x16 b) { return a > b ? a : b; }

inline float fold(F32x16 v) {
  float lane[kTile];
  std::memcpy(lane, &v, sizeof lane);
  for (size_t w = kTile / 2; w > 0; w /= 2)
    for (size_t i = 0; i < w; ++i) lane[i] += lane[i + w];
  return lane[0];
}

inline float largest(F32x16 v) {
  float lane[kTile];
  std::memcpy(lane, &v, sizeof lane);
  for (size_t w = kTile / 2; w > 0; w /= 2)
    for (size_t i = 0; i < w; ++i) lane[i] = lane[i] > lane[i + w] ? lane[i] : lane[i + w];
  return lane[0];
}

inline F32x16 exp_of(F32x16 x) {
  using namespace constants;
  const auto inside = x > splat(kExpLow);
  x = x < splat(kExpHigh) ? x : splat(kExpHigh);
  x = inside ? x : splat(kExpLow);
  const F32x16 n = (x * kLog2E + kRound) - kRound;
  const F32x16 r = (x - n * kLn2High) - n * kLn2Low;
  F32x16 p = splat(kExp[0]);
  for (int i = 1; i < 6; ++i) p = p * r + kExp[i];
  p = p * (r * r) + r + 1.0f;
  const I32x16 bits = (__builtin_convertvector(n, I32x16) + 127) << 23;
  F32x16 power;
  std::memcpy(&power, &bits, sizeof power);
  return inside ? p * power : F32x16{};
}

// Products of `inputs` rows of x with 16 rows of weights given by `weight(row, step)`; out[input][row] is the folded sum
// over steps [begin, end).
template <size_t inputs, class Weight>
inline void dots(const float* x, size_t x_stride, size_t cols, size_t begin, size_t end, const Weight& weight,
                 float out[][kTile]) {
  F32x16 sums[inputs][kTile];
  for (size_t row = 0; row < kTile; row += kDenseRows) {
    F32x16 acc[inputs][kDenseRows] = {};
    for (size_t s = begin; s < end; ++s) {
      F32x16 w[kDenseRows];
      for (size_t r = 0; r < kDenseRows; ++r) w[r] = weight(row + r, s);
      for (size_t i = 0; i < inputs; ++i) {
        const F32x16 xs = load_upto(x + i * x_stride + s * kTile, cols - s * kTile);
        for (size_t r = 0; r < kDenseRows; ++r) acc[i][r] += xs * w[r];
      }
    }
    for (size_t i = 0; i < inputs; ++i)
      for (size_t r = 0; r < kDenseRows; ++r) sums[i][row + r] = acc[i][r];
  }
  for (size_t i = 0; i < inputs; ++i) fold16(sums[i], out[i]);
}

template <size_t inputs>
void dense_block(const LinearDense& a, size_t row, size_t first) {
  const size_t rows = a.rows - row < kTile ? a.rows - row : kTile, steps = (a.cols + kTile - 1) / kTile;
  const float* w = a.w + row * a.w_stride;
  float out[inputs][kTile];
  dots<inputs>(a.x + first * a.x_stride, a.x_stride, a.cols, 0, steps,
               [&](size_t r, size_t s) { return load(w + (r < rows ? r : 0) * a.w_stride + s * kTile); }, out);
  for (size_t i = 0; i < inputs; ++i) {
    F32x16 y = load(out[i]);
    if (a.bias) y = y + load_upto(a.bias + row, rows);
    store_upto(a.y + (first + i) * a.y_stride + row, y, rows);
  }
}

void linear_dense(const LinearDense& a) {
  for (size_t row = a.row_begin; row < a.row_end; row += kTile) {
    size_t i = 0;
    for (; i + kDenseInputs <= a.m; i += kDenseInputs) dense_block<kDenseInputs>(a, row, i);
    for (; i < a.m; ++i) dense_block<1>(a, row, i);
  }
}

// Bias and scatter of 16 results of one input; shared with the integer kernels.
inline void finish(float* y, F32x16 v, const float* bias, const uint32_t* outputs, size_t row, size_t rows) {
  const size_t n = rows - row < kTile ? rows - row : kTile;
  if (!outputs) {
    if (bias) v = v + load_upto(bias + row, n);
    store_upto(y + row, v, n);
    return;
  }
  float lane[kTile];
  std::memcpy(lane, &v, sizeof lane);
  for (size_t r = 0; r < n; ++r) {
    const size_t out = outputs[row + r];
    y[out] = bias ? lane[r] + bias[out] : lane[r];
  }
}

// Expands one block of codes into signed levels, [steps, quad, 64]; defined by the including file.
void expand_levels(const Packed& w, size_t block, uint8_t* out);

template <size_t inputs>
void float_block(const LinearFloat& a, size_t block, size_t first) {
  const Packed& w = a.w;
  const size_t padded = (w.rows + kTile - 1) / kTile * kTile, row = block * kTile, group_steps = w.steps / w.groups;
  const int8_t* levels = reinterpret_cast<const int8_t*>(a.scratch);
  F32x16 y[inputs] = {};
  for (size_t g = 0; g < w.groups; ++g) {
    float out[inputs][kTile];
    float zero[kTile] = {};
    if (w.zero)
      for (size_t r = 0; r < kTile; ++r) zero[r] = static_cast<float>(w.zero[g * padded + row + r]);
    dots<inputs>(a.x + first * a.x_stride, a.x_stride, a.cols, g * group_steps, (g + 1) * group_steps,
                 [&](size_t r, size_t s) { return widen(levels + s * 256 + 64 * (r % 4) + 16 * (r / 4)) - zero[r]; },
                 out);
    const F32x16 scale = load(w.scale + g * padded + row);
    for (size_t i = 0; i < inputs; ++i) y[i] = g == 0 ? load(out[i]) * scale : y[i] + load(out[i]) * scale;
  }
  for (size_t i = 0; i < inputs; ++i)
    finish(a.y + (first + i) * a.y_stride, y[i], a.bias, a.outputs, row, w.rows);
}

void linear_float(const LinearFloat& a) {
  for (size_t block = a.block_begin; block < a.block_end; ++block) {
    expand_levels(a.w, block, a.scratch);
    size_t i = 0;
    for (; i + kDenseInputs <= a.m; i += kDenseInputs) float_block<kDenseInputs>(a, block, i);
    for (; i < a.m; ++i) float_block<1>(a, block, i);
  }
}

void layer_norm(const LayerNorm& a) {
  const float n = static_cast<float>(a.n);
  for (size_t i = 0; i < a.m; ++i) {
    const float* x = a.x + i * a.n;
    const float* residual = a.residual ? a.residual + i * a.n : nullptr;
    float* y = a.y + i * a.n;
    F32x16 sum = {}, squares = {};
    for (size_t k = 0; k < a.n; k += kTile) {
      F32x16 v = load_upto(x + k, a.n - k);
      if (residual) v = v + load_upto(residual + k, a.n - k);
      sum += v;
      store_upto(y + k, v, a.n - k);
    }
    const float mean = fold(sum) / n;
    for (size_t k = 0; k < a.n; k += kTile) {
      F32x16 d = load_upto(y + k, a.n - k) - mean;
      d = d * d;
      if (a.n - k < kTile) d = load_part(reinterpret_cast<const float*>(&d), a.n - k);
      squares += d;
    }
    const float inverse = 1.0f / std::sqrt(fold(squares) / n + a.eps);
    for (size_t k = 0; k < a.n; k += kTile) {
      const size_t left = a.n - k;
      const F32x16 v = (load_upto(y + k, left) - mean) * inverse * load_upto(a.gamma + k, left);
      store_upto(y + k, v + load_upto(a.beta + k, left), left);
    }
  }
}

void attention(const Attention& a) {
  const size_t width = a.heads * a.head_dim;
  for (size_t h = 0; h < a.heads; ++h) {
    const size_t first = h * a.head_dim;
    for (size_t t = 0; t < a.length; t += kTile) {
      F32x16 sums[kTile] = {};
      const size_t keys = a.length - t < kTile ? a.length - t : kTile;
      for (size_t k = 0; k < a.head_dim; k += kTile) {
        const F32x16 q = load_upto(a.q + first + k, a.head_dim - k);
        for (size_t j = 0; j < keys; ++j)
          sums[j] += q * load_upto(a.rows[t + j] + a.offset + first + k, a.head_dim - k);
      }
      fold16(sums, a.scores + t);
    }
    F32x16 max = splat(-INFINITY);
    for (size_t t = 0; t < a.length; ++t) {
      a.scores[t] *= a.scale;
      if (t % kTile == kTile - 1) max = larger(max, load(a.scores + t + 1 - kTile));
    }
    float top = largest(max);
    for (size_t t = a.length / kTile * kTile; t < a.length; ++t) top = a.scores[t] > top ? a.scores[t] : top;
    F32x16 total = {};
    for (size_t t = 0; t < a.length; t += kTile) {
      F32x16 e = exp_of(load(a.scores + t) - top);
      if (a.length - t < kTile) e = load_part(reinterpret_cast<const float*>(&e), a.length - t);
      std::memcpy(a.scores + t, &e, sizeof e);
      total += e;
    }
    const float inverse = 1.0f / fold(total);
    for (size_t k = 0; k < a.head_dim; k += kTile) {
      F32x16 sum = {};
      for (size_t t = 0; t < a.length; ++t)
        sum += a.scores[t] * load_upto(a.rows[t] + a.offset + width + first + k, a.head_dim - k);
      store_upto(a.y + first + k, sum * inverse, a.head_dim - k);
    }
  }
}

inline F32x16 erf_of(F32x16 x) {
  using namespace constants;
  const F32x16 size = x < F32x16{} ? -x : x;
  const F32x16 t = 1.0f / (1.0f + kErfP * size);
  F32x16 p = splat(kErf[0]);
  for (int i = 1; i < 5; ++i) p = p * t + kErf[i];
  const F32x16 value = 1.0f - p * t * exp_of(-(size * size));
  return x < F32x16{} ? -value : value;
}

inline F32x16 activated(Activation kind, F32x16 x) {
  switch (kind) {
    case Activation::relu: return larger(x, F32x16{});
    case Activation::swish: return x * (1.0f / (1.0f + exp_of(-x)));
    default: return x * 0.5f * (1.0f + erf_of(x * constants::kSqrtHalf));
  }
}

void activate(Activation kind, float* x, size_t n) {
  for (size_t i = 0; i < n; i += kTile) store_upto(x + i, activated(kind, load_upto(x + i, n - i)), n - i);
}

void run_max(const float* x, size_t n, float* out) {
  for (size_t begin = 0; begin < n; begin += 128) {
    const size_t end = n - begin < 128 ? n : begin + 128;
    F32x16 max = splat(-INFINITY);
    size_t i = begin;
    for (; i + kTile <= end; i += kTile) max = larger(max, load(x + i));
    float top = largest(max);
    for (; i < end; ++i) top = x[i] > top ? x[i] : top;
    out[begin / 128] = top;
  }
}

float exp_sum(const float* x, size_t n, float max) {
  F32x16 sum = {};
  for (size_t i = 0; i < n; i += kTile) {
    F32x16 e = exp_of(load_upto(x + i, n - i) - max);
    if (n - i < kTile) e = load_part(reinterpret_cast<const float*>(&e), n - i);
    sum += e;
  }
  return fold(sum);
}

void quantize_rows(const QuantizeRows& a) {
  using constants::kRound;
  for (size_t i = 0; i < a.m; ++i) {
    const float* x = a.x + i * a.x_stride;
    int8_t* q = a.q + i * a.steps * kTile;
    F32x16 size = {};
    for (size_t k = 0; k < a.cols; k += kTile) {
      const F32x16 v = load_upto(x + k, a.cols - k);
      size = larger(v < F32x16{} ? -v : v, size);
    }
    const float amax = largest(size);
    a.scale[i] = amax / 127.0f;
    const float inverse = amax > 0.0f ? 127.0f / amax : 0.0f;
    const size_t group_steps = a.steps / a.groups;
    for (size_t g = 0; g < a.groups; ++g) {
      I32x16 sum = {};
      for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
        const size_t k = s * kTile;
        const F32x16 v = (load_upto(x + k, a.cols - k) * inverse + kRound) - kRound;
        const I32x16 level = __builtin_convertvector(v, I32x16);
        sum += level;
        const I8x16 bytes = __builtin_convertvector(level, I8x16);
        std::memcpy(q + k, &bytes, sizeof bytes);
      }
      int32_t total = 0;
      for (size_t lane = 0; lane < kTile; ++lane) total += sum[lane];
      a.sum[i * a.groups + g] = total;
    }
  }
}

}  // namespace
}  // namespace subbyte
