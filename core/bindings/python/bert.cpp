// An encoder in memory, and its calls.
#include "models/bert.hpp"

#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <mutex>
#include <optional>

#include "bindings/python/bindings.hpp"
#include "platform/cpu.hpp"

namespace subbyte::bindings {
namespace {

using Ids = std::vector<std::vector<uint32_t>>;

Pooling pooling_of(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "cls") return Pooling::cls;
  if (name == "max") return Pooling::max;
  throw std::invalid_argument("pooling: must be mean, cls or max, not \"" + name + "\"");
}

// A model and its working memory. One call at a time; others wait without holding the interpreter.
class BertSession {
 public:
  BertSession(const BertConfig& config, const Tensors& tensors, const std::map<std::string, Grid>& grids,
              const std::map<std::string, size_t>& rotations, const std::string& isa, size_t threads, Rounding rounding)
      : model_(config, tensors, grids, rotations, kernels_of(isa), threads, rounding), matrices_(tensors.matrices) {}

  Out states(const Ids& tokens, const Ids& types) {
    const size_t d = model_.config().hidden;
    std::vector<float> all = run(texts_of(tokens, types), [&](const std::vector<Text>& texts, const float* states) {
      size_t count = 0;
      for (const Text& text : texts) count += text.tokens.size();
      return std::vector<float>(states, states + count * d);
    });
    const size_t count = all.size() / d;
    return to_numpy(std::move(all), {count, d});
  }

  Out pooled(const Ids& tokens, const Ids& types, const std::string& pooling) {
    const Pooling kind = pooling_of(pooling);
    const size_t d = model_.config().hidden;
    return to_numpy(run(texts_of(tokens, types),
                        [&](const std::vector<Text>& texts, const float*) {
                          std::vector<float> out(texts.size() * d);
                          model_.pool(texts, kind, out.data());
                          return out;
                        }),
                    {tokens.size(), d});
  }

  Out logits(const Ids& tokens, const Ids& types) {
    const size_t labels = model_.config().labels;
    require(labels > 0, "this encoder has no classifier");
    return to_numpy(run(texts_of(tokens, types),
                        [&](const std::vector<Text>& texts, const float*) {
                          std::vector<float> out(texts.size() * labels);
                          model_.classify(texts, out.data());
                          return out;
                        }),
                    {tokens.size(), labels});
  }

  // What passed these points, each as one run of values.
  std::vector<Out> observe(const Ids& tokens, const Ids& types, const std::vector<std::string>& names) {
    std::map<std::string, std::vector<float>> seen;
    for (const std::string& name : names) {
      require(model_.point(name) != nullptr, name + ": there is no such point");
      seen[name];
    }
    watched(texts_of(tokens, types), [&](bool watch) {
      for (auto& [name, values] : seen) model_.point(name)->seen = watch ? &values : nullptr;
    });
    std::vector<Out> arrays;
    for (const std::string& name : names) arrays.push_back(to_numpy(seen[name], {seen[name].size()}));
    return arrays;
  }

  // The rows that each of these matrices multiplied, [rows, columns].
  std::vector<Out> inputs(const Ids& tokens, const Ids& types, const std::vector<std::string>& names) {
    Seen seen;
    for (const std::string& name : names) {
      require(matrices_.count(name) != 0, name + ": no such matrix");
      require(seen.emplace(matrices_[name].get(), std::vector<float>()).second, name + ": asked for twice");
    }
    std::optional<Watch> watching;
    watched(texts_of(tokens, types), [&](bool watch) {
      if (watch)
        watching.emplace(model_.ops(), seen);
      else
        watching.reset();
    });
    std::vector<Out> arrays;
    for (const std::string& name : names) {
      std::vector<float>& rows = seen[matrices_[name].get()];
      const size_t cols = matrices_[name]->cols(), count = rows.size() / cols;
      arrays.push_back(to_numpy(std::move(rows), {count, cols}));
    }
    return arrays;
  }

  std::string isa() { return model_.ops().kernels().isa; }
  size_t threads() { return model_.ops().threads().count(); }
  size_t weight_bytes() const {
    size_t total = model_.folded_bytes();
    for (const auto& [name, matrix] : matrices_) total += matrix->bytes();
    return total;
  }

