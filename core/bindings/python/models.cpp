// Models for Python.
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/python/bindings.hpp"
#include "session/encoder.hpp"
#include "session/translation.hpp"

namespace subbyte::bindings {
namespace {

using Matrices = std::map<std::string, std::shared_ptr<Matrix>>;
using Vectors = std::map<std::string, In<float, 1>>;
using SettingsDict = std::map<std::string, nb::object>;
using Scores = std::vector<std::vector<float>>;
using Found = std::vector<std::vector<Hypothesis>>;

Tensors tensors_of(const Matrices& matrices, const Vectors& vectors) {
  Tensors tensors;
  for (const auto& [name, matrix] : matrices) tensors.matrices[name] = matrix;
  for (const auto& [name, array] : vectors) tensors.vectors[name].assign(array.data(), array.data() + array.shape(0));
  return tensors;
}

Settings::Value value_of(nb::handle value) {
  if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
  if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
  if (nb::isinstance<nb::str>(value)) return nb::cast<std::string>(value);
  if (uint64_t whole; nb::try_cast(value, whole)) return whole;
  if (int64_t below; nb::try_cast(value, below)) return below;
  if (Settings::Tokens tokens; nb::try_cast(value, tokens)) return tokens;
  return nb::cast<std::vector<Settings::Tokens>>(value);
}

Settings settings_of(const SettingsDict& dict) {
  Settings settings;
  for (const auto& [name, value] : dict) settings.set(name, value_of(value));
  return settings;
}

// Answers of models as Python gets them.
Scores to_python(Scores scores) { return scores; }
Out<float> to_python(Table table) { return to_numpy(std::move(table.values), {table.rows, table.cols}); }

std::vector<Out<float>> to_python(std::vector<Table> tables) {
  std::vector<Out<float>> arrays;
  for (Table& table : tables) arrays.push_back(to_python(std::move(table)));
  return arrays;
}

auto to_python(Found found) {
  std::vector<std::vector<std::pair<std::vector<uint32_t>, float>>> out;
  for (auto& hypotheses : found) {
    out.emplace_back();
    for (Hypothesis& h : hypotheses) out.back().emplace_back(std::move(h.tokens), h.score);
  }
  return out;
}

// What f() makes while others have the interpreter.
template <class F>
auto unlocked(const F& f) {
  nb::gil_scoped_release release;
  return made(f());
}

// A method of a model as Python calls it.
template <class Model, class Answer, class... Given>
auto method(Result<Answer> (Model::*of_model)(Given...)) {
  return [of_model](Model& self, Given... given) {
    return to_python(unlocked([&] { return (self.*of_model)(given...); }));
  };
}

void define_translation(nb::module_& m) {
  using Model = TranslationSession;
  nb::class_<Model>(m, "Translation", "A translation model ready to run.")
      .def(nb::new_([](const SettingsDict& settings, const Matrices& matrices, const Vectors& vectors,
                       const std::string& isa, size_t threads, const std::string& activations) {
             return made(Model::make(settings_of(settings), tensors_of(matrices, vectors),
                                     made(runtime_of(isa, threads, activations))));
           }),
           "settings"_a, "matrices"_a, "vectors"_a, nb::kw_only(), "isa"_a, "threads"_a, "activations"_a,
           "settings: those of TranslationConfig in C++, by name.")
      .def(
          "translate",
          [](Model& self, const Ids& sentences, const std::vector<uint64_t>& numbers, const SettingsDict& options) {
            const Settings given = settings_of(options);
            return to_python(unlocked([&] { return self.translate(sentences, numbers, given); }));
          },
          "sentences"_a, "numbers"_a, "options"_a,
          "Hypotheses (tokens, score) of every sentence, best first. numbers: of the sentences, for what is drawn; "
          "options: those of SearchOptions in C++, by name.")
      .def("score", method(&Model::score), "sentences"_a, "targets"_a, "start"_a,
           "Log-probability of every token of each target, forced.")
      .def("inputs", method(&Model::inputs), "sentences"_a, "targets"_a, "start"_a, "names"_a,
           "What each of these matrices multiplied, [rows, columns], with the targets forced; without any, encoding.")
      .def("logits", method(&Model::logits), "source"_a, "target"_a,
           "Logits [len(target), vocabulary] with the target forced; it begins with the start token.")
      .def_prop_ro("isa", &Model::isa)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("weight_bytes", &Model::weight_bytes,
                   "Resident bytes of the matrices, tied ones once, and of the screen.");
}

void define_encoder(nb::module_& m) {
  using Model = EncoderSession;
  nb::class_<Model>(m, "Encoder", "An encoder of texts ready to run.")
      .def(nb::new_([](const SettingsDict& settings, const Matrices& matrices, const Vectors& vectors,
                       const std::map<std::string, GridArrays>& grids, const std::vector<std::string>& operands,
                       const std::map<std::string, size_t>& rotations, const std::string& isa, size_t threads,
                       const std::string& activations) {
             std::map<std::string, Grid> checked;
             for (const auto& [name, arrays] : grids) checked[name] = grid_of(name, arrays);
             for (const std::string& name : operands) checked.at(name).operand = true;
             return made(Model::make(settings_of(settings), tensors_of(matrices, vectors), checked, rotations,
                                     made(runtime_of(isa, threads, activations))));
           }),
           "settings"_a, "matrices"_a, "vectors"_a, "grids"_a, "operands"_a, "rotations"_a, nb::kw_only(), "isa"_a,
           "threads"_a, "activations"_a, "settings: those of EncoderConfig in C++, by name.")
      .def("states", method(&Model::states), "tokens"_a, "types"_a,
           "The last layer's values of all tokens, [tokens, hidden], one text behind the other.")
      .def(
          "pooled",
          [](Model& self, const Ids& tokens, const Ids& types, const std::string& pooling) {
            const Pooling kind = made(pooling_of(pooling));
            return to_python(unlocked([&] { return self.pooled(tokens, types, kind); }));
          },
          "tokens"_a, "types"_a, "pooling"_a, "One vector a text, [texts, hidden].")
      .def("logits", method(&Model::logits), "tokens"_a, "types"_a, "Logits [texts, labels].")
      .def("observe", method(&Model::observe), "tokens"_a, "types"_a, "names"_a,
           "The values of points before they are rounded, each as one run of values, [values, 1].")
      .def("inputs", method(&Model::inputs), "tokens"_a, "types"_a, "names"_a,
           "What each of these matrices multiplied, [rows, columns].")
      .def_prop_ro("isa", &Model::isa)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("weight_bytes", &Model::weight_bytes,
                   "Resident bytes of the matrices, and of what was folded for inputs on grids.");
}

}  // namespace

void define_models(nb::module_& m) {
  define_translation(m);
  define_encoder(m);
}

}  // namespace subbyte::bindings
