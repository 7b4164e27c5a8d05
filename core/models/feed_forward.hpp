// What closes every block of a layer, and the feed-forward network.
#pragma once
#include "models/product.hpp"

namespace subbyte {

// x = norm(x + added)
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

// What a file calls the parts, by role.
struct FeedForwardNames {
  const char *in, *down, *norm;
};

// x = norm(x + down(activation(in(x))))
struct FeedForward {
  Product in, down;
  Activation activation;
  Point hidden = {};
  Residual residual = {};

  FeedForward(const TensorReader& layer, const FeedForwardNames& names, size_t width, Activation kind, float epsilon)
      : in{layer.linear(names.in, width)},
        down{layer.linear(names.down, in.rows(), width)},
        activation(kind),
        residual{layer.norm(names.norm, width, epsilon)} {}

  // Changes m rows of x, which have passed the point `input`.
  void run(Arena& arena, const Point& input, size_t m, float* x) {
    const size_t d = down.rows(), width = in.rows();
    float* wide = arena.wide.grow(m * width);
    float* added = arena.added.grow(m * d);
    Inputs narrow = input.operand(x, m, d);
    in.run(arena, narrow, wide);
    arena.ops.activate(activation, wide, m * width);
    hidden.pass(arena.ops, m, width, wide);
    Inputs hiddens = hidden.operand(wide, m, width);
    down.run(arena, hiddens, added);
    residual.run(arena.ops, m, added, x);
  }
};

}  // namespace subbyte