 private:
  // Texts that were checked.
  std::vector<Text> texts_of(const Ids& tokens, const Ids& types) const {
    const BertConfig& config = model_.config();
    require(types.empty() || types.size() == tokens.size(), "there must be as many lists of types as texts");
    std::vector<Text> texts(tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      require(!tokens[i].empty() && tokens[i].size() <= model_.longest(),
              "a text must have 1 to " + std::to_string(model_.longest()) + " tokens");
      for (uint32_t token : tokens[i]) require(token < config.vocabulary, "a token is out of the vocabulary");
      texts[i].tokens = tokens[i];
      if (types.empty() || !config.types) continue;
      require(types[i].size() == tokens[i].size(), "a text must have as many types as tokens");
      for (uint32_t type : types[i]) require(type < config.types, "a token type is out of range");
      texts[i].types = types[i];
    }
    return texts;
  }

  // What `answer` makes of the states of the texts.
  template <class F>
  std::vector<float> run(const std::vector<Text>& texts, const F& answer) {
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(mutex_);
    const FloatMode mode;
    return answer(texts, model_.encode(texts));
  }

  // One pass through all there is to see, the classifier too; `watch` turns watching on and off.
  template <class F>
  void watched(const std::vector<Text>& texts, const F& watch) {
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(mutex_);
    const FloatMode mode;
    watch(true);
    try {
      model_.encode(texts);
      std::vector<float> logits(texts.size() * model_.config().labels);
      if (model_.config().labels) model_.classify(texts, logits.data());
    } catch (...) {
      watch(false);
      throw;
    }
    watch(false);
  }

  Bert model_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Matrix>> matrices_;
};

}  // namespace

void define_bert(nb::module_& m) {
  nb::class_<BertSession>(m, "Bert", "An encoder of BERT's family ready to run.")
      .def(
          "__init__",
          [](BertSession* self, size_t hidden, size_t layers, size_t heads, size_t vocabulary, size_t positions,
             size_t first_position, size_t types, size_t labels, float norm_epsilon, const std::string& activation,
             const std::string& pooler_activation, const std::map<std::string, std::shared_ptr<Matrix>>& matrices,
             const std::map<std::string, In<float, 1>>& vectors, const std::map<std::string, GridArrays>& grids,
             const std::vector<std::string>& operands, const std::map<std::string, size_t>& rotations,
             const std::string& isa, size_t threads, const std::string& activations) {
            require(hidden > 0 && heads > 0 && hidden % heads == 0, "hidden must be divisible by the heads");
            require(first_position < positions, "first_position must be below positions");
            Tensors tensors;
            for (const auto& [name, matrix] : matrices) tensors.matrices[name] = matrix;
            for (const auto& [name, array] : vectors)
              tensors.vectors[name].assign(array.data(), array.data() + array.shape(0));
            std::map<std::string, Grid> checked;
            for (const auto& [name, arrays] : grids) checked[name] = grid_of(name, arrays);
            for (const std::string& name : operands) checked.at(name).operand = true;
            const BertConfig config = {hidden,
                                       layers,
                                       heads,
                                       vocabulary,
                                       positions,
                                       first_position,
                                       types,
                                       labels,
                                       norm_epsilon,
                                       activation_of(activation),
                                       activation_of(pooler_activation)};
            new (self) BertSession(config, tensors, checked, rotations, isa, threads, rounding_of(activations));
          },
          nb::kw_only(), "hidden"_a, "layers"_a, "heads"_a, "vocabulary"_a, "positions"_a, "first_position"_a,
          "types"_a, "labels"_a, "norm_epsilon"_a, "activation"_a, "pooler_activation"_a, "matrices"_a, "vectors"_a,
          "grids"_a, "operands"_a, "rotations"_a, "isa"_a, "threads"_a, "activations"_a)
      .def("states", &BertSession::states, "tokens"_a, "types"_a,
           "The last layer's values of all tokens, [tokens, hidden], one text behind the other.")
      .def("pooled", &BertSession::pooled, "tokens"_a, "types"_a, "pooling"_a, "One vector a text, [texts, hidden].")
      .def("logits", &BertSession::logits, "tokens"_a, "types"_a, "Logits [texts, labels].")
      .def("observe", &BertSession::observe, "tokens"_a, "types"_a, "names"_a,
           "The values of points before they are rounded, each as one run of values.")
      .def("inputs", &BertSession::inputs, "tokens"_a, "types"_a, "names"_a,
           "What each of these matrices multiplied, [rows, columns].")
      .def_prop_ro("isa", &BertSession::isa)
      .def_prop_ro("threads", &BertSession::threads)
      .def_prop_ro("weight_bytes", &BertSession::weight_bytes,
                   "Resident bytes of the matrices, and of what was folded for inputs on grids.");
}

}  // namespace subbyte::bindings
