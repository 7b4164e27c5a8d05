// Which output of a matrix is the greatest, found without reading the matrix whole.
//
// Beside the levels of each row stands a coarse copy of them, kCoarse bits a level, by a table for rows that are alike,
// and the length of what it leaves out. The coarse products say what each output is to within that length times the
// length of x (Cauchy-Schwarz); only rows that may still be the greatest are read and multiplied as they are. So the
// answer is that of the whole product, and a token of greedy search costs half the bytes.
#pragma once
#include <memory>
#include <vector>

#include "weights/ops.hpp"

namespace subbyte {

constexpr uint32_t kNoOutput = ~uint32_t{0};

class Screen {
 public:
  // Null where it saves little or its bounds do not hold: with most rows narrower than 8 bits, with several
  // scales a row, or with scales or biases beyond reason. The screen reads matrix and bias [rows] as long as it lives.
  static std::unique_ptr<Screen> of(const Matrix& w, const std::vector<float>& bias);

  size_t bytes() const;  // resident, without the matrix

  // outputs[i] = the one with the greatest x[i] . w[output] + bias[output] of those that are not banned, the lowest of
  // equals, and kNoOutput if all are banned. To the bit what Ops::linear with Rounding::int8 gives. False: the bounds
  // say too little about these inputs, and nothing was found.
  bool greatest(Ops& ops, Inputs& inputs, const std::vector<uint32_t>& banned, std::vector<uint32_t>& outputs);

  size_t candidates() const { return candidates_.size(); }  // of the last input of the last call

 private:
  struct Coarse {
    Buffer<uint8_t> codes;
    Buffer<int8_t> levels;
  };
  struct Place {
    uint32_t part, row;
  };

  Screen(const Matrix& w, const std::vector<float>& bias);
  void cut(size_t part);
  void coarsen(const Matrix::Part& part);
  bool choose(const Kernels& kernels, const Rounded& x, const float* y, uint32_t& output);
  float exact(const Rounded& x, const float* y, uint32_t output) const;

  const Matrix& matrix_;
  const std::vector<float>& bias_;
  std::vector<Coarse> coarse_;
  std::vector<uint32_t> in_order_;   // [outputs]
  std::vector<Matrix::Part> parts_;  // the matrix's; in the place of one of width 8, pieces with coarse codes
  std::vector<Place> places_;        // [outputs]
  std::vector<float> slack_;         // [outputs] what rounding may do to the bias
  std::vector<float> reach_;         // [outputs] |scale| times the length of what coarse levels leave out; 0: nothing
  std::vector<float> run_slack_, run_reach_;  // the largest of each run
  float largest_scale_ = 0.0f;
  Buffer<float> y_;  // [inputs, outputs] coarse
  std::vector<float> maxima_;
  std::vector<uint32_t> candidates_;
};

}  // namespace subbyte
