// What the bindings share: arrays as Python gives and gets them, faults as it raises them, and the parts of the module.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <tuple>
#include <vector>

#include "kernels/dispatch.hpp"
#include "weights/grid.hpp"

namespace subbyte::bindings {

namespace nb = nanobind;
using namespace nb::literals;

template <typename T, int dims>
using In = nb::ndarray<const T, nb::ndim<dims>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Out = nb::ndarray<nb::numpy, T>;

inline void require(bool ok, const std::string& what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class T>
T made(Result<T> result) {
  require(bool(result), result ? "" : result.fault().text());
  return std::move(*result);
}

inline const Kernels& kernels_of(const std::string& isa) { return *made(kernels_for(isa)); }

template <typename T>
Out<T> to_numpy(std::vector<T> values, std::vector<size_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return Out<T>(owned->data(), shape.size(), shape.data(), owner);
}

using GridArrays = std::tuple<size_t, std::vector<float>, std::vector<float>, float>;  // bits, scale, zero, limit

inline Grid grid_of(const std::string& name, const GridArrays& arrays) {
  const auto& [bits, scale, zero, limit] = arrays;
  return made(subbyte::grid_of(name, bits, scale, zero, limit));
}

void define_codes(nb::module_& m);       // codes.cpp
void define_matrices(nb::module_& m);    // matrices.cpp
void define_operations(nb::module_& m);  // operations.cpp
void define_models(nb::module_& m);      // models.cpp

}  // namespace subbyte::bindings
