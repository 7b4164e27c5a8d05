// Python sees arrays and names; nothing here computes. Every shape is checked before a pointer is used.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bindings/python/bindings.hpp"

using namespace subbyte;
using namespace subbyte::bindings;

NB_MODULE(_core, m) {
  m.doc() = "The C++ engine: matrices, kernels, models. Use subbyte.engine.";

  m.def(
      "isas",
      [] {
        std::vector<std::tuple<std::string, bool, std::string>> list;
        for (const Isa& isa : isas()) list.emplace_back(isa.name, isa.runs, isa.cpuinfo);
        return list;
      },
      "Instruction sets compiled in, best first: name, whether this machine runs it, its flag in /proc/cpuinfo.");

  m.def(
      "few_inputs", [](const std::string& isa) { return kernels_of(isa).few_inputs; }, "isa"_a,
      "Up to so many inputs, int8 products unpack codes in registers; above, once a block into the cache.");
  define_codes(m);
  define_matrices(m);
  define_operations(m);
  define_models(m);
}
