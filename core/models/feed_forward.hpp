// The feed-forward network of a layer: x = norm(x + down(activation(in(x)))).
#pragma once
#include "models/residual.hpp"

namespace subbyte {

// What a file calls the parts, by role.
struct FeedForwardNames {
  const char *in, *down, *norm;
};

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
