// A translation model in memory, and its calls.
#include "models/marian.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>

#include "bindings/python/bindings.hpp"
#include "models/beam.hpp"
#include "models/forced.hpp"
#include "platform/cpu.hpp"

namespace subbyte::bindings {
namespace {

Positions positions_of(const std::string& name) {
  if (name == "transformers") return Positions::transformers;
  if (name == "marian") return Positions::marian;
  throw std::invalid_argument("positions: must be transformers or marian, not \"" + name + "\"");
}

EarlyStopping early_stopping_of(const std::string& name) {
  if (name == "heuristic") return EarlyStopping::heuristic;
  if (name == "always") return EarlyStopping::always;
  if (name == "never") return EarlyStopping::never;
  throw std::invalid_argument("early_stopping: must be heuristic, always or never, not \"" + name + "\"");
}

// A model and its working memory. One call at a time; others wait without holding the interpreter.
class MarianSession {
 public:
  MarianSession(const MarianConfig& config, const Tensors& tensors, const std::string& isa, size_t threads,
                Rounding rounding)
      : model_(config, tensors, kernels_of(isa), threads, rounding), matrices_(tensors.matrices) {
    source_vocabulary_ = tensors.matrices.at("model.encoder.embed_tokens.weight")->rows();
  }

  std::vector<std::vector<Hypothesis>> translate(const std::vector<std::vector<uint32_t>>& sentences,
                                                 const std::vector<uint64_t>& numbers, const SearchOptions& options) {
    check(sentences);
    require(numbers.size() == sentences.size(), "there must be as many numbers as sentences");
    require(options.max_length >= 2 && options.max_length <= model_.config().max_positions + 1,
            "max_length: must be 2 to " + std::to_string(model_.config().max_positions + 1));
    check(options);
    nb::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(mutex_);
    FloatMode mode;
    return search(model_, sentences, numbers, options);
  }

  std::vector<std::vector<float>> score(const std::vector<std::vector<uint32_t>>& sentences,
                                        const std::vector<std::vector<uint32_t>>& targets, uint32_t start) {
    check(sentences);
    require(targets.size() == sentences.size(), "there must be as many targets as sentences");
    check_targets(targets, start);
    nb::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(mutex_);
    FloatMode mode;
    return subbyte::score(model_, sentences, targets, start);
  }

  // The rows that each of these matrices multiplied while the sentences were encoded and their targets forced, in the
  // order in which they came. Without targets only the encoder's side runs.
  std::vector<Out> inputs(const std::vector<std::vector<uint32_t>>& sentences,
                          const std::vector<std::vector<uint32_t>>& targets, uint32_t start,
                          const std::vector<std::string>& names) {
    Seen seen;
    for (const std::string& name : names) {
      require(matrices_.count(name) != 0, name + ": no such matrix");
      require(seen.emplace(matrices_[name].get(), std::vector<float>()).second, name + ": asked for twice");
    }
    check(sentences);
    require(targets.empty() || targets.size() == sentences.size(), "there must be as many targets as sentences");
    check_targets(targets, start);
    {
      nb::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex_);
      FloatMode mode;
      const Watch watch(model_.ops(), seen);
      if (targets.empty())
        model_.encode(sentences);
      else
        subbyte::walk(model_, sentences, targets, start);
    }
    std::vector<Out> arrays;
    for (const std::string& name : names) {
      std::vector<float>& rows = seen[matrices_[name].get()];
      const size_t cols = matrices_[name]->cols(), count = rows.size() / cols;
      arrays.push_back(to_numpy(std::move(rows), {count, cols}));
    }
    return arrays;
  }

  // Logits of every position of `target` (which begins with the start token), forced.
  Out logits(const std::vector<uint32_t>& source, const std::vector<uint32_t>& target) {
    check({source});
    const size_t vocabulary = model_.config().vocabulary;
    check_target(target);
    std::vector<float> all;
    {
      nb::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex_);
      FloatMode mode;
      all = forced_logits(model_, source, target);
    }
    return to_numpy(std::move(all), {target.size(), vocabulary});
  }

  std::string isa() { return model_.ops().kernels().isa; }
  size_t threads() { return model_.ops().threads().count(); }
  size_t weight_bytes() const {
    std::set<const Matrix*> counted;  // tied ones once
    size_t total = model_.screen_bytes();
    for (const auto& [name, matrix] : matrices_)
      if (counted.insert(matrix.get()).second) total += matrix->bytes();
    return total;
  }

