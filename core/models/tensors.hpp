// The tensors a model is made of, taken by name and shape.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "platform/fault.hpp"
#include "weights/ops.hpp"

namespace subbyte {

// Tensors by the names of model.py's Model.
struct Tensors {
  std::map<std::string, std::shared_ptr<const Matrix>> matrices;
  std::map<std::string, std::vector<float>> vectors;
};

struct Linear {
  std::shared_ptr<const Matrix> weight;
  std::vector<float> bias;  // empty: none

  // y[i * stride + row]
  void run(Ops& ops, Inputs& x, float* y, size_t stride) const {
    ops.linear(*weight, x, bias.empty() ? nullptr : bias.data(), y, stride);
  }
};

struct Norm {
  std::vector<float> gamma, beta;
  float epsilon = 0.0f;

  // x = norm(x + added), m rows; `added` may be null.
  void run(Ops& ops, size_t m, const float* added, float* x) const {
    ops.layer_norm(x, added, gamma, beta, epsilon, m, x);
  }
};

// Takes tensors, and notes those that are missing or of another shape; what it gives in their place must not be run.
class TensorReader {
 public:
  TensorReader(const Tensors& tensors, std::vector<std::string>& faults, std::string prefix = "")
      : tensors_(tensors), faults_(faults), prefix_(std::move(prefix)) {}

  // A reader of what is called `prefix` and more.
  TensorReader within(const std::string& prefix) const { return {tensors_, faults_, prefix_ + prefix}; }

  // `rows` 0: as many as there are.
  std::shared_ptr<const Matrix> matrix(const std::string& name, size_t rows, size_t cols) const;
  std::vector<float> vector(const std::string& name, size_t size) const;
  bool has_vector(const std::string& name) const { return tensors_.vectors.count(prefix_ + name) != 0; }
  // NAME.weight and NAME.bias.
  Linear linear(const std::string& name, size_t cols, size_t rows = 0) const;
  Norm norm(const std::string& name, size_t size, float epsilon) const;

  void note(const std::string& name, const std::string& what) const { faults_.push_back(prefix_ + name + ": " + what); }

 private:
  const Tensors& tensors_;
  std::vector<std::string>& faults_;
  std::string prefix_;
};

// All of them in one; none: no fault.
Fault fault_of(const std::vector<std::string>& faults);

}  // namespace subbyte
