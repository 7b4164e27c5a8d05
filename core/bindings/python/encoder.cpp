// An encoder for Python.
#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/python/bindings.hpp"
#include "session/encoder.hpp"

namespace subbyte::bindings {

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
      .def(
          "states",
          [](Model& self, const Ids& tokens, const Ids& types) {
            return to_numpy(unlocked([&] { return self.states(tokens, types); }));
          },
          "tokens"_a, "types"_a, "The last layer's values of all tokens, [tokens, hidden], one text behind the other.")
      .def(
          "pooled",
          [](Model& self, const Ids& tokens, const Ids& types, const std::string& pooling) {
            const Pooling kind = made(pooling_of(pooling));
            return to_numpy(unlocked([&] { return self.pooled(tokens, types, kind); }));
          },
          "tokens"_a, "types"_a, "pooling"_a, "One vector a text, [texts, hidden].")
      .def(
          "logits",
          [](Model& self, const Ids& tokens, const Ids& types) {
            return to_numpy(unlocked([&] { return self.logits(tokens, types); }));
          },
          "tokens"_a, "types"_a, "Logits [texts, labels].")
      .def(
          "observe",
          [](Model& self, const Ids& tokens, const Ids& types, const std::vector<std::string>& names) {
            return to_numpy(unlocked([&] { return self.observe(tokens, types, names); }));
          },
          "tokens"_a, "types"_a, "names"_a,
          "The values of points before they are rounded, each as one run of values, [values, 1].")
      .def(
          "inputs",
          [](Model& self, const Ids& tokens, const Ids& types, const std::vector<std::string>& names) {
            return to_numpy(unlocked([&] { return self.inputs(tokens, types, names); }));
          },
          "tokens"_a, "types"_a, "names"_a, "What each of these matrices multiplied, [rows, columns].")
      .def_prop_ro("isa", &Model::isa)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("weight_bytes", &Model::weight_bytes,
                   "Resident bytes of the matrices, and of what was folded for inputs on grids.");
}

}  // namespace subbyte::bindings
