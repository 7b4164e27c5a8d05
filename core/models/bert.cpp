#include "models/bert.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace subbyte {
namespace {
// Rows that go from attention to the end of a layer together: what is between its matrices stays in the second cache.
constexpr size_t kRowsAtOnce = 128;

// What products read of m rows of values of a point.
Inputs operand(const Point& point, const float* x, size_t m, size_t n) {
  return {x, m, n, point.equalizer.empty() ? nullptr : point.equalizer.data(), point.rotation};
}
}  // namespace

Bert::Bert(const BertConfig& config, const Tensors& tensors, const std::map<std::string, Grid>& grids,
           const std::map<std::string, size_t>& rotations, const Kernels& kernels, size_t threads, Rounding rounding)
    : config_(config), ops_(kernels, threads, rounding), layers_(config.layers), scratch_(ops_.threads().count()) {
  const TensorReader read(tensors);
  const size_t d = config.hidden;

  const auto add = [&](const std::string& name, size_t width, Point& point) {
    points_[name] = &point;
    const auto found = grids.find(name);
    if (read.has_vector(name + ".equalizer")) point.equalizer = read.vector(name + ".equalizer", width);
    if (const auto turned = rotations.find(name); turned != rotations.end()) {
      point.rotation = turned->second;
      if (!is_rotation(point.rotation) || width % point.rotation)
        throw std::invalid_argument(name + ": its rotation should be 1, 16, 32, 64, 128 or 256, and divide its width");
    }
    if (found != grids.end() && !found->second.operand && (!point.equalizer.empty() || point.rotation > 1))
      throw std::invalid_argument(name + ": is equalized or rotated, so its grid should be that of an operand");
    if (found == grids.end()) return;
    if (found->second.groups.empty() || width % found->second.groups.size())
      throw std::invalid_argument(name + ": the groups of its grid do not divide its width");
    point.grid = found->second;
    point.as_codes = point.grid->operand;
    if (point.grid->groups.size() > 1) point.grid->spread(width);
  };
  add("embeddings.words", d, embedded_words_);
  add("embeddings.sum", d, embedded_sum_);
  add("embeddings.output", d, embedded_);

  // Inputs on a grid are only multiplied as codes where weights are codes too.
  const auto product = [&](const std::string& name, size_t cols, size_t rows, const Point& inputs) {
    Product made = {read.linear(name, cols, rows), nullptr, nullptr};
    if (inputs.grid && !made.linear.weight->dense() && rounding == Rounding::int8) {
      auto fixed = StaticProduct::of(*made.linear.weight, made.linear.bias, *inputs.grid);
      if (!fixed) throw std::invalid_argument(fixed.fault().text());
      made.fixed = std::move(*fixed);
    } else if (inputs.grid && inputs.grid->operand)
      made.grid = &*inputs.grid;
    return made;
  };

  words_ = read.matrix("embeddings.word_embeddings.weight", config.vocabulary, d);
  positions_ = read.matrix("embeddings.position_embeddings.weight", config.positions, d);
  if (config.types) types_ = read.matrix("embeddings.token_type_embeddings.weight", config.types, d);
  embedding_norm_ = read.norm("embeddings.LayerNorm", d);
  const Point* inputs = &embedded_;
  for (size_t i = 0; i < config.layers; ++i) {
    BertLayer& layer = layers_[i];
    auto& at = layer.at;
    const std::string name = "encoder.layer." + std::to_string(i) + ".", point = "layers." + std::to_string(i) + ".";
    const size_t ffn = read.matrix(name + "intermediate.dense.weight", 0, d)->rows();
    add(point + "query", d, at.query);
    add(point + "key", d, at.key);
    add(point + "value", d, at.value);
    add(point + "scores", 1, at.scores);
    add(point + "probabilities", 1, at.probabilities);
    add(point + "context", d, at.context);
    add(point + "attention_output", d, at.attention_output);
    add(point + "attention_sum", d, at.attention_sum);
    add(point + "ffn_input", d, at.ffn_input);
    add(point + "hidden", ffn, at.hidden);
    add(point + "ffn_output", d, at.ffn_output);
    add(point + "ffn_sum", d, at.ffn_sum);
    add(point + "output", d, at.output);
    layer.query = product(name + "attention.self.query", d, d, *inputs);
    layer.key = product(name + "attention.self.key", d, d, *inputs);
    layer.value = product(name + "attention.self.value", d, d, *inputs);
    layer.out = product(name + "attention.output.dense", d, d, at.context);
    layer.in = product(name + "intermediate.dense", d, ffn, at.ffn_input);
    layer.down = product(name + "output.dense", ffn, d, at.hidden);
    at.context.as_codes |= layer.out.fixed != nullptr;  // nothing else reads these two
    at.hidden.as_codes |= layer.down.fixed != nullptr;
    layer.attention_norm = read.norm(name + "attention.output.LayerNorm", d);
    layer.norm = read.norm(name + "output.LayerNorm", d);
    inputs = &at.output;
  }
  if (config.labels) {
    add("pooler", d, pooled_);
    add("classifier", config.labels, logits_);
    pooler_ = product("pooler.dense", d, d, *inputs);
    classifier_ = product("classifier", d, config.labels, pooled_);
  }
  for (const auto& [name, grid] : grids)
    if (!points_.count(name)) throw std::invalid_argument(name + ": there is no such point");
}

