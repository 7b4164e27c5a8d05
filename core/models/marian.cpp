#include "models/marian.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/layout.hpp"

namespace subbyte {
namespace {

// The blocks of MarianMT, by its names.
class Blocks : public TensorReader {
 public:
  using TensorReader::TensorReader;

  AttentionLayer attention(const std::string& layer, const std::string& name, size_t d) const {
    const std::string at = layer + "." + name + ".";
    return {linear(at + "q_proj", d, d), linear(at + "k_proj", d, d), linear(at + "v_proj", d, d),
            linear(at + "out_proj", d, d), norm(layer + "." + name + "_layer_norm", d)};
  }

  RecurrentLayer recurrent(const std::string& layer, size_t d) const {
    return {{matrix(layer + ".ssru.input.weight", d, d), {}},
            linear(layer + ".ssru.forget", d, d),
            norm(layer + ".ssru_layer_norm", d)};
  }

  FeedForward feed_forward(const std::string& layer, size_t d) const {
    Linear in = linear(layer + ".fc1", d);
    const size_t hidden = in.weight->rows();
    return {std::move(in), linear(layer + ".fc2", hidden, d), norm(layer + ".final_layer_norm", d)};
  }
};

}  // namespace

Sinusoids::Sinusoids(size_t d, Positions kind) : d_(d), divisors_((d + 1) / 2) {
  const double width = static_cast<double>(d), half = static_cast<double>(d / 2);
  for (size_t i = 0; i < divisors_.size(); ++i) {
    const double at = static_cast<double>(i);
    divisors_[i] = std::pow(10000.0, kind == Positions::transformers ? 2.0 * at / width : at / (half - 1.0));
  }
}

const float* Sinusoids::row(size_t position) {
  const size_t sines = divisors_.size();
  for (; rows_ <= position; ++rows_) {
    table_.resize((rows_ + 1) * d_);
    float* out = table_.data() + rows_ * d_;
    for (size_t i = 0; i < sines; ++i) {
      const double angle = static_cast<double>(rows_) / divisors_[i];
      out[i] = static_cast<float>(std::sin(angle));
      if (sines + i < d_) out[sines + i] = static_cast<float>(std::cos(angle));
    }
  }
  return table_.data() + position * d_;
}

void Cache::start(const std::vector<size_t>& sentences_of) {
  sentences = sentences_of;
  history.assign(sentences.size(), {});
  time = 0;
}

void Cache::reorder(const std::vector<size_t>& parents) {
  next_.resize(parents.size());
  next_sentences_.resize(parents.size());
  for (size_t i = 0; i < parents.size(); ++i) {
    next_[i] = history[parents[i]];
    next_sentences_[i] = sentences[parents[i]];
  }
  history.swap(next_);
  sentences.swap(next_sentences_);
}

Marian::Marian(const MarianConfig& config, const Tensors& tensors, const Kernels& kernels, size_t threads,
               Rounding rounding)
    : config_(config),
      ops_(kernels, threads, rounding),
      positions_(config.d_model, config.positions),
      scores_(ops_.threads().count()) {
  const Blocks read(tensors);
  const size_t d = config.d_model;
  source_embedding_ = read.matrix("model.encoder.embed_tokens.weight", 0, d);
  target_embedding_ = read.matrix("model.decoder.embed_tokens.weight", config.vocabulary, d);
  output_ = read.matrix("lm_head.weight", config.vocabulary, d);
  output_bias_ = read.vector("final_logits_bias", config.vocabulary);
  if (rounding == Rounding::int8) screen_ = Screen::of(*output_, output_bias_);
  for (size_t i = 0; i < config.encoder_layers; ++i) {
    const std::string layer = "model.encoder.layers." + std::to_string(i);
    encoder_.push_back({read.attention(layer, "self_attn", d), read.feed_forward(layer, d)});
  }
  for (size_t i = 0; i < config.decoder_layers; ++i) {
    const std::string layer = "model.decoder.layers." + std::to_string(i);
    DecoderLayer added = {{}, read.attention(layer, "encoder_attn", d), read.feed_forward(layer, d)};
    if (config.recurrent)
      added.cell = read.recurrent(layer, d);
    else
      added.cell = read.attention(layer, "self_attn", d);
    decoder_.push_back(std::move(added));
  }
}

void Marian::embed(const Matrix& table, uint32_t token, size_t position, float* out) {
  table.row(token, out);
  const float* at = positions_.row(position);
  for (size_t i = 0; i < config_.d_model; ++i) out[i] = out[i] * config_.embedding_scale + at[i];
}

// x_ = norm(x_ + out(attention(query(x_), rows))); rows[i] are the positions that query i sees.
void Marian::attend(const AttentionLayer& layer, Inputs& queries, size_t heads,
                    const std::vector<const std::vector<const float*>*>& rows, size_t offset) {
  const size_t d = config_.d_model, m = queries.m;
  float* query = query_.grow(m * d);
  float* context = context_.grow(m * d);
  ops_.linear(*layer.query.weight, queries, layer.query.bias.data(), query, d);
  size_t longest = 0;
  for (const auto* list : rows) longest = std::max(longest, list->size());
  for (Buffer<float>& scores : scores_) scores.grow(steps_of(longest) * kTile);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d / heads));
  ops_.for_rows(m, 2 * d * longest, [&](size_t i, size_t worker) {
    ops_.kernels().attention({query + i * d, rows[i]->data(), offset, context + i * d, scores_[worker].data(),
                              rows[i]->size(), heads, d / heads, scale});
  });
  Inputs contexts = {context, m, d};
  ops_.linear(*layer.out.weight, contexts, layer.out.bias.data(), query, d);
  ops_.layer_norm(x_.data(), query, layer.norm.gamma, layer.norm.beta, config_.norm_epsilon, m, x_.data());
}

