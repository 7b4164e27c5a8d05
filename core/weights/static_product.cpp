#include "weights/static_product.hpp"

#include <algorithm>

#include "kernels/layout.hpp"

namespace subbyte {

Result<std::unique_ptr<StaticProduct>> StaticProduct::of(const Matrix& w, const std::vector<float>& bias,
                                                         const Grid& grid) {
  const size_t groups = grid.groups.size();
  if (groups > 1 && (w.cols() % groups || w.cols() / groups % kTile || w.groups() > 1))
    return Fault("groups of inputs must be multiples of 16 columns, of weights with one scale a row");
  return std::unique_ptr<StaticProduct>(new StaticProduct(w, bias, grid));
}

StaticProduct::StaticProduct(const Matrix& w, const std::vector<float>& bias, const Grid& grid)
    : grid_(&grid), matrix_(&w), bias_(bias), parts_(w.parts()) {
  const size_t groups = grid.groups.size(), size = w.cols() / groups;
  bias_.resize(w.rows(), 0.0f);
  std::vector<float> row(w.cols());
  for (size_t r = 0; r < w.rows(); ++r) {
    w.row(r, row.data());
    double constant = 0.0;
    for (size_t g = 0; g < groups; ++g) {
      double sum = 0.0;
      for (size_t k = g * size; k < (g + 1) * size; ++k) sum += row[k];
      constant += static_cast<double>(grid.groups[g].scale) * grid.groups[g].zero * sum;
    }
    bias_[r] = static_cast<float>(bias_[r] - constant);
  }
  if (groups == 1) return;
  folded_.resize(parts_.size());
  for (size_t p = 0; p < parts_.size(); ++p) {
    Packed& packed = parts_[p].packed;
    const size_t padded = blocks_of(packed.rows) * kTile, alphas = padded * static_cast<size_t>(packed.width);
    Folded& own = folded_[p];
    own.scale.grow(groups * padded);
    if (packed.zero) own.zero.grow(groups * padded);
    if (packed.alphas) own.alphas.grow(groups * alphas);
    for (size_t g = 0; g < groups; ++g) {
      for (size_t r = 0; r < padded; ++r) own.scale.data()[g * padded + r] = packed.scale[r] * grid.groups[g].scale;
      if (packed.zero) std::copy_n(packed.zero, padded, own.zero.data() + g * padded);
      if (packed.alphas) std::copy_n(packed.alphas, alphas, own.alphas.data() + g * alphas);
    }
    packed.scale = own.scale.data();
    if (packed.zero) packed.zero = own.zero.data();
    if (packed.alphas) packed.alphas = own.alphas.data();
    packed.groups = groups;
  }
}

size_t StaticProduct::bytes() const {
  size_t total = bias_.size() * sizeof(float);
  for (const Folded& own : folded_) total += own.scale.bytes() + own.zero.bytes() + own.alphas.bytes();
  return total;
}

}  // namespace subbyte
