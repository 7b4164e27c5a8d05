// The part of a decoder's layer that looks back at what was said before. A decoder does not ask which one it has.
#pragma once
#include "models/states.hpp"

namespace subbyte {

class Cell {
 public:
  virtual ~Cell() = default;

  // Values that a hypothesis carries from one step to the next.
  virtual size_t width() const = 0;

  // y = what it makes of x and the states so far, a row a hypothesis; leaves its new states. In a row of `states` its
  // own part begins at `offset`. `y` may be the arena's `added`.
  virtual void step(Arena& arena, States& states, size_t offset, Inputs& x, float* y) const = 0;
};

// Self-attention over all steps so far. Its state is a key and a value a step.
class AttentionCell : public Cell {
 public:
  AttentionCell(const TensorReader& layer, const AttentionNames& names, size_t width, size_t heads)
      : width_(width), attention_(layer, names, width, heads) {}

  size_t width() const override { return 2 * width_; }

  void step(Arena& arena, States& states, size_t offset, Inputs& x, float* y) const override {
    attention_.remember(arena.ops, x, states.next(0) + offset, states.width());
    attention_.read(arena, x, states.sights(), offset, y);
  }

 private:
  size_t width_;
  DecoderAttention attention_;
};

// What a file calls the parts, by role.
struct SsruNames {
  const char *input, *forget, *norm;
};

// A simpler simple recurrent unit (Kim et al. 2019): state = f * state + (1 - f) * input(x), f = sigmoid(forget(x));
// y = relu(state).
class SsruCell : public Cell {
 public:
  SsruCell(const TensorReader& layer, const SsruNames& names, size_t width)
      : width_(width),
        input_{layer.matrix(std::string(names.input) + ".weight", width, width), {}},
        forget_(layer.linear(names.forget, width, width)) {}

  size_t width() const override { return width_; }

  void step(Arena& arena, States& states, size_t offset, Inputs& x, float* y) const override {
    float* input = arena.query.grow(x.m * width_);
    float* forget = arena.context.grow(x.m * width_);
    input_.run(arena.ops, x, input, width_);
    forget_.run(arena.ops, x, forget, width_);
    arena.ops.for_rows(x.m, 32 * width_, [&](size_t i, size_t) {
      const float* previous = states.previous(i);
      arena.ops.kernels().ssru({forget + i * width_, input + i * width_, previous ? previous + offset : nullptr,
                                states.next(i) + offset, y + i * width_, width_});
    });
  }

 private:
  size_t width_;
  Linear input_, forget_;
};

}  // namespace subbyte
