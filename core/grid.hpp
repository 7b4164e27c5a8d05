// How activations are rounded to a grid that was fixed beforehand: activations.py's Grid, ready for the kernels.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels.hpp"

namespace subbyte {

// Groups of as many consecutive columns each.
struct Grid {
  size_t bits = 8;  // 2 to 8, or 16: then a code is 255 * high + low, both in -127..127
  std::vector<GridGroup> groups;

  bool wide() const { return bits == 16; }
};

}  // namespace subbyte
