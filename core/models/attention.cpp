#include "models/attention.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/layout.hpp"

namespace subbyte {

void attend(Arena& arena, const float* queries, const std::vector<Sight>& sights, size_t width, size_t heads,
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

void DecoderAttention::remember(Ops& ops, Inputs& x, float* rows, size_t stride) const {
  key.run(ops, x, rows, stride);
  value.run(ops, x, rows + key.weight->rows(), stride);
}

void DecoderAttention::read(Arena& arena, Inputs& x, const std::vector<Sight>& sights, size_t offset, float* y) const {
  const size_t width = query.weight->rows();
  float* queries = arena.query.grow(x.m * width);
  float* contexts = arena.context.grow(x.m * width);
  query.run(arena.ops, x, queries, width);
  attend(arena, queries, sights, width, heads, offset, offset + width, contexts);
  Inputs attended = {contexts, x.m, width};
  out.run(arena.ops, attended, y, width);
}

}  // namespace subbyte
