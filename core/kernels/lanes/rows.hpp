// Rows of activations between products: rounded, turned, normalized; activations, the SSRU, and what a softmax over a
// vocabulary needs.
#pragma once
#include "kernels/lanes/vectors.hpp"

namespace subbyte {
namespace {

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

}  // namespace
}  // namespace subbyte
