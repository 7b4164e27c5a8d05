// Attention of queries that each see rows of their own, as a decoder's do.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/layout.hpp"
#include "models/arena.hpp"
#include "models/tensors.hpp"

namespace subbyte {

// The rows that a query sees.
struct Sight {
  const float* const* rows;
  size_t length;
};

// contexts[i] = attention of queries[i] over sights[i], [queries, width]; key and value: where they stand in a row.
inline void attend(Arena& arena, const float* queries, const std::vector<Sight>& sights, size_t width, size_t heads,
                   size_t key, size_t value, float* contexts) {
  size_t longest = 0;
  for (const Sight& sight : sights) longest = std::max(longest, sight.length);
  for (Buffer<float>& scores : arena.scratch) scores.grow(steps_of(longest) * kTile);
  const size_t size = width / heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  arena.ops.for_rows(sights.size(), 2 * width * longest, [&](size_t i, size_t worker) {
    arena.ops.kernels().attention({queries + i * width, sights[i].rows, key, value, contexts + i * width,
                                   arena.scratch[worker].data(), sights[i].length, heads, size, scale});
  });
}

// What a file calls the parts of a block of attention, by role.
struct AttentionNames {
  const char *query, *key, *value, *out, *norm;
};

// The projections of a decoder's attention. A row of what it remembers is a key and a value, [2 * width].
struct DecoderAttention {
  Linear query, key, value, out;
  size_t heads;

  DecoderAttention(const TensorReader& layer, const AttentionNames& names, size_t width, size_t heads)
      : query(layer.linear(names.query, width, width)),
        key(layer.linear(names.key, width, width)),
        value(layer.linear(names.value, width, width)),
        out(layer.linear(names.out, width, width)),
        heads(heads) {}

  // Row i of what is remembered of x goes to rows + i * stride.
  void remember(Ops& ops, Inputs& x, float* rows, size_t stride) const {
    key.run(ops, x, rows, stride);
    value.run(ops, x, rows + key.weight->rows(), stride);
  }

  // y = out(attention(query(x), what is at `offset` of rows)); y may be in the arena's `added`.
  void read(Arena& arena, Inputs& x, const std::vector<Sight>& sights, size_t offset, float* y) const {
    const size_t width = query.weight->rows();
    float* queries = arena.query.grow(x.m * width);
    float* contexts = arena.context.grow(x.m * width);
    query.run(arena.ops, x, queries, width);
    attend(arena, queries, sights, width, heads, offset, offset + width, contexts);
    Inputs attended = {contexts, x.m, width};
    out.run(arena.ops, attended, y, width);
  }
};

}  // namespace subbyte
