#include "session/session.hpp"

#include <set>

#include "kernels/dispatch.hpp"

namespace subbyte {

Result<Rounding> rounding_of(const std::string& activations) {
  return by_name<Rounding>("activations", activations, {{"int8", Rounding::int8}, {"float32", Rounding::none}});
}

Result<Activation> activation_of(const std::string& name) { return by_name("activation", name, kActivations); }

Result<Runtime> runtime_of(const std::string& isa, size_t threads, const std::string& activations) {
  auto kernels = kernels_for(isa);
  if (!kernels) return kernels.fault();
  auto rounding = rounding_of(activations);
  if (!rounding) return rounding.fault();
  return Runtime{*kernels, threads, *rounding};
}

size_t Session::matrix_bytes() const {
  std::set<const Matrix*> counted;
  size_t total = 0;
  for (const auto& [name, matrix] : matrices_)
    if (counted.insert(matrix.get()).second) total += matrix->bytes();
  return total;
}

}  // namespace subbyte
