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

}  // namespace subbyte