size_t Bert::folded_bytes() const {
  size_t total = 0;
  const auto count = [&](const Product& product) { total += product.fixed ? product.fixed->bytes() : 0; };
  for (const BertLayer& layer : layers_)
    for (const Product* product : {&layer.query, &layer.key, &layer.value, &layer.out, &layer.in, &layer.down})
      count(*product);
  count(pooler_);
  count(classifier_);
  return total;
}

Point* Bert::point(const std::string& name) {
  const auto found = points_.find(name);
  return found == points_.end() ? nullptr : found->second;
}

void Bert::product(const Product& w, Inputs& inputs, float* y) {
  const size_t rows = w.linear.weight->rows();
  if (w.fixed) return ops_.linear(*w.fixed, inputs, y, rows);
  const float* bias = w.linear.bias.data();
  if (!w.grid) return ops_.linear(*w.linear.weight, inputs, bias, y, rows);
  ops_.settle(inputs);
  float* copy = rounded_.grow(inputs.m * inputs.cols);
  std::copy_n(inputs.x, inputs.m * inputs.cols, copy);
  ops_.round(*w.grid, inputs.m, inputs.cols, copy);
  Inputs rounded = {copy, inputs.m, inputs.cols};
  ops_.linear(*w.linear.weight, rounded, bias, y, rows);
}

// Values on their way through a point.
void Bert::pass(Point& point, size_t m, size_t n, float* x) {
  if (point.seen) point.seen->insert(point.seen->end(), x, x + m * n);
  if (point.grid && !point.as_codes) ops_.round(*point.grid, m, n, x);
}

// x = norm(sum(x + added)).
void Bert::add_and_normalize(Point& sum, const Norm& norm, size_t m, const float* added, float* x) {
  const size_t d = config_.hidden;
  const float* residual = added;
  if (sum.grid || sum.seen) {
    ops_.for_rows(m, d, [&](size_t row, size_t) {
      for (size_t k = row * d; k < (row + 1) * d; ++k) x[k] += added[k];
    });
    pass(sum, m, d, x);
    residual = nullptr;
  }
  ops_.layer_norm(x, residual, norm.gamma, norm.beta, config_.norm_epsilon, m, x);
}

void Bert::embed(const std::vector<Text>& texts) {
  const size_t d = config_.hidden;
  std::vector<float> table(std::max<size_t>(1, config_.types) * d);  // of the token types
  for (size_t type = 0; type < config_.types; ++type) types_->row(type, table.data() + type * d);
  float* x = x_.data();
  size_t tokens = 0;
  for (const Text& text : texts) {
    for (size_t i = 0; i < text.tokens.size(); ++i, ++tokens) {
      float* row = x + tokens * d;
      words_->row(text.tokens[i], row);
      const float* type = table.data() + (text.types.empty() ? 0 : text.types[i]) * d;
      for (size_t k = 0; k < d; ++k) row[k] += type[k];
    }
  }
  pass(embedded_words_, tokens, d, x);
  std::vector<float> position(d);
  size_t longest = 0;
  for (const Text& text : texts) longest = std::max(longest, text.tokens.size());
  for (size_t i = 0; i < longest; ++i) {  // a position is looked up once for all texts
    positions_->row(config_.first_position + i, position.data());
    size_t first = 0;
    for (const Text& text : texts) {
      if (i < text.tokens.size())
        for (size_t k = 0; k < d; ++k) x[(first + i) * d + k] += position[k];
      first += text.tokens.size();
    }
  }
  pass(embedded_sum_, tokens, d, x);
  ops_.layer_norm(x, nullptr, embedding_norm_.gamma, embedding_norm_.beta, config_.norm_epsilon, tokens, x);
  pass(embedded_, tokens, d, x);
}

