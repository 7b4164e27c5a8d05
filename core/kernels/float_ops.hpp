// The float kernels in vectors of 16 lanes, compiled once for each instruction set. Everything has internal linkage, so
// no flag leaks from one instruction set into another.
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
  const size_t rows = a.rows - row < kTile ? a.rows - row : kTile, steps = (a.cols + kTile - 1) / kTile;
  const float* w = a.w + row * a.w_stride;
  float out[inputs][kTile];
  dots<inputs, rows_for(inputs)>(
      a.x + first * a.x_stride, a.x_stride, a.cols, 0, steps,
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
  store(lane, v);
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
    F32x16 sum = splat(0.0f), squares = splat(0.0f);
    for (size_t k = 0; k < a.n; k += kTile) {
      F32x16 v = load_upto(x + k, a.n - k);
      if (residual) v = v + load_upto(residual + k, a.n - k);
      sum = sum + v;
      store_upto(y + k, v, a.n - k);
    }
    const float mean = fold(sum) / n;
    for (size_t k = 0; k < a.n; k += kTile) {
      const F32x16 d = first_lanes(load_upto(y + k, a.n - k) - splat(mean), a.n - k);
      squares = squares + d * d;
    }
    const float inverse = 1.0f / std::sqrt(fold(squares) / n + a.eps);
    for (size_t k = 0; k < a.n; k += kTile) {
      const size_t left = a.n - k;
      const F32x16 v = (load_upto(y + k, left) - splat(mean)) * splat(inverse) * load_upto(a.gamma + k, left);
      store_upto(y + k, v + load_upto(a.beta + k, left), left);
    }
  }
}

void attention(const Attention& a) {
  const size_t width = a.heads * a.head_dim;
  for (size_t h = 0; h < a.heads; ++h) {
    const size_t first = h * a.head_dim;
    F32x16 max = splat(-INFINITY);
    for (size_t t = 0; t < a.length; t += kTile) {
      F32x16 sums[kTile];
      const size_t keys = a.length - t < kTile ? a.length - t : kTile;
      for (size_t j = 0; j < kTile; ++j) {
        sums[j] = splat(0.0f);
        if (j >= keys) continue;
        const float* key = a.rows[t + j] + a.offset + first;
        for (size_t k = 0; k < a.head_dim; k += kTile)
          sums[j] =
              multiply_add(load_upto(a.q + first + k, a.head_dim - k), load_upto(key + k, a.head_dim - k), sums[j]);
      }
      fold16(sums, a.scores + t);
      F32x16 scores = load(a.scores + t) * splat(a.scale);
      store(a.scores + t, scores);
      if (keys < kTile) {  // a copy of the first score cannot change the maximum
        float part[kTile];
        for (size_t j = 0; j < kTile; ++j) part[j] = a.scores[t + (j < keys ? j : 0)];
        scores = load(part);
      }
      max = larger(max, scores);
    }
    const F32x16 top = splat(largest(max));
    F32x16 total = splat(0.0f);
    for (size_t t = 0; t < a.length; t += kTile) {
      const F32x16 e = first_lanes(exp_of(load(a.scores + t) - top), a.length - t);
      store(a.scores + t, e);
      total = total + e;
    }
    const F32x16 inverse = splat(1.0f / fold(total));
    for (size_t k = 0; k < a.head_dim; k += kTile) {
      F32x16 sum = splat(0.0f);
      for (size_t t = 0; t < a.length; ++t)
        sum =
            multiply_add(splat(a.scores[t]), load_upto(a.rows[t] + a.offset + width + first + k, a.head_dim - k), sum);
      store_upto(a.y + first + k, sum * inverse, a.head_dim - k);
    }
  }
}

inline F32x16 grid_code(F32x16 x, F32x16 inverse, F32x16 zero, F32x16 limit) {
  const F32x16 round = splat(constants::kRound);
  return smaller(larger((x * inverse + round) - round + zero, splat(0.0f) - limit), limit);
}

inline F32x16 grid_code(F32x16 x, const GridGroup& g) {
  return grid_code(x, splat(g.inverse), splat(g.zero), splat(g.limit));
}

