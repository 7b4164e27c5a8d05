// Operations on whole matrices of activations: they split work over threads and call kernels.
#pragma once
#include <map>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/layout.hpp"
#include "platform/threads.hpp"
#include "weights/grid.hpp"
#include "weights/static_product.hpp"
#include "weights/weights.hpp"

namespace subbyte {

// How a product rounds its inputs: not at all, or to int8 with one scale a row.
enum class Rounding { none, int8 };

// Rows of activations that several matrices multiply; their int8 form is made once, when first needed. What is
// multiplied is operand(x, factors, rotation): see Operand in kernels.hpp.
struct Inputs {
  const float* x;  // [m, cols]
  size_t m, cols;
  const float* factors = nullptr;  // [cols]
  size_t rotation = 1;
  size_t quantized_groups = 0;  // groups of x_sum as it stands; 0: not made yet
  const Grid* grid = nullptr;   // that the int8 form as it stands is of; null: one scale a row
};

// One row of inputs as an int8 product has it: x = scale * level.
struct Rounded {
  const int8_t* levels;  // [size]
  size_t size;           // with padding
  int32_t sum;           // of all levels
  float scale;
};

// The inputs that matrices multiplied, row behind row.
using Seen = std::map<const Matrix*, std::vector<float>>;

class Ops {
 public:
  Ops(const Kernels& kernels, size_t threads, Rounding rounding);

  const Kernels& kernels() const { return kernels_; }
  Threads& threads() { return threads_; }

  // y[i * y_stride + row] = x[i] . w[row] + bias[row]. Calls that share `inputs` must follow each other. Of no inputs
  // there are no outputs: nothing is done, here and in all that follows.
  void linear(const Matrix& w, Inputs& inputs, const float* bias, float* y, size_t y_stride);

  // The same with parts of a matrix, each one scale a row or all the same groups; inputs are rounded to int8.
  void linear(const std::vector<Matrix::Part>& parts, Inputs& inputs, const float* bias, float* y, size_t y_stride);

  // The same with inputs on a grid: their codes are made, once for products that share `inputs` and a grid.
  void linear(const StaticProduct& w, Inputs& inputs, float* y, size_t y_stride);

  // Each of m rows of n values becomes what its codes on the grid stand for.
  void round(const Grid& grid, size_t m, size_t n, float* x);

  // What `linear` does for those who watch the inputs of a matrix; with a grid, they see what inputs become on it.
  void note(const Matrix& w, Inputs& inputs, const Grid* grid = nullptr);

  // Makes x what is multiplied, with no factors and no rotation any more; valid until the next call.
  void settle(Inputs& inputs);

  // What a product made of row `i` of its inputs, if there was one group; valid until the next product.
  Rounded rounded(const Inputs& inputs, size_t i) const;

  // y = layer norm of (x + residual), [m, n].
  void layer_norm(const float* x, const float* residual, const std::vector<float>& gamma,
                  const std::vector<float>& beta, float eps, size_t m, float* y);

  void activate(Activation kind, float* x, size_t n);

  // f(row, worker) for every row, over threads where rows * work (in multiply-adds) is worth it.
  template <class F>
  void for_rows(size_t rows, size_t work, const F& f) {
    const size_t chunks = chunks_for(rows, rows * work);
    if (chunks == 1) {
      for (size_t row = 0; row < rows; ++row) f(row, size_t{0});
      return;
    }
    threads_.run(chunks, [&](size_t chunk, size_t worker) {
      for (size_t row = rows * chunk / chunks; row < rows * (chunk + 1) / chunks; ++row) f(row, worker);
    });
  }

 private:
  friend class Watch;
  size_t chunks_for(size_t units, size_t work) const;
  const float* operand_row(const Inputs& inputs, size_t row, size_t worker);
  void quantize(Inputs& inputs, size_t groups);
  void quantize(Inputs& inputs, const Grid& grid, size_t groups);
  void products(const std::vector<Matrix::Part>& parts, const Inputs& inputs, const Buffer<int8_t>& x,
                const Buffer<int32_t>& x_sum, const float* x_scale, const float* bias, float* y, size_t y_stride);

  // f(first block, behind the last, worker) over the row blocks of a product.
  template <class F>
  void split(size_t rows, size_t work, const F& f) {
    const size_t blocks = blocks_of(rows), chunks = chunks_for(blocks, work);
    if (chunks == 1) return f(size_t{0}, blocks, size_t{0});
    threads_.run(chunks, [&](size_t chunk, size_t worker) {
      f(blocks * chunk / chunks, blocks * (chunk + 1) / chunks, worker);
    });
  }

  const Kernels& kernels_;
  Threads threads_;
  Rounding rounding_;
  Seen* seen_ = nullptr;
  Buffer<int8_t> x_, low_;
  Buffer<float> x_scale_, low_product_;
  Buffer<int32_t> x_sum_, low_sum_;
  Buffer<float> settled_;
  std::vector<Buffer<uint8_t>> scratch_;  // one a worker
  std::vector<Buffer<float>> row_;        // one a worker
};

// While it lives, `linear` appends the inputs of the matrices in `seen` to their vectors.
class Watch {
 public:
  Watch(Ops& ops, Seen& seen) : ops_(ops) { ops_.seen_ = &seen; }
  ~Watch() { ops_.seen_ = nullptr; }

 private:
  Ops& ops_;
};

}  // namespace subbyte