// context_ = attention of every token over its own text.
void Bert::attend(BertLayer& layer, const std::vector<Text>& texts, size_t tokens) {
  const size_t d = config_.hidden, size = d / config_.heads;
  size_t longest = 0;
  std::vector<size_t> first = {0};
  for (const Text& text : texts) {
    longest = std::max(longest, text.tokens.size());
    first.push_back(first.back() + text.tokens.size());
  }
  for (Buffer<float>& scratch : scratch_) scratch.grow(self_attention_scratch(longest, size));
  const auto group = [](const Point& point) { return point.grid ? &point.grid->groups[0] : nullptr; };
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  ops_.for_rows(texts.size() * config_.heads, 2 * tokens / texts.size() * longest * size, [&](size_t i, size_t worker) {
    const size_t text = i / config_.heads, at = first[text] * d + i % config_.heads * size;
    ops_.kernels().self_attention({query_.data() + at, key_.data() + at, value_.data() + at, context_.data() + at,
                                   scratch_[worker].data(), texts[text].tokens.size(), size, d, scale,
                                   group(layer.at.scores), group(layer.at.probabilities)});
  });
}

// x_ = what the layer makes of x_ and context_, of `rows` rows.
void Bert::after_attention(BertLayer& layer, size_t first, size_t rows) {
  const size_t d = config_.hidden, ffn = layer.in.linear.weight->rows();
  auto& at = layer.at;
  float* x = x_.data() + first * d;
  float* added = query_.data() + first * d;
  Inputs contexts = operand(at.context, context_.data() + first * d, rows, d);
  product(layer.out, contexts, added);
  pass(at.attention_output, rows, d, added);
  add_and_normalize(at.attention_sum, layer.attention_norm, rows, added, x);
  pass(at.ffn_input, rows, d, x);
  float* wide = wide_.grow(rows * ffn);
  Inputs narrow = operand(at.ffn_input, x, rows, d);
  product(layer.in, narrow, wide);
  ops_.activate(config_.activation, wide, rows * ffn);
  pass(at.hidden, rows, ffn, wide);
  Inputs hiddens = operand(at.hidden, wide, rows, ffn);
  product(layer.down, hiddens, added);
  pass(at.ffn_output, rows, d, added);
  add_and_normalize(at.ffn_sum, layer.norm, rows, added, x);
  pass(at.output, rows, d, x);
}

const float* Bert::encode(const std::vector<Text>& texts) {
  if (texts.empty()) return x_.data();
  const size_t d = config_.hidden;
  size_t tokens = 0;
  for (const Text& text : texts) tokens += text.tokens.size();
  float* x = x_.grow(tokens * d);
  float* query = query_.grow(tokens * d);
  float* key = key_.grow(tokens * d);
  float* value = value_.grow(tokens * d);
  float* context = context_.grow(tokens * d);
  embed(texts);
  const Point* point = &embedded_;
  for (BertLayer& layer : layers_) {
    auto& at = layer.at;
    Inputs inputs = operand(*point, x, tokens, d);
    product(layer.query, inputs, query);
    product(layer.key, inputs, key);
    product(layer.value, inputs, value);
    pass(at.query, tokens, d, query);
    pass(at.key, tokens, d, key);
    pass(at.value, tokens, d, value);
    attend(layer, texts, tokens);
    pass(at.context, tokens, d, context);
    for (size_t first = 0; first < tokens; first += kRowsAtOnce)
      after_attention(layer, first, std::min(kRowsAtOnce, tokens - first));
    point = &at.output;
  }
  return x;
}

void Bert::pool(const std::vector<Text>& texts, Pooling pooling, float* out) const {
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

void Bert::classify(const std::vector<Text>& texts, float* out) {
  const size_t d = config_.hidden, m = texts.size();
  float* first = key_.grow(m * d);
  float* pooled = value_.grow(m * d);
  pool(texts, Pooling::cls, first);
  Inputs inputs = operand(layers_.empty() ? embedded_ : layers_.back().at.output, first, m, d);
  product(pooler_, inputs, pooled);
  ops_.activate(config_.pooler_activation, pooled, m * d);
  pass(pooled_, m, d, pooled);
  Inputs pooleds = operand(pooled_, pooled, m, d);
  product(classifier_, pooleds, out);
  pass(logits_, m, config_.labels, out);
}

}  // namespace subbyte
