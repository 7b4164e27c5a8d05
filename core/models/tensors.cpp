#include "models/tensors.hpp"

#include <stdexcept>

namespace subbyte {

std::shared_ptr<const Matrix> TensorReader::matrix(const std::string& name, size_t rows, size_t cols) const {
  const auto found = tensors_.matrices.find(name);
  if (found == tensors_.matrices.end()) throw std::invalid_argument(name + ": no such matrix");
  if ((rows && found->second->rows() != rows) || found->second->cols() != cols)
    throw std::invalid_argument(name + ": another shape than the configuration says");
  return found->second;
}

std::vector<float> TensorReader::vector(const std::string& name, size_t size) const {
  const auto found = tensors_.vectors.find(name);
  if (found == tensors_.vectors.end()) throw std::invalid_argument(name + ": no such vector");
  if (found->second.size() != size) throw std::invalid_argument(name + ": another size than the configuration says");
  return found->second;
}

Linear TensorReader::linear(const std::string& name, size_t cols, size_t rows) const {
  auto weight = matrix(name + ".weight", rows, cols);
  const size_t outputs = weight->rows();
  return {std::move(weight), vector(name + ".bias", outputs)};
}

Norm TensorReader::norm(const std::string& name, size_t size) const {
  return {vector(name + ".weight", size), vector(name + ".bias", size)};
}

}  // namespace subbyte
