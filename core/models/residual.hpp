// What closes every block of a layer: x = norm(x + added).
#pragma once
#include "models/product.hpp"

namespace subbyte {

struct Residual {
  Norm norm;
  Point added = {}, sum = {}, output = {};  // what the block adds, the sum before the norm, and what comes of it

  // Changes m rows of x, and what the block made.
  void run(Ops& ops, size_t m, float* of_block, float* x) {
    const size_t d = norm.gamma.size();
    added.pass(ops, m, d, of_block);
    if (sum.grid || sum.seen) {
      ops.for_rows(m, d, [&](size_t row, size_t) {
        for (size_t k = row * d; k < (row + 1) * d; ++k) x[k] += of_block[k];
      });
      sum.pass(ops, m, d, x);
      of_block = nullptr;
    }
    norm.run(ops, m, of_block, x);
    output.pass(ops, m, d, x);
  }
};

}  // namespace subbyte
