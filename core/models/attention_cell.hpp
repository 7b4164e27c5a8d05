// Self-attention over all steps so far. Its state is a key and a value a step.
#pragma once
#include "models/cell.hpp"

namespace subbyte {

class AttentionCell : public Cell {
 public:
  AttentionCell(const TensorReader& layer, const AttentionNames& names, size_t width, size_t heads)
      : width_(width), attention_(layer, names, width, heads) {}

  size_t state() const override { return 2 * width_; }

  void step(Arena& arena, const CellStates& states, Inputs& x, float* y) const override {
    attention_.remember(arena.ops, x, states.next, states.stride);
    attention_.read(arena, x, states.all.sights(), states.offset, y);
  }

 private:
  size_t width_;
  DecoderAttention attention_;
};

}  // namespace subbyte