inline F32x16 on_grid(F32x16 x, const GridGroup& g) { return splat(g.scale) * (grid_code(x, g) - splat(g.zero)); }

void round_to_grid(float* x, size_t n, const GridGroup& grid) {
  for (size_t i = 0; i < n; i += kTile) store_upto(x + i, on_grid(load_upto(x + i, n - i), grid), n - i);
}

void round_columns(float* x, size_t n, const GridColumns& g) {
  for (size_t i = 0; i < n; i += kTile) {
    const size_t left = n - i;
    const F32x16 zero = load_upto(g.zero + i, left);
    const F32x16 code = grid_code(load_upto(x + i, left), load_upto(g.inverse + i, left), zero, splat(g.limit));
    store_upto(x + i, load_upto(g.scale + i, left) * (code - zero), left);
  }
}

void grid_codes(const GridCodes& a) {
  const F32x16 round = splat(constants::kRound);
  F32x16 high_sum = splat(0.0f), low_sum = splat(0.0f);  // of whole numbers below 2^24: exact
  for (size_t i = 0; i < a.n; i += kTile) {
    const F32x16 code = first_lanes(grid_code(load_upto(a.x + i, a.n - i), a.grid), a.n - i);
    const F32x16 high = a.low ? (code * splat(constants::kHigh) + round) - round : code;
    store_levels(a.high + i, high);
    high_sum = high_sum + high;
    if (!a.low) continue;
    const F32x16 low = code - splat(255.0f) * high;
    store_levels(a.low + i, low);
    low_sum = low_sum + low;
  }
  *a.high_sum = static_cast<int32_t>(fold(high_sum));
  if (a.low) *a.low_sum = static_cast<int32_t>(fold(low_sum));
}

// A block of 16 * count columns.
template <size_t count>
inline void operand_block(const float* x, const float* factors, float* y) {
  const F32x16 length = splat(1.0f / std::sqrt(static_cast<float>(count * kTile)));
  F32x16 v[count];
  for (size_t i = 0; i < count; ++i) {
    v[i] = load(x + i * kTile);
    if (factors) v[i] = v[i] * load(factors + i * kTile);
    v[i] = hadamard16(v[i]);
  }
  for (size_t stride = 1; stride < count; stride *= 2) {
    for (size_t i = 0; i < count; ++i) {
      if (i & stride) continue;
      const F32x16 low = v[i], high = v[i + stride];
      v[i] = low + high;
      v[i + stride] = low - high;
    }
  }
  for (size_t i = 0; i < count; ++i) store(y + i * kTile, v[i] * length);
}

template <size_t count>
inline void operand_blocks(const Operand& a) {
  for (size_t k = 0; k < a.n; k += count * kTile)
    operand_block<count>(a.x + k, a.factors ? a.factors + k : nullptr, a.y + k);
}

void operand(const Operand& a) {
  switch (a.rotation) {
    case 16: return operand_blocks<1>(a);
    case 32: return operand_blocks<2>(a);
    case 64: return operand_blocks<4>(a);
    case 128: return operand_blocks<8>(a);
    case 256: return operand_blocks<16>(a);
    default: break;
  }
  for (size_t k = 0; k < a.n; k += kTile) {
    const size_t left = a.n - k;
    const F32x16 v = load_upto(a.x + k, left);
    store_upto(a.y + k, a.factors ? v * load_upto(a.factors + k, left) : v, left);
  }
}

// Scores of up to kQueries positions, 16 * kAttendKeys keys at a time; keys stand transposed, [head_dim, padded].
template <size_t queries>
inline void attend_scores(const SelfAttention& a, size_t first, const float* keys, size_t padded, float* scores) {
  for (size_t t = 0; t < padded; t += kTile * kAttendKeys) {
    F32x16 acc[queries][kAttendKeys];
    for (size_t i = 0; i < queries; ++i)
      for (size_t j = 0; j < kAttendKeys; ++j) acc[i][j] = splat(0.0f);
    for (size_t k = 0; k < a.head_dim; ++k) {
      F32x16 key[kAttendKeys];
      for (size_t j = 0; j < kAttendKeys; ++j) key[j] = load(keys + k * padded + t + j * kTile);
      for (size_t i = 0; i < queries; ++i) {
        const F32x16 q = splat(a.q[(first + i) * a.stride + k]);
        for (size_t j = 0; j < kAttendKeys; ++j) acc[i][j] = multiply_add(q, key[j], acc[i][j]);
      }
    }
    for (size_t i = 0; i < queries; ++i)
      for (size_t j = 0; j < kAttendKeys; ++j) store(scores + i * padded + t + j * kTile, acc[i][j]);
  }
}

