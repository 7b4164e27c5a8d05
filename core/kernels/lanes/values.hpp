// Value by value: activations, the SSRU, and what a softmax over a vocabulary needs.
#pragma once
#include "kernels/lanes/vectors.hpp"

namespace subbyte {
namespace {

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
