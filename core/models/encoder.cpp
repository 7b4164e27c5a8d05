#include "models/encoder.hpp"

#include <algorithm>

namespace subbyte {
namespace {

// What files call the parts, by role: the names of transformers' BERT.
constexpr AttentionNames kAttention = {"attention.self.query", "attention.self.key", "attention.self.value",
                                       "attention.output.dense", "attention.output.LayerNorm"};
constexpr FeedForwardNames kFeedForward = {"intermediate.dense", "output.dense", "output.LayerNorm"};

}  // namespace

Result<std::unique_ptr<Encoder>> Encoder::of(const EncoderConfig& config, const Tensors& tensors,
                                             const std::map<std::string, Grid>& grids,
                                             const std::map<std::string, size_t>& rotations, const Runtime& runtime) {
  std::vector<std::string> faults;
  const TensorReader reader(tensors, faults);
  std::unique_ptr<Encoder> made(new Encoder(config, reader, runtime));
  made->read_points(reader, grids, rotations);
  if (!faults.empty()) return fault_of(faults);
  if (Fault fault = made->fit(runtime.rounding)) return fault;
  return made;
}

Encoder::Encoder(const EncoderConfig& config, const TensorReader& tensors, const Runtime& runtime)
    : config_(config), arena_(runtime) {
  const size_t d = config_.hidden;
  words_ = tensors.matrix("embeddings.word_embeddings.weight", config_.vocabulary, d);
  positions_ = tensors.matrix("embeddings.position_embeddings.weight", config_.positions, d);
  if (config_.types) types_ = tensors.matrix("embeddings.token_type_embeddings.weight", config_.types, d);
  embedding_norm_ = tensors.norm("embeddings.LayerNorm", d, config_.norm_epsilon);
  for (size_t i = 0; i < config_.layers; ++i)
    layers_.emplace_back(tensors.within("encoder.layer." + std::to_string(i) + "."), kAttention, kFeedForward, d,
                         config_.heads, config_.activation, config_.norm_epsilon, Attending::by_text);
  if (!config_.labels) return;
  pooler_.linear = tensors.linear("pooler.dense", d, d);
  classifier_.linear = tensors.linear("classifier", d, config_.labels);
}

void Encoder::read_points(const TensorReader& tensors, const std::map<std::string, Grid>& grids,
                          const std::map<std::string, size_t>& rotations) {
  const auto add = [&](const std::string& name, size_t width, Point& point) {
    points_[name] = &point;
    const std::string equalizer = name + ".equalizer";
    if (tensors.has_vector(equalizer)) point.equalizer = tensors.vector(equalizer, width);
    if (const auto turned = rotations.find(name); turned != rotations.end()) {
      point.rotation = turned->second;
      if (!is_rotation(point.rotation) || width % point.rotation)
        return tensors.note(name, "its rotation should be 1, 16, 32, 64, 128 or 256, and divide its width");
    }
    const auto found = grids.find(name);
    if (found == grids.end()) return;
    const Grid& grid = found->second;
    if (!grid.operand && (!point.equalizer.empty() || point.rotation > 1))
      return tensors.note(name, "is equalized or rotated, so its grid should be that of an operand");
    if (grid.groups.empty() || width % grid.groups.size())
      return tensors.note(name, "the groups of its grid do not divide its width");
    point.grid = grid;
    point.as_codes = grid.operand;
    if (grid.groups.size() > 1) point.grid->spread(width);
  };
  const size_t d = config_.hidden;
  add("embeddings.words", d, embedded_words_);
  add("embeddings.sum", d, embedded_sum_);
  add("embeddings.output", d, embedded_);
  for (size_t i = 0; i < layers_.size(); ++i)
    for (const EncoderLayer::Place& place : layers_[i].places())
      add("layers." + std::to_string(i) + "." + place.name, place.width, *place.point);
  if (config_.labels) {
    add("pooler", d, pooled_);
    add("classifier", config_.labels, logits_);
  }
  for (const auto& [name, grid] : grids)
    if (!points_.count(name)) tensors.note(name, "there is no such point");
}

Fault Encoder::fit(Rounding rounding) {
  const Point* inputs = &embedded_;
  for (EncoderLayer& layer : layers_) {
    if (Fault fault = layer.fit(*inputs, rounding)) return fault;
    inputs = &layer.output();
  }
  if (!config_.labels) return {};
  if (Fault fault = pooler_.fit(*inputs, rounding)) return fault;
  return classifier_.fit(pooled_, rounding);
}

size_t Encoder::folded_bytes() const {
  size_t total = pooler_.folded_bytes() + classifier_.folded_bytes();
  for (const EncoderLayer& layer : layers_) total += layer.folded_bytes();
  return total;
}

Point* Encoder::point(const std::string& name) {
  const auto found = points_.find(name);
  return found == points_.end() ? nullptr : found->second;
}

void Encoder::embed(const std::vector<Text>& texts, const Spans& spans) {
  const size_t d = config_.hidden, tokens = spans.tokens();
  std::vector<float> table(std::max<size_t>(1, config_.types) * d);  // of the token types
  for (size_t type = 0; type < config_.types; ++type) types_->row(type, table.data() + type * d);
  float* x = x_.grow(tokens * d);
  float* row = x;
  for (const Text& text : texts) {
    for (size_t i = 0; i < text.tokens.size(); ++i, row += d) {
      words_->row(text.tokens[i], row);
      const float* type = table.data() + (text.types.empty() ? 0 : text.types[i]) * d;
      for (size_t k = 0; k < d; ++k) row[k] += type[k];
    }
  }
  embedded_words_.pass(arena_.ops, tokens, d, x);
  std::vector<float> position(d);
  add_positions(spans, d, x, [&](size_t place) {
    positions_->row(config_.first_position + place, position.data());
    return position.data();
  });
  embedded_sum_.pass(arena_.ops, tokens, d, x);
  embedding_norm_.run(arena_.ops, tokens, nullptr, x);
  embedded_.pass(arena_.ops, tokens, d, x);
}

const float* Encoder::encode(const std::vector<Text>& texts) {
  if (texts.empty()) return x_.data();
  Spans spans;
  for (const Text& text : texts) spans.add(text.tokens.size());
  embed(texts, spans);
  const Point* inputs = &embedded_;
  for (EncoderLayer& layer : layers_) {
    layer.run(arena_, spans, *inputs, x_.data());
    inputs = &layer.output();
  }
  return x_.data();
}

void Encoder::pool(const std::vector<Text>& texts, Pooling pooling, float* out) const {
  const size_t d = config_.hidden;
  const float* x = x_.data();
  for (const Text& text : texts) {
    const size_t length = text.tokens.size();
    std::copy_n(x, d, out);
    for (size_t i = 1; i < (pooling == Pooling::cls ? 1 : length); ++i) {
      const float* row = x + i * d;
      if (pooling == Pooling::mean)
        for (size_t k = 0; k < d; ++k) out[k] += row[k];
      else
        for (size_t k = 0; k < d; ++k) out[k] = row[k] > out[k] ? row[k] : out[k];
    }
    if (pooling == Pooling::mean)
      for (size_t k = 0; k < d; ++k) out[k] /= static_cast<float>(length);
    x += length * d;
    out += d;
  }
}

void Encoder::classify(const std::vector<Text>& texts, float* out) {
  const size_t d = config_.hidden, m = texts.size();
  float* first = arena_.query.grow(m * d);
  float* pooled = arena_.added.grow(m * d);
  pool(texts, Pooling::cls, first);
  Inputs inputs = output().operand(first, m, d);
  pooler_.run(arena_, inputs, pooled);
  arena_.ops.activate(config_.pooler_activation, pooled, m * d);
  pooled_.pass(arena_.ops, m, d, pooled);
  Inputs pooleds = pooled_.operand(pooled, m, d);
  classifier_.run(arena_, pooleds, out);
  logits_.pass(arena_.ops, m, config_.labels, out);
}

}  // namespace subbyte