// Scores of one position to probabilities, in place.
inline void attend_softmax(const SelfAttention& a, float* scores) {
  F32x16 max = splat(-INFINITY);
  for (size_t t = 0; t < a.length; t += kTile) {
    F32x16 v = load(scores + t);
    if (a.scores) v = on_grid(v, *a.scores);
    v = v * splat(a.scale);
    store(scores + t, v);
    if (a.length - t < kTile) {  // a copy of the first score cannot change the maximum
      float part[kTile];
      for (size_t j = 0; j < kTile; ++j) part[j] = scores[t + (t + j < a.length ? j : 0)];
      v = load(part);
    }
    max = larger(max, v);
  }
  const F32x16 top = splat(largest(max));
  F32x16 total = splat(0.0f);
  for (size_t t = 0; t < a.length; t += kTile) {
    const F32x16 e = first_lanes(exp_of(load(scores + t) - top), a.length - t);
    store(scores + t, e);
    total = total + e;
  }
  const F32x16 inverse = splat(1.0f / fold(total));
  for (size_t t = 0; t < a.length; t += kTile) {
    F32x16 p = load(scores + t) * inverse;
    if (a.probabilities) p = on_grid(p, *a.probabilities);
    store(scores + t, p);
  }
}

// Values of `vectors` times 16 columns from column k on; of the last vector, the first n.
template <size_t queries, size_t vectors>
inline void attend_columns(const SelfAttention& a, size_t first, size_t padded, const float* probabilities, size_t k,
                           size_t n = kTile) {
  F32x16 acc[queries][vectors];
  for (size_t i = 0; i < queries; ++i)
    for (size_t j = 0; j < vectors; ++j) acc[i][j] = splat(0.0f);
  for (size_t t = 0; t < a.length; ++t) {
    const float* row = a.value + t * a.stride + k;
    F32x16 value[vectors];
    for (size_t j = 0; j < vectors; ++j) value[j] = vectors > 1 ? load(row + j * kTile) : load_upto(row, n);
    for (size_t i = 0; i < queries; ++i) {
      const F32x16 p = splat(probabilities[i * padded + t]);
      for (size_t j = 0; j < vectors; ++j) acc[i][j] = multiply_add(p, value[j], acc[i][j]);
    }
  }
  for (size_t i = 0; i < queries; ++i)
    for (size_t j = 0; j < vectors; ++j)
      store_upto(a.y + (first + i) * a.stride + k + j * kTile, acc[i][j], vectors > 1 ? kTile : n);
}

template <size_t queries>
inline void attend_values(const SelfAttention& a, size_t first, size_t padded, const float* probabilities) {
  size_t k = 0;
  for (; k + kAttendValues * kTile <= a.head_dim; k += kAttendValues * kTile)
    attend_columns<queries, kAttendValues>(a, first, padded, probabilities, k);
  if constexpr (kAttendValues > 2) {
    for (; k + 2 * kTile <= a.head_dim; k += 2 * kTile) attend_columns<queries, 2>(a, first, padded, probabilities, k);
  }
  for (; k < a.head_dim; k += kTile)
    attend_columns<queries, 1>(a, first, padded, probabilities, k, a.head_dim - k < kTile ? a.head_dim - k : kTile);
}

template <size_t queries>
inline void attend_queries(const SelfAttention& a, size_t first, const float* keys, size_t padded, float* scores) {
  if constexpr (queries > 1) {
    if (a.length - first < queries) return attend_queries<queries - 1>(a, first, keys, padded, scores);
  }
  attend_scores<queries>(a, first, keys, padded, scores);
  for (size_t i = 0; i < queries; ++i) attend_softmax(a, scores + i * padded);
  attend_values<queries>(a, first, padded, scores);
}

