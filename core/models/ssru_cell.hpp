// A recurrent cell that multiplies no state by a matrix.
#pragma once
#include "models/cell.hpp"

namespace subbyte {

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
