#include "session/translation.hpp"

#include <algorithm>
#include <cmath>

#include "models/forced.hpp"

namespace subbyte {
namespace {

Result<TranslationConfig> config_of(Settings& settings) {
  TranslationConfig c = {};
  settings.read("d_model", c.d_model);
  settings.read("encoder_layers", c.encoder_layers);
  settings.read("decoder_layers", c.decoder_layers);
  settings.read("encoder_heads", c.encoder_heads);
  settings.read("decoder_heads", c.decoder_heads);
  settings.read("max_positions", c.max_positions);
  settings.read("vocabulary", c.vocabulary);
  settings.read("embedding_scale", c.embedding_scale);
  settings.read("norm_epsilon", c.norm_epsilon);
  settings.read("activation", c.activation, kActivations);
  settings.read("positions", c.rates, {{"transformers", Rates::below_one}, {"marian", Rates::to_one}});
  settings.read("recurrent", c.recurrent);
  settings.read("zero_start", c.zero_start);
  if (Fault fault = settings.fault()) return fault;
  if (!c.d_model || !c.encoder_heads || !c.decoder_heads || c.d_model % c.encoder_heads ||
      c.d_model % c.decoder_heads || !c.max_positions || c.max_positions > 65536)
    return Fault("d_model must be divisible by the heads, and max_positions 1 to 65,536");
  return c;
}

Result<SearchOptions> options_of(Settings& settings) {
  SearchOptions o = {};
  settings.read("beam_size", o.beam_size);
  settings.read("num_hypotheses", o.num_hypotheses);
  settings.read("max_length", o.max_length);
  settings.read("max_length_factor", o.max_length_factor);
  settings.read("min_length", o.min_length);
  settings.read("length_penalty", o.length_penalty);
  settings.read(
      "early_stopping", o.early_stopping,
      {{"heuristic", EarlyStopping::heuristic}, {"always", EarlyStopping::always}, {"never", EarlyStopping::never}});
  settings.read("scores", o.scores);
  settings.read("renormalize", o.renormalize);
  settings.read("forced_end", o.forced_end);
  settings.read("start", o.start);
  settings.read("end", o.end);
  settings.read("banned", o.banned);
  settings.read("other_ends", o.other_ends);
  settings.read("prefix", o.prefix);
  settings.read("forced_begin", o.forced_begin);
  settings.read("banned_at_begin", o.banned_at_begin);
  settings.read("banned_sequences", o.banned_sequences);
  settings.read("repetition_penalty", o.repetition_penalty);
  settings.read("no_repeat_ngram_size", o.no_repeat_ngram);
  settings.read("do_sample", o.sample);
  settings.read("temperature", o.temperature);
  settings.read("top_k", o.top_k);
  settings.read("top_p", o.top_p);
  settings.read("seed", o.seed);
  if (Fault fault = settings.fault()) return fault;
  return o;
}

}  // namespace

Result<std::unique_ptr<TranslationSession>> TranslationSession::make(Settings settings, const Tensors& tensors,
                                                                     const Runtime& runtime) {
  auto config = config_of(settings);
  if (!config) return config.fault();
  auto model = Translation::of(*config, tensors, runtime);
  if (!model) return model.fault();
  return std::unique_ptr<TranslationSession>(new TranslationSession(std::move(*model), tensors));
}

Result<std::vector<std::vector<Hypothesis>>> TranslationSession::translate(const Ids& sentences,
                                                                           const std::vector<uint64_t>& numbers,
                                                                           Settings settings) {
  auto options = options_of(settings);
  if (!options) return options.fault();
  if (Fault fault = sentences_fault(sentences)) return fault;
  if (numbers.size() != sentences.size()) return Fault("there must be as many numbers as sentences");
  if (Fault fault = options_fault(*options)) return fault;
  return alone([&] { return search(*model_, sentences, numbers, *options); });
}

Result<std::vector<std::vector<float>>> TranslationSession::score(const Ids& sentences, const Ids& targets,
                                                                  uint32_t start) {
  if (Fault fault = sentences_fault(sentences)) return fault;
  if (targets.size() != sentences.size()) return Fault("there must be as many targets as sentences");
  if (Fault fault = targets_fault(targets, start)) return fault;
  return alone([&] { return subbyte::score(*model_, sentences, targets, start); });
}

Result<std::vector<Table>> TranslationSession::inputs(const Ids& sentences, const Ids& targets, uint32_t start,
                                                      const std::vector<std::string>& names) {
  if (Fault fault = sentences_fault(sentences)) return fault;
  if (!targets.empty() && targets.size() != sentences.size())
    return Fault("there must be as many targets as sentences");
  if (Fault fault = targets_fault(targets, start)) return fault;
  return watched(names, [&] {
    if (targets.empty())
      model_->encode(sentences);
    else
      walk(*model_, sentences, targets, start);
  });
}

Result<Table> TranslationSession::logits(const std::vector<uint32_t>& sentence, const std::vector<uint32_t>& target) {
  if (Fault fault = sentences_fault({sentence})) return fault;
  if (Fault fault = targets_fault({target}, 0)) return fault;
  return Table{alone([&] { return forced_logits(*model_, sentence, target); }), target.size(), model_->vocabulary()};
}

Fault TranslationSession::sentences_fault(const Ids& sentences) const {
  const size_t longest = model_->config().max_positions;
  for (const auto& sentence : sentences) {
    if (sentence.empty() || sentence.size() > longest)
      return Fault("a sentence must have 1 to " + std::to_string(longest) + " tokens");
    for (uint32_t token : sentence)
      if (token >= model_->source_vocabulary()) return Fault("a token is out of the source vocabulary");
  }
  return {};
}

Fault TranslationSession::targets_fault(const Ids& targets, uint32_t start) const {
  const size_t longest = model_->config().max_positions;
  if (start >= model_->vocabulary()) return Fault("the start token is out of the vocabulary");
  for (const auto& target : targets) {
    if (target.size() > longest) return Fault("a target must have at most " + std::to_string(longest) + " tokens");
    for (uint32_t token : target)
      if (token >= model_->vocabulary()) return Fault("a token is out of the target vocabulary");
  }
  return {};
}

Fault TranslationSession::options_fault(const SearchOptions& options) const {
  const size_t longest = model_->config().max_positions + 1, vocabulary = model_->vocabulary();
  if (options.max_length < 2 || options.max_length > longest)
    return Fault("max_length: must be 2 to " + std::to_string(longest));
  if (options.prefix.size() + 2 > options.max_length) return Fault("prefix: must be shorter than max_length, less 1");
  if (options.beam_size < 1 || options.beam_size > 256) return Fault("beam_size: must be 1 to 256");
  const bool draws = options.sample && options.beam_size == 1;
  if (options.num_hypotheses < 1 || options.num_hypotheses > (draws ? 256 : options.beam_size))
    return Fault("num_hypotheses: must be 1 to beam_size, or to 256 where tokens are drawn one after another");
  const auto positive = [](float value) { return value > 0.0f && value <= std::numeric_limits<float>::max(); };
  if (!positive(options.repetition_penalty) || !positive(options.temperature) || !(options.top_p > 0.0f) ||
      options.top_p > 1.0f || !std::isfinite(options.length_penalty))
    return Fault(
        "repetition_penalty and temperature must be above 0, top_p above 0 and at most 1, length_penalty finite");
  if (options.no_repeat_ngram > 65536) return Fault("no_repeat_ngram_size: must be at most 65,536");
  const auto known = [=](const std::vector<uint32_t>& tokens) {
    return std::all_of(tokens.begin(), tokens.end(), [=](uint32_t token) { return token < vocabulary; });
  };
  const auto last = static_cast<int64_t>(vocabulary);
  if (options.start >= vocabulary || options.end >= vocabulary || options.forced_end >= last ||
      options.forced_begin >= last || !known(options.other_ends) || !known(options.prefix))
    return Fault("special tokens and those of the prefix must be below the vocabulary size");
  if (!known(options.banned) || !known(options.banned_at_begin))
    return Fault("banned tokens must be below the vocabulary size");
  for (const auto& sequence : options.banned_sequences)
    if (sequence.size() < 2 || !known(sequence))
      return Fault("banned sequences must have two tokens or more, below the vocabulary size");
  return {};
}

}  // namespace subbyte