 private:
  void check(const std::vector<std::vector<uint32_t>>& sentences) const {
    for (const auto& sentence : sentences) {
      require(!sentence.empty() && sentence.size() <= model_.config().max_positions,
              "a sentence must have 1 to " + std::to_string(model_.config().max_positions) + " tokens");
      for (uint32_t token : sentence) require(token < source_vocabulary_, "a token is out of the source vocabulary");
    }
  }

  void check(const SearchOptions& options) const {
    require(options.prefix.size() + 2 <= options.max_length, "prefix: must be shorter than max_length, less 1");
    require(options.beam_size >= 1 && options.beam_size <= 256, "beam_size: must be 1 to 256");
    const bool draws = options.sample && options.beam_size == 1;
    require(options.num_hypotheses >= 1 && options.num_hypotheses <= (draws ? 256 : options.beam_size),
            "num_hypotheses: must be 1 to beam_size, or to 256 where tokens are drawn one after another");
    const auto positive = [](float value) { return value > 0.0f && value <= std::numeric_limits<float>::max(); };
    require(positive(options.repetition_penalty) && positive(options.temperature) && options.top_p > 0.0f &&
                options.top_p <= 1.0f && std::isfinite(options.length_penalty),
            "repetition_penalty and temperature must be above 0, top_p above 0 and at most 1, length_penalty finite");
    require(options.no_repeat_ngram <= 65536, "no_repeat_ngram: must be at most 65,536");
    const size_t vocabulary = model_.config().vocabulary;
    const auto known = [=](const std::vector<uint32_t>& tokens) {
      return std::all_of(tokens.begin(), tokens.end(), [=](uint32_t token) { return token < vocabulary; });
    };
    const auto last = static_cast<int64_t>(vocabulary);
    require(options.start < vocabulary && options.end < vocabulary && options.forced_end < last &&
                options.forced_begin < last && known(options.other_ends) && known(options.prefix),
            "special tokens and those of the prefix must be below the vocabulary size");
    require(known(options.banned) && known(options.banned_at_begin), "banned tokens must be below the vocabulary size");
    for (const auto& sequence : options.banned_sequences)
      require(sequence.size() >= 2 && known(sequence),
              "banned sequences must have two tokens or more, below the vocabulary size");
  }

  void check_targets(const std::vector<std::vector<uint32_t>>& targets, uint32_t start) const {
    require(start < model_.config().vocabulary, "the start token is out of the vocabulary");
    for (const auto& target : targets) check_target(target);
  }

  void check_target(const std::vector<uint32_t>& target) const {
    require(target.size() <= model_.config().max_positions,
            "a target must have at most " + std::to_string(model_.config().max_positions) + " tokens");
    for (uint32_t token : target)
      require(token < model_.config().vocabulary, "a token is out of the target vocabulary");
  }

  Marian model_;
  std::mutex mutex_;
  size_t source_vocabulary_;
  std::map<std::string, std::shared_ptr<const Matrix>> matrices_;
};

}  // namespace

