// A translation model for Python.
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/python/bindings.hpp"
#include "session/translation.hpp"

namespace subbyte::bindings {

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
            std::vector<std::vector<std::pair<std::vector<uint32_t>, float>>> out;
            for (auto& hypotheses : unlocked([&] { return self.translate(sentences, numbers, given); })) {
              out.emplace_back();
              for (Hypothesis& h : hypotheses) out.back().emplace_back(std::move(h.tokens), h.score);
            }
            return out;
          },
          "sentences"_a, "numbers"_a, "options"_a,
          "Hypotheses (tokens, score) of every sentence, best first. numbers: of the sentences, for what is drawn; "
          "options: those of SearchOptions in C++, by name.")
      .def(
          "score",
          [](Model& self, const Ids& sentences, const Ids& targets, uint32_t start) {
            return unlocked([&] { return self.score(sentences, targets, start); });
          },
          "sentences"_a, "targets"_a, "start"_a, "Log-probability of every token of each target, forced.")
      .def(
          "inputs",
          [](Model& self, const Ids& sentences, const Ids& targets, uint32_t start,
             const std::vector<std::string>& names) {
            return to_numpy(unlocked([&] { return self.inputs(sentences, targets, start, names); }));
          },
          "sentences"_a, "targets"_a, "start"_a, "names"_a,
          "What each of these matrices multiplied, [rows, columns], with the targets forced; without any, encoding.")
      .def(
          "logits",
          [](Model& self, const std::vector<uint32_t>& source, const std::vector<uint32_t>& target) {
            return to_numpy(unlocked([&] { return self.logits(source, target); }));
          },
          "source"_a, "target"_a,
          "Logits [len(target), vocabulary] with the target forced; it begins with the start token.")
      .def_prop_ro("isa", &Model::isa)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("weight_bytes", &Model::weight_bytes,
                   "Resident bytes of the matrices, tied ones once, and of the screen.");
}

}  // namespace subbyte::bindings