// One step of the SSRU; `states` takes the new ones, `stride` values apart.
void Marian::recur(const RecurrentLayer& layer, size_t m, size_t offset, float* states, size_t stride) {
  const size_t d = config_.d_model;
  float* input = query_.grow(m * d);
  float* forget = context_.grow(m * d);
  Inputs inputs = {x_.data(), m, d};
  ops_.linear(*layer.input.weight, inputs, nullptr, input, d);
  ops_.linear(*layer.forget.weight, inputs, layer.forget.bias.data(), forget, d);
  ops_.for_rows(m, 32 * d, [&](size_t i, size_t) {
    const float* previous = cache_.time == 0 ? nullptr : cache_.history[i][cache_.time - 1] + offset;
    ops_.kernels().ssru({forget + i * d, input + i * d, previous, states + i * stride, input + i * d, d});
  });
  ops_.layer_norm(x_.data(), input, layer.norm.gamma, layer.norm.beta, config_.norm_epsilon, m, x_.data());
}

// x_ = norm(x_ + out(activation(in(x_))))
void Marian::feed_forward(const FeedForward& layer, size_t m) {
  const size_t d = config_.d_model, width = layer.in.weight->rows();
  float* hidden = hidden_.grow(m * width);
  Inputs inputs = {x_.data(), m, d};
  ops_.linear(*layer.in.weight, inputs, layer.in.bias.data(), hidden, width);
  ops_.activate(config_.activation, hidden, m * width);
  Inputs hiddens = {hidden, m, width};
  ops_.linear(*layer.out.weight, hiddens, layer.out.bias.data(), query_.data(), d);
  ops_.layer_norm(x_.data(), query_.data(), layer.norm.gamma, layer.norm.beta, config_.norm_epsilon, m, x_.data());
}