void self_attention(const SelfAttention& a) {
  const size_t padded = self_attention_scratch(a.length, 1) / (1 + kQueries);
  float* keys = a.scratch;
  for (size_t t = 0; t < padded; ++t)
    for (size_t k = 0; k < a.head_dim; ++k) keys[k * padded + t] = t < a.length ? a.key[t * a.stride + k] : 0.0f;
  for (size_t i = 0; i < a.length; i += kQueries)
    attend_queries<kQueries>(a, i, keys, padded, keys + a.head_dim * padded);
}

void ssru(const Ssru& a) {
  const F32x16 one = splat(1.0f), zero = splat(0.0f);
  for (size_t i = 0; i < a.n; i += kTile) {
    const size_t left = a.n - i;
    const F32x16 f = one / (one + exp_of(zero - load_upto(a.forget + i, left)));
    const F32x16 previous = a.previous ? load_upto(a.previous + i, left) : zero;
    const F32x16 state = f * previous + (one - f) * load_upto(a.input + i, left);
    store_upto(a.state + i, state, left);
    store_upto(a.y + i, larger(state, zero), left);
  }
}

inline F32x16 erf_of(F32x16 x) {
  using namespace constants;
  const F32x16 size = absolute(x), one = splat(1.0f), zero = splat(0.0f);
  const F32x16 t = one / multiply_add(splat(kErfP), size, one);
  F32x16 p = splat(kErf[0]);
  for (int i = 1; i < 5; ++i) p = multiply_add(p, t, splat(kErf[i]));
  return negated_where_negative(x, one - p * t * exp_of(zero - size * size));
}

inline F32x16 activated(Activation kind, F32x16 x) {
  const F32x16 one = splat(1.0f), zero = splat(0.0f);
  switch (kind) {
    case Activation::relu: return larger(x, zero);
    case Activation::tanh: return one - splat(2.0f) / (exp_of(x + x) + one);
    case Activation::swish: return x * (one / (one + exp_of(zero - x)));
    default: return x * splat(0.5f) * (one + erf_of(x * splat(constants::kSqrtHalf)));
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
  F32x16 sum = splat(0.0f);
  for (size_t i = 0; i < n; i += kTile) sum = sum + first_lanes(exp_of(load_upto(x + i, n - i) - splat(max)), n - i);
  return fold(sum);
}

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
inline bool to_levels(const Compensate& a, size_t j, F32x16 value, float* level) {
  const float* borders = a.borders + a.group[j] * (a.levels - 1) * kTile;
  const float* values = a.values + a.group[j] * a.levels * kTile;
  const F32x16 one = splat(1.0f);
  F32x16 above[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};  // sums of ones: exact
  for (size_t k = 0; k + 1 < a.levels; ++k)
    above[k % 4] = above[k % 4] + where_greater(load(borders + k * kTile), value, one);
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
      to_levels(a, j, value, levels + j * kTile);
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
        if (!to_levels(a, j, before + load(slope + j * kTile) / splat(a.gram[j * n + j]), level)) continue;
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

void quantize_rows(const QuantizeRows& a) {
  const F32x16 round = splat(constants::kRound);
  for (size_t i = 0; i < a.m; ++i) {
    const float* x = a.x + i * a.x_stride;
    F32x16 size = splat(0.0f);
    for (size_t k = 0; k < a.cols; k += kTile) size = larger(absolute(load_upto(x + k, a.cols - k)), size);
    const float amax = largest(size);
    a.scale[i] = amax / 127.0f;
    const F32x16 inverse = splat(amax > 0.0f ? 127.0f / amax : 0.0f);
    const size_t group_steps = a.steps / a.groups;
    for (size_t g = 0; g < a.groups; ++g) {
      F32x16 sum = splat(0.0f);  // of whole numbers below 2^24: exact
      for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
        const F32x16 levels = (load_upto(x + s * kTile, a.cols - s * kTile) * inverse + round) - round;
        store_levels(a.q + (i * a.steps + s) * kTile, levels);
        sum = sum + levels;
      }
      a.sum[i * a.groups + g] = static_cast<int32_t>(fold(sum));
    }
  }
}

}  // namespace
}  // namespace subbyte
