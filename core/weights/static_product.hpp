// A matrix whose inputs are rounded to a grid that was fixed beforehand, folded so that products stay those of int8
// codes (Bondarenko et al. 2021; see docs/activations.md):
//   sum over k of w[row, k] * s[g] * (c[k] - z[g])
//     = sum over g of (s[g] * scale[row]) * (sum over k in g of level[row, k] * c[k])
//       - sum over g of s[g] * z[g] * (sum over k in g of w[row, k])
// The last term is a constant, which goes into the bias; with several groups, s[g] goes into the scales.
#pragma once
#include <memory>
#include <vector>

#include "weights/grid.hpp"
#include "weights/weights.hpp"

namespace subbyte {

class StaticProduct {
 public:
  // Neither matrix nor grid are copied, and must live as long. Products of one grid share the codes of their inputs.
  // The groups of the grid must be a multiple of 16 columns wide, and rows must have one scale, if there are several.
  static Result<std::unique_ptr<StaticProduct>> of(const Matrix& w, const std::vector<float>& bias, const Grid& grid);

  const Grid& grid() const { return *grid_; }
  const Matrix& matrix() const { return *matrix_; }
  // Groups of inputs whose codes are summed: those of the grid, or else those of the weights.
  size_t groups() const { return parts_.front().packed.groups; }
  const std::vector<Matrix::Part>& parts() const { return parts_; }
  const float* bias() const { return bias_.data(); }
  // What a code of an input counts, beside the scales: the grid's own scale, or 1 where that was folded.
  float x_scale() const { return grid_->groups.size() == 1 ? grid_->groups[0].scale : 1.0f; }
  size_t bytes() const;  // resident, beside the matrix

 private:
  StaticProduct(const Matrix& w, const std::vector<float>& bias, const Grid& grid);

  struct Folded {
    Buffer<float> scale;
    Buffer<int8_t> zero;
    Buffer<uint8_t> alphas;
  };

  const Grid* grid_;
  const Matrix* matrix_;
  std::vector<float> bias_;
  std::vector<Folded> folded_;
  std::vector<Matrix::Part> parts_;
};

}  // namespace subbyte