void Marian::encode(const std::vector<std::vector<uint32_t>>& sentences) {
  const size_t d = config_.d_model;
  size_t tokens = 0;
  for (const auto& sentence : sentences) tokens += sentence.size();
  float* x = x_.grow(tokens * d);
  float* kv = key_values_.grow(tokens * 2 * d);
  query_.grow(tokens * d);

  // Sentences stand one behind the other, without padding; a token sees the rows of its own sentence.
  std::vector<std::vector<const float*>> rows(sentences.size());
  std::vector<const std::vector<const float*>*> rows_of_token;
  memory_.rows.assign(sentences.size(), {});
  memory_.layer_stride = tokens * 2 * d;
  memory_.key_values.grow(config_.decoder_layers * memory_.layer_stride);
  size_t token = 0;
  for (size_t s = 0; s < sentences.size(); ++s) {
    for (size_t position = 0; position < sentences[s].size(); ++position, ++token) {
      embed(*source_embedding_, sentences[s][position], position, x + token * d);
      rows[s].push_back(kv + token * 2 * d);
      memory_.rows[s].push_back(memory_.key_values.data() + token * 2 * d);
      rows_of_token.push_back(&rows[s]);
    }
  }
  for (const EncoderLayer& layer : encoder_) {
    Inputs inputs = {x, tokens, d};
    ops_.linear(*layer.self.key.weight, inputs, layer.self.key.bias.data(), kv, 2 * d);
    ops_.linear(*layer.self.value.weight, inputs, layer.self.value.bias.data(), kv + d, 2 * d);
    attend(layer.self, inputs, config_.encoder_heads, rows_of_token, 0);
    feed_forward(layer.feed_forward, tokens);
  }
  Inputs encoded = {x, tokens, d};
  for (size_t i = 0; i < decoder_.size(); ++i) {
    const AttentionLayer& cross = decoder_[i].cross;
    float* at = memory_.key_values.data() + i * memory_.layer_stride;
    ops_.linear(*cross.key.weight, encoded, cross.key.bias.data(), at, 2 * d);
    ops_.linear(*cross.value.weight, encoded, cross.value.bias.data(), at + d, 2 * d);
  }
}

void Marian::step(const std::vector<uint32_t>& tokens) {
  const size_t d = config_.d_model, m = tokens.size(), time = cache_.time;
  float* x = x_.grow(m * d);
  query_.grow(m * d);
  if (cache_.steps.size() <= time) cache_.steps.resize(time + 1);
  const size_t stride = decoder_.size() * 2 * d;
  float* kv = cache_.steps[time].grow(m * stride);

  self_rows_.resize(m);
  cross_rows_.resize(m);
  for (size_t i = 0; i < m; ++i) {
    if (config_.zero_start && time == 0)
      std::copy_n(positions_.row(0), d, x + i * d);
    else
      embed(*target_embedding_, tokens[i], time, x + i * d);
    cache_.history[i].push_back(kv + i * stride);
    self_rows_[i] = &cache_.history[i];
    cross_rows_[i] = &memory_.rows[cache_.sentences[i]];
  }
  for (size_t i = 0; i < decoder_.size(); ++i) {
    const DecoderLayer& layer = decoder_[i];
    float* at = kv + i * 2 * d;
    if (const auto* self = std::get_if<AttentionLayer>(&layer.cell)) {
      Inputs inputs = {x, m, d};
      ops_.linear(*self->key.weight, inputs, self->key.bias.data(), at, stride);
      ops_.linear(*self->value.weight, inputs, self->value.bias.data(), at + d, stride);
      attend(*self, inputs, config_.decoder_heads, self_rows_, i * 2 * d);
    } else {
      recur(std::get<RecurrentLayer>(layer.cell), m, i * 2 * d, at, stride);
    }
    Inputs crossing = {x, m, d};
    attend(layer.cross, crossing, config_.decoder_heads, cross_rows_, i * memory_.layer_stride);
    feed_forward(layer.feed_forward, m);
  }
  hypotheses_ = m;
  ++cache_.time;
}

float* Marian::logits() {
  float* logits = logits_.grow(hypotheses_ * config_.vocabulary);
  Inputs states = {x_.data(), hypotheses_, config_.d_model};
  ops_.linear(*output_, states, output_bias_.data(), logits, config_.vocabulary);
  return logits;
}

void Marian::watch_output() {
  Inputs states = {x_.data(), hypotheses_, config_.d_model};
  ops_.watch(*output_, states);
}

bool Marian::likeliest(const std::vector<uint32_t>& banned, std::vector<uint32_t>& tokens) {
  if (!screen_ || hypotheses_ > ops_.kernels().few_inputs) return false;  // many share one reading of the matrix
  Inputs states = {x_.data(), hypotheses_, config_.d_model};
  return screen_->greatest(ops_, states, banned, tokens);
}

}  // namespace subbyte
