// A cell that attends to all steps so far.
#pragma once
#include "models/cell.hpp"

namespace subbyte {

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

}  // namespace subbyte
