// The part of a decoder's layer that looks back at what was said before. A decoder does not ask which one it has.
#pragma once
#include "models/states.hpp"

namespace subbyte {

// One cell's part of the step that was begun: its states stand `offset` values behind the begin of a row.
struct CellStates {
  const States& all;
  size_t offset;
  float* next;  // the new states, `stride` values from one hypothesis to the next
  size_t stride;

  // Null at the first step.
  const float* previous(size_t hypothesis) const {
    const float* row = all.previous(hypothesis);
    return row ? row + offset : nullptr;
  }
};

class Cell {
 public:
  virtual ~Cell() = default;

  // Values that a hypothesis carries from one step to the next.
  virtual size_t state() const = 0;

  // y = what it makes of x and the states so far, a row a hypothesis; leaves its new states. `y` may be in the arena's
  // `added`.
  virtual void step(Arena& arena, const CellStates& states, Inputs& x, float* y) const = 0;
};

}  // namespace subbyte
