#include "models/tensors.hpp"

namespace subbyte {

std::shared_ptr<const Matrix> TensorReader::matrix(const std::string& name, size_t rows, size_t cols) const {
  const auto found = tensors_.matrices.find(prefix_ + name);
  if (found == tensors_.matrices.end())
    note(name, "no such matrix");
  else if ((rows && found->second->rows() != rows) || found->second->cols() != cols)
    note(name, "another shape than the configuration says");
  else
    return found->second;
  return nullptr;
}

std::vector<float> TensorReader::vector(const std::string& name, size_t size) const {
  const auto found = tensors_.vectors.find(prefix_ + name);
  if (found == tensors_.vectors.end())
    note(name, "no such vector");
  else if (found->second.size() != size)
    note(name, "another size than the configuration says");
  else
    return found->second;
  return {};
}

Linear TensorReader::linear(const std::string& name, size_t cols, size_t rows) const {
  auto weight = matrix(name + ".weight", rows, cols);
  if (!weight) return {};
  const size_t outputs = weight->rows();
  return {std::move(weight), vector(name + ".bias", outputs)};
}

Norm TensorReader::norm(const std::string& name, size_t size, float epsilon) const {
  return {vector(name + ".weight", size), vector(name + ".bias", size), epsilon};
}

Fault fault_of(const std::vector<std::string>& faults) {
  std::string all;
  for (const std::string& fault : faults) all += (all.empty() ? "" : "; ") + fault;
  return Fault(all);
}

}  // namespace subbyte
