#include "models/encoder_layer.hpp"

#include <algorithm>
#include <cmath>

namespace subbyte {
namespace {

// Rows that go from attention to the end of a layer together: what is between its matrices stays in the second cache.
constexpr size_t kRowsAtOnce = 128;

// Of every token over its own text; keys and values are [tokens, width] each, the values behind the keys.
void attend_by_query(Arena& arena, const Spans& texts, size_t width, size_t heads) {
  const size_t tokens = texts.tokens();
  const float* key = arena.key_value.data();
  std::vector<const float*> rows(tokens);
  std::vector<Sight> sights(tokens);
  for (size_t token = 0; token < tokens; ++token) rows[token] = key + token * width;
  for (size_t text = 0; text < texts.count(); ++text)
    std::fill_n(sights.begin() + static_cast<ptrdiff_t>(texts.first[text]), texts.length(text),
                Sight{rows.data() + texts.first[text], texts.length(text)});
  attend(arena, arena.query.data(), sights, width, heads, 0, tokens * width, arena.context.data());
}

void attend_by_text(Arena& arena, const Spans& texts, size_t width, size_t heads, const GridGroup* scores,
                    const GridGroup* probabilities) {
  const size_t tokens = texts.tokens(), size = width / heads, count = texts.count();
  const float* query = arena.query.data();
  const float* key = arena.key_value.data();
  const float* value = key + tokens * width;
  float* context = arena.context.data();
  for (Buffer<float>& scratch : arena.scratch) scratch.grow(self_attention_scratch(texts.longest, size));
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  arena.ops.for_rows(count * heads, 2 * tokens / count * texts.longest * size, [&](size_t i, size_t worker) {
    const size_t text = i / heads, at = texts.first[text] * width + i % heads * size;
    arena.ops.kernels().self_attention({query + at, key + at, value + at, context + at, arena.scratch[worker].data(),
                                        texts.length(text), size, width, scale, scores, probabilities});
  });
}

}  // namespace

void EncoderLayer::run(Arena& arena, const Spans& texts, const Point& input, float* x) {
  Ops& ops = arena.ops;
  const size_t d = out.rows(), tokens = texts.tokens();
  float* queries = arena.query.grow(tokens * d);
  float* keys = arena.key_value.grow(2 * tokens * d);
  float* values = keys + tokens * d;
  float* contexts = arena.context.grow(tokens * d);
  Inputs inputs = input.operand(x, tokens, d);
  query.run(arena, inputs, queries);
  key.run(arena, inputs, keys);
  value.run(arena, inputs, values);
  at_query.pass(ops, tokens, d, queries);
  at_key.pass(ops, tokens, d, keys);
  at_value.pass(ops, tokens, d, values);
  if (attending == Attending::by_query)
    attend_by_query(arena, texts, d, heads);
  else
    attend_by_text(arena, texts, d, heads, at_scores.group(), at_probabilities.group());
  at_context.pass(ops, tokens, d, contexts);
  for (size_t first = 0; first < tokens; first += kRowsAtOnce) {
    const size_t rows = std::min(kRowsAtOnce, tokens - first);
    float* added = arena.added.grow(rows * d);
    Inputs context = at_context.operand(contexts + first * d, rows, d);
    out.run(arena, context, added);
    attended.run(ops, rows, added, x + first * d);
    feed_forward.run(arena, attended.output, rows, x + first * d);
  }
}

std::vector<EncoderLayer::Place> EncoderLayer::places() {
  const size_t d = attended.norm.gamma.size();
  return {{"query", d, &at_query},
          {"key", d, &at_key},
          {"value", d, &at_value},
          {"scores", 1, &at_scores},
          {"probabilities", 1, &at_probabilities},
          {"context", d, &at_context},
          {"attention_output", d, &attended.added},
          {"attention_sum", d, &attended.sum},
          {"ffn_input", d, &attended.output},
          {"hidden", feed_forward.in.rows(), &feed_forward.hidden},
          {"ffn_output", d, &feed_forward.residual.added},
          {"ffn_sum", d, &feed_forward.residual.sum},
          {"output", d, &feed_forward.residual.output}};
}

Fault EncoderLayer::fit(const Point& input, Rounding rounding) {
  for (Product* product : {&query, &key, &value})
    if (Fault fault = product->fit(input, rounding)) return fault;
  if (Fault fault = out.fit(at_context, rounding)) return fault;
  if (Fault fault = feed_forward.in.fit(attended.output, rounding)) return fault;
  if (Fault fault = feed_forward.down.fit(feed_forward.hidden, rounding)) return fault;
  at_context.as_codes |= out.fixed != nullptr;  // nothing else reads these two
  feed_forward.hidden.as_codes |= feed_forward.down.fixed != nullptr;
  return {};
}

size_t EncoderLayer::folded_bytes() const {
  size_t total = 0;
  for (const Product* product : {&query, &key, &value, &out, &feed_forward.in, &feed_forward.down})
    total += product->folded_bytes();
  return total;
}

}  // namespace subbyte
