// The tensors a model is made of, taken by name and shape.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weights/weights.hpp"

namespace subbyte {

// Tensors by the names of model.py's Model.
struct Tensors {
  std::map<std::string, std::shared_ptr<const Matrix>> matrices;
  std::map<std::string, std::vector<float>> vectors;
};

struct Linear {
  std::shared_ptr<const Matrix> weight;
  std::vector<float> bias;
};

struct Norm {
  std::vector<float> gamma, beta;
};

// Throws std::invalid_argument naming a tensor that is missing or of another shape.
class TensorReader {
 public:
  explicit TensorReader(const Tensors& tensors) : tensors_(tensors) {}

  // `rows` 0: as many as there are.
  std::shared_ptr<const Matrix> matrix(const std::string& name, size_t rows, size_t cols) const;
  std::vector<float> vector(const std::string& name, size_t size) const;
  bool has_vector(const std::string& name) const { return tensors_.vectors.count(name) != 0; }
  // NAME.weight and NAME.bias.
  Linear linear(const std::string& name, size_t cols, size_t rows = 0) const;
  Norm norm(const std::string& name, size_t size) const;

 private:
  const Tensors& tensors_;
};

}  // namespace subbyte
