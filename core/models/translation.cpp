#include "models/translation.hpp"

#include <algorithm>

namespace subbyte {
namespace {

// What files call the parts, by role: the names of transformers' MarianMT.
constexpr AttentionNames kSelf = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
                                  "self_attn_layer_norm"};
constexpr AttentionNames kCross = {"encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj",
                                   "encoder_attn.out_proj", "encoder_attn_layer_norm"};
constexpr SsruNames kSsru = {"ssru.input", "ssru.forget", "ssru_layer_norm"};
constexpr FeedForwardNames kFeedForward = {"fc1", "fc2", "final_layer_norm"};

}  // namespace

Result<std::unique_ptr<Translation>> Translation::of(const TranslationConfig& config, const Tensors& tensors,
                                                     const Runtime& runtime) {
  std::vector<std::string> faults;
  std::unique_ptr<Translation> made(new Translation(config, {tensors, faults}, runtime));
  if (!faults.empty()) return fault_of(faults);
  if (runtime.rounding == Rounding::int8) made->screen_ = Screen::of(*made->output_, made->output_bias_);
  return made;
}

Translation::Translation(const TranslationConfig& config, const TensorReader& tensors, const Runtime& runtime)
    : config_(config), arena_(runtime), positions_(config.d_model, config.rates) {
  const size_t d = config_.d_model;
  const float epsilon = config_.norm_epsilon;
  source_embedding_ = tensors.matrix("model.encoder.embed_tokens.weight", 0, d);
  target_embedding_ = tensors.matrix("model.decoder.embed_tokens.weight", config_.vocabulary, d);
  output_ = tensors.matrix("lm_head.weight", config_.vocabulary, d);
  output_bias_ = tensors.vector("final_logits_bias", config_.vocabulary);
  for (size_t i = 0; i < config_.encoder_layers; ++i)
    encoder_.emplace_back(tensors.within("model.encoder.layers." + std::to_string(i) + "."), kSelf, kFeedForward, d,
                          config_.encoder_heads, config_.activation, epsilon, Attending::by_query);
  for (size_t i = 0; i < config_.decoder_layers; ++i) {
    const TensorReader in = tensors.within("model.decoder.layers." + std::to_string(i) + ".");
    std::unique_ptr<Cell> cell;
    if (config_.recurrent)
      cell = std::make_unique<SsruCell>(in, kSsru, d);
    else
      cell = std::make_unique<AttentionCell>(in, kSelf, d, config_.decoder_heads);
    const char* cell_norm = config_.recurrent ? kSsru.norm : kSelf.norm;
    row_width_ += cell->width();
    decoder_.push_back({std::move(cell),
                        {in.norm(cell_norm, d, epsilon)},
                        {in, kCross, d, config_.decoder_heads},
                        {in.norm(kCross.norm, d, epsilon)},
                        {in, kFeedForward, d, config_.activation, epsilon}});
  }
}

void Translation::embed(const Matrix& table, uint32_t token, float* out) const {
  table.row(token, out);
  for (size_t k = 0; k < config_.d_model; ++k) out[k] *= config_.embedding_scale;
}

void Translation::encode(const std::vector<std::vector<uint32_t>>& sentences) {
  const size_t d = config_.d_model;
  sentences_ = {};
  for (const auto& sentence : sentences) sentences_.add(sentence.size());
  const size_t tokens = sentences_.tokens();
  float* x = x_.grow(tokens * d);
  float* out = x;
  for (const auto& sentence : sentences)
    for (uint32_t token : sentence) {
      embed(*source_embedding_, token, out);
      out += d;
    }
  add_positions(sentences_, d, x, [&](size_t place) { return positions_.row(place); });
  const Point plain;
  for (EncoderLayer& layer : encoder_) layer.run(arena_, sentences_, plain, x);

  float* memory = memory_.grow(decoder_.size() * tokens * 2 * d);
  memory_rows_.resize(tokens);
  for (size_t token = 0; token < tokens; ++token) memory_rows_[token] = memory + token * 2 * d;
  Inputs encoded = {x, tokens, d};
  for (size_t i = 0; i < decoder_.size(); ++i)
    decoder_[i].cross.remember(arena_.ops, encoded, memory + i * tokens * 2 * d, 2 * d);
}

void Translation::step(const std::vector<uint32_t>& tokens) {
  const size_t d = config_.d_model, m = tokens.size(), time = states_.steps();
  float* x = x_.grow(m * d);
  float* added = arena_.added.grow(m * d);
  states_.add(row_width_);
  const float* position = positions_.row(time);
  crossing_.clear();
  for (size_t i = 0; i < m; ++i) {
    float* row = x + i * d;
    if (config_.zero_start && time == 0)
      std::fill_n(row, d, 0.0f);
    else
      embed(*target_embedding_, tokens[i], row);
    for (size_t k = 0; k < d; ++k) row[k] += position[k];
    const size_t sentence = states_.sentence(i);
    crossing_.push_back({memory_rows_.data() + sentences_.first[sentence], sentences_.length(sentence)});
  }
  size_t of_cell = 0, of_layer = 0;  // where these begin, in states and in memory
  for (Layer& layer : decoder_) {
    Inputs inputs = {x, m, d};
    layer.cell->step(arena_, states_, of_cell, inputs, added);
    layer.after_cell.run(arena_.ops, m, added, x);
    Inputs asking = {x, m, d};
    layer.cross.read(arena_, asking, crossing_, of_layer, added);
    layer.after_cross.run(arena_.ops, m, added, x);
    layer.feed_forward.run(arena_, layer.after_cross.output, m, x);
    of_cell += layer.cell->width();
    of_layer += sentences_.tokens() * 2 * d;
  }
  hypotheses_ = m;
}

float* Translation::logits() {
  float* logits = logits_.grow(hypotheses_ * config_.vocabulary);
  Inputs states = last_states();
  arena_.ops.linear(*output_, states, output_bias_.data(), logits, config_.vocabulary);
  return logits;
}

void Translation::watch_output() {
  Inputs states = last_states();
  arena_.ops.note(*output_, states);
}

bool Translation::likeliest(const std::vector<uint32_t>& banned, std::vector<uint32_t>& tokens) {
  if (!screen_ || hypotheses_ > kernels().few_inputs) return false;  // many share one reading of the matrix
  Inputs states = last_states();
  return screen_->greatest(arena_.ops, states, banned, tokens);
}

}  // namespace subbyte
