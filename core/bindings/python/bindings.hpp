// What the bindings share: arrays as Python gives and gets them, names as it says them, and the parts of the module.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <tuple>
#include <vector>

#include "kernels/dispatch.hpp"
#include "weights/grid.hpp"
#include "weights/ops.hpp"

namespace subbyte::bindings {

namespace nb = nanobind;
using namespace nb::literals;

template <typename T, int dims>
using In = nb::ndarray<const T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;
using Out = nb::ndarray<nb::numpy, float>;

inline void require(bool ok, const std::string& what) {
  if (!ok) throw std::invalid_argument(what);
}

// Faults are raised.
inline void check(const Fault& fault) {
  if (fault) throw std::invalid_argument(fault.text());
}

template <class T>
T made(Result<T> result) {
  if (!result) check(result.fault());
  return std::move(*result);
}

inline const Kernels& kernels_of(const std::string& isa) { return *made(kernels_for(isa)); }

inline Out to_numpy(std::vector<float> values, std::vector<size_t> shape) {
  auto* owned = new std::vector<float>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
  return Out(owned->data(), shape.size(), shape.data(), owner);
}

inline Activation activation_of(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "swish" || name == "silu") return Activation::swish;
  if (name == "gelu") return Activation::gelu;
  if (name == "tanh") return Activation::tanh;
  throw std::invalid_argument("activation_function \"" + name + "\" is not supported; relu, swish and gelu are");
}

inline Rounding rounding_of(const std::string& activations) {
  if (activations == "int8") return Rounding::int8;
  if (activations == "float32") return Rounding::none;
  throw std::invalid_argument("activations: must be int8 or float32, not \"" + activations + "\"");
}

using GridArrays = std::tuple<size_t, std::vector<float>, std::vector<float>, float>;  // bits, scale, zero, limit

inline Grid grid_of(const std::string& name, const GridArrays& arrays) {
  const auto& [bits, scale, zero, limit] = arrays;
  require(!scale.empty() && scale.size() == zero.size() && limit >= 1 && limit <= (bits == 16 ? 32512.0f : 127.0f),
          name + ": a grid needs as many zeros as scales, and codes of 127 at most, or 32,512 at 16 bits");
  Grid grid;
  grid.bits = bits;
  for (size_t i = 0; i < scale.size(); ++i) grid.groups.push_back({1.0f / scale[i], scale[i], zero[i], limit});
  return grid;
}

void define_matrices(nb::module_& m);    // matrices.cpp
void define_operations(nb::module_& m);  // operations.cpp
void define_marian(nb::module_& m);      // marian.cpp
void define_bert(nb::module_& m);        // bert.cpp

}  // namespace subbyte::bindings
