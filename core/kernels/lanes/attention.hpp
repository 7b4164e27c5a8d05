// Attention: one query over rows anywhere, and all positions of a text over each other.
#pragma once
#include "kernels/lanes/rows.hpp"

namespace subbyte {
namespace {

// The first n values, and the first one behind them, which cannot change a maximum.
inline F32x16 load_repeated(const float* p, size_t n) {
  if (n >= kTile) return load(p);
  float part[kTile];
  for (size_t j = 0; j < kTile; ++j) part[j] = p[j < n ? j : 0];
  return load(part);
}

// scores[t] becomes exp(scores[t] - the largest lane of max). Returns 1 / their sum in all lanes.
inline F32x16 exponentials(float* scores, size_t length, F32x16 max) {
  const F32x16 top = splat(largest(max));
  F32x16 total = splat(0.0f);
  for (size_t t = 0; t < length; t += kTile) {
    const F32x16 e = first_lanes(exp_of(load(scores + t) - top), length - t);
    store(scores + t, e);
    total = total + e;
  }
  return splat(1.0f / fold(total));
}

void attention(const Attention& a) {
  for (size_t h = 0; h < a.heads; ++h) {
    const size_t first = h * a.head_dim;
    F32x16 max = splat(-INFINITY);
    for (size_t t = 0; t < a.length; t += kTile) {
      F32x16 sums[kTile];
      const size_t keys = a.length - t < kTile ? a.length - t : kTile;
      for (size_t j = 0; j < kTile; ++j) {
        sums[j] = splat(0.0f);
        if (j >= keys) continue;
        const float* key = a.rows[t + j] + a.key + first;
        for (size_t k = 0; k < a.head_dim; k += kTile)
          sums[j] =
              multiply_add(load_upto(a.q + first + k, a.head_dim - k), load_upto(key + k, a.head_dim - k), sums[j]);
      }
      fold16(sums, a.scores + t);
      store(a.scores + t, load(a.scores + t) * splat(a.scale));
      max = larger(max, load_repeated(a.scores + t, keys));
    }
    const F32x16 inverse = exponentials(a.scores, a.length, max);
    for (size_t k = 0; k < a.head_dim; k += kTile) {
      F32x16 sum = splat(0.0f);
      for (size_t t = 0; t < a.length; ++t)
        sum = multiply_add(splat(a.scores[t]), load_upto(a.rows[t] + a.value + first + k, a.head_dim - k), sum);
      store_upto(a.y + first + k, sum * inverse, a.head_dim - k);
    }
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
    store(scores + t, v * splat(a.scale));
    max = larger(max, load_repeated(scores + t, a.length - t));
  }
  const F32x16 inverse = exponentials(scores, a.length, max);
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

}  // namespace
}  // namespace subbyte
