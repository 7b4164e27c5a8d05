#include "session/encoder.hpp"

namespace subbyte {
namespace {

Result<EncoderConfig> config_of(Settings& settings) {
  EncoderConfig c = {};
  settings.read("hidden", c.hidden);
  settings.read("layers", c.layers);
  settings.read("heads", c.heads);
  settings.read("vocabulary", c.vocabulary);
  settings.read("positions", c.positions);
  settings.read("first_position", c.first_position);
  settings.read("types", c.types);
  settings.read("labels", c.labels);
  settings.read("norm_epsilon", c.norm_epsilon);
  settings.read("activation", c.activation, kActivations);
  settings.read("pooler_activation", c.pooler_activation, kActivations);
  if (Fault fault = settings.fault()) return fault;
  if (!c.hidden || !c.heads || c.hidden % c.heads) return Fault("hidden must be divisible by the heads");
  if (c.first_position >= c.positions) return Fault("first_position must be below positions");
  return c;
}

}  // namespace

Result<Pooling> pooling_of(const std::string& name) {
  return by_name<Pooling>("pooling", name, {{"mean", Pooling::mean}, {"cls", Pooling::cls}, {"max", Pooling::max}});
}

Result<std::unique_ptr<EncoderSession>> EncoderSession::make(Settings settings, const Tensors& tensors,
                                                             const std::map<std::string, Grid>& grids,
                                                             const std::map<std::string, size_t>& rotations,
                                                             const Runtime& runtime) {
  auto config = config_of(settings);
  if (!config) return config.fault();
  auto model = Encoder::of(*config, tensors, grids, rotations, runtime);
  if (!model) return model.fault();
  return std::unique_ptr<EncoderSession>(new EncoderSession(std::move(*model), tensors));
}

Result<Table> EncoderSession::states(const Ids& tokens, const Ids& types) {
  auto texts = texts_of(tokens, types);
  if (!texts) return texts.fault();
  const size_t d = model_->config().hidden;
  size_t count = 0;
  for (const Text& text : *texts) count += text.tokens.size();
  return alone([&] {
    const float* states = model_->encode(*texts);
    return Table{{states, states + count * d}, count, d};
  });
}

Result<Table> EncoderSession::pooled(const Ids& tokens, const Ids& types, Pooling pooling) {
  auto texts = texts_of(tokens, types);
  if (!texts) return texts.fault();
  const size_t d = model_->config().hidden;
  Table table = {std::vector<float>(texts->size() * d), texts->size(), d};
  alone([&] {
    model_->encode(*texts);
    model_->pool(*texts, pooling, table.values.data());
  });
  return table;
}

Result<Table> EncoderSession::logits(const Ids& tokens, const Ids& types) {
  const size_t labels = model_->config().labels;
  if (!labels) return Fault("this encoder has no classifier");
  auto texts = texts_of(tokens, types);
  if (!texts) return texts.fault();
  Table table = {std::vector<float>(texts->size() * labels), texts->size(), labels};
  alone([&] {
    model_->encode(*texts);
    model_->classify(*texts, table.values.data());
  });
  return table;
}

Result<std::vector<Table>> EncoderSession::observe(const Ids& tokens, const Ids& types,
                                                   const std::vector<std::string>& names) {
  std::map<std::string, std::vector<float>> seen;
  for (const std::string& name : names) {
    if (!model_->point(name)) return Fault(name + ": there is no such point");
    seen[name];
  }
  auto texts = texts_of(tokens, types);
  if (!texts) return texts.fault();
  struct Watching {  // ends with its scope, however that is left
    Encoder& model;
    std::map<std::string, std::vector<float>>& seen;
    ~Watching() {
      for (auto& [name, values] : seen) model.point(name)->seen = nullptr;
    }
  };
  alone([&] {
    const Watching watching = {*model_, seen};
    for (auto& [name, values] : seen) model_->point(name)->seen = &values;
    pass(*texts);
  });
  std::vector<Table> tables;
  for (const std::string& name : names) tables.push_back({seen[name], seen[name].size(), 1});
  return tables;
}

Result<std::vector<Table>> EncoderSession::inputs(const Ids& tokens, const Ids& types,
                                                  const std::vector<std::string>& names) {
  auto texts = texts_of(tokens, types);
  if (!texts) return texts.fault();
  return watched(names, [&] { pass(*texts); });
}

// One pass through all there is to see, the classifier too.
void EncoderSession::pass(const std::vector<Text>& texts) {
  model_->encode(texts);
  std::vector<float> logits(texts.size() * model_->config().labels);
  if (model_->config().labels) model_->classify(texts, logits.data());
}

// Texts that were checked.
Result<std::vector<Text>> EncoderSession::texts_of(const Ids& tokens, const Ids& types) const {
  const EncoderConfig& config = model_->config();
  if (!types.empty() && types.size() != tokens.size()) return Fault("there must be as many lists of types as texts");
  std::vector<Text> texts(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty() || tokens[i].size() > model_->longest())
      return Fault("a text must have 1 to " + std::to_string(model_->longest()) + " tokens");
    for (uint32_t token : tokens[i])
      if (token >= config.vocabulary) return Fault("a token is out of the vocabulary");
    texts[i].tokens = tokens[i];
    if (types.empty() || !config.types) continue;
    if (types[i].size() != tokens[i].size()) return Fault("a text must have as many types as tokens");
    for (uint32_t type : types[i])
      if (type >= config.types) return Fault("a token type is out of range");
    texts[i].types = types[i];
  }
  return texts;
}

}  // namespace subbyte