void define_marian(nb::module_& m) {
  nb::class_<MarianSession>(m, "Marian", "A MarianMT model ready to run.")
      .def(
          "__init__",
          [](MarianSession* self, size_t d_model, size_t encoder_layers, size_t decoder_layers, size_t encoder_heads,
             size_t decoder_heads, size_t max_positions, size_t vocabulary, float embedding_scale, float norm_epsilon,
             const std::string& activation_function, const std::string& positions, bool recurrent, bool zero_start,
             const std::map<std::string, std::shared_ptr<Matrix>>& matrices,
             const std::map<std::string, In<float, 1>>& vectors, const std::string& isa, size_t threads,
             const std::string& activations) {
            require(d_model > 0 && encoder_heads > 0 && decoder_heads > 0 && d_model % encoder_heads == 0 &&
                        d_model % decoder_heads == 0 && max_positions > 0 && max_positions <= 65536,
                    "d_model must be divisible by the heads, and max_positions 1 to 65,536");
            Tensors tensors;
            for (const auto& [name, matrix] : matrices) tensors.matrices[name] = matrix;
            for (const auto& [name, array] : vectors)
              tensors.vectors[name].assign(array.data(), array.data() + array.shape(0));
            const MarianConfig config = {d_model,
                                         encoder_layers,
                                         decoder_layers,
                                         encoder_heads,
                                         decoder_heads,
                                         max_positions,
                                         vocabulary,
                                         embedding_scale,
                                         norm_epsilon,
                                         activation_of(activation_function),
                                         positions_of(positions),
                                         recurrent,
                                         zero_start};
            new (self) MarianSession(config, tensors, isa, threads, rounding_of(activations));
          },
          nb::kw_only(), "d_model"_a, "encoder_layers"_a, "decoder_layers"_a, "encoder_heads"_a, "decoder_heads"_a,
          "max_positions"_a, "vocabulary"_a, "embedding_scale"_a, "norm_epsilon"_a, "activation_function"_a,
          "positions"_a, "recurrent"_a, "zero_start"_a, "matrices"_a, "vectors"_a, "isa"_a, "threads"_a,
          "activations"_a)
      .def(
          "translate",
          [](MarianSession& self, const std::vector<std::vector<uint32_t>>& sentences,
             const std::vector<uint64_t>& numbers, size_t beam_size, size_t num_hypotheses, size_t max_length,
             float max_length_factor, size_t min_length, float length_penalty, const std::string& early_stopping,
             bool scores, bool renormalize, int64_t forced_end, uint32_t start, uint32_t end,
             const std::vector<uint32_t>& banned, const std::vector<uint32_t>& other_ends,
             const std::vector<uint32_t>& prefix, int64_t forced_begin, const std::vector<uint32_t>& banned_at_begin,
             const std::vector<std::vector<uint32_t>>& banned_sequences, float repetition_penalty,
             size_t no_repeat_ngram, bool sample, float temperature, size_t top_k, float top_p, uint64_t seed) {
            const SearchOptions options = {beam_size,
                                           num_hypotheses,
                                           max_length,
                                           max_length_factor,
                                           min_length,
                                           length_penalty,
                                           early_stopping_of(early_stopping),
                                           scores,
                                           renormalize,
                                           forced_end,
                                           start,
                                           end,
                                           banned,
                                           other_ends,
                                           prefix,
                                           forced_begin,
                                           banned_at_begin,
                                           banned_sequences,
                                           repetition_penalty,
                                           no_repeat_ngram,
                                           sample,
                                           temperature,
                                           top_k,
                                           top_p,
                                           seed};
            std::vector<std::vector<std::pair<std::vector<uint32_t>, float>>> out;
            for (auto& hypotheses : self.translate(sentences, numbers, options)) {
              out.emplace_back();
              for (Hypothesis& h : hypotheses) out.back().emplace_back(std::move(h.tokens), h.score);
            }
            return out;
          },
          "sentences"_a, "numbers"_a, nb::kw_only(), "beam_size"_a, "num_hypotheses"_a, "max_length"_a,
          "max_length_factor"_a, "min_length"_a, "length_penalty"_a, "early_stopping"_a, "scores"_a, "renormalize"_a,
          "forced_end"_a, "start"_a, "end"_a, "banned"_a, "other_ends"_a, "prefix"_a, "forced_begin"_a,
          "banned_at_begin"_a, "banned_sequences"_a, "repetition_penalty"_a, "no_repeat_ngram"_a, "sample"_a,
          "temperature"_a, "top_k"_a, "top_p"_a, "seed"_a,
          "Hypotheses (tokens, score) of every sentence, best first. numbers: of the sentences, for what is drawn.")
      .def("score", &MarianSession::score, "sentences"_a, "targets"_a, "start"_a,
           "Log-probability of every token of each target, forced.")
      .def("inputs", &MarianSession::inputs, "sentences"_a, "targets"_a, "start"_a, "names"_a,
           "What each of these matrices multiplied, [rows, columns], with the targets forced; without any, encoding.")
      .def("logits", &MarianSession::logits, "source"_a, "target"_a,
           "Logits [len(target), vocabulary] with the target forced; it begins with the start token.")
      .def_prop_ro("isa", &MarianSession::isa)
      .def_prop_ro("threads", &MarianSession::threads)
      .def_prop_ro("weight_bytes", &MarianSession::weight_bytes,
                   "Resident bytes of the matrices, tied ones once, and of the screen.");
}

}  // namespace subbyte::bindings
