// What the bindings share: arrays as Python gives and gets them, names as it says them, and the parts of the module.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/dispatch.hpp"
#include "session/session.hpp"
#include "weights/grid.hpp"

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

inline Out to_numpy(Table table) { return to_numpy(std::move(table.values), {table.rows, table.cols}); }

inline std::vector<Out> to_numpy(std::vector<Table> tables) {
  std::vector<Out> arrays;
  for (Table& table : tables) arrays.push_back(to_numpy(std::move(table)));
  return arrays;
}

// What f() makes while others have the interpreter.
template <class F>
auto unlocked(const F& f) {
  nb::gil_scoped_release release;
  return made(f());
}

using Matrices = std::map<std::string, std::shared_ptr<Matrix>>;
using Vectors = std::map<std::string, In<float, 1>>;

inline Tensors tensors_of(const Matrices& matrices, const Vectors& vectors) {
  Tensors tensors;
  for (const auto& [name, matrix] : matrices) tensors.matrices[name] = matrix;
  for (const auto& [name, array] : vectors) tensors.vectors[name].assign(array.data(), array.data() + array.shape(0));
  return tensors;
}

using SettingsDict = std::map<std::string, nb::object>;
Settings settings_of(const SettingsDict& dict);  // module.cpp

using GridArrays = std::tuple<size_t, std::vector<float>, std::vector<float>, float>;  // bits, scale, zero, limit

inline Grid grid_of(const std::string& name, const GridArrays& arrays) {
  const auto& [bits, scale, zero, limit] = arrays;
  return made(subbyte::grid_of(name, bits, scale, zero, limit));
}

void define_matrices(nb::module_& m);     // matrices.cpp
void define_operations(nb::module_& m);   // operations.cpp
void define_translation(nb::module_& m);  // translation.cpp
void define_encoder(nb::module_& m);      // encoder.cpp

}  // namespace subbyte::bindings
