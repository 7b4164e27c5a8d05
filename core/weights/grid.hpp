// How activations are rounded to a grid that was fixed beforehand: activations.py's Grid, ready for the kernels.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/kernels.hpp"

namespace subbyte {

// Groups of as many consecutive columns each.
struct Grid {
  size_t bits = 8;  // 2 to 8, or 16: then a code is 255 * high + low, both in -127..127
  std::vector<GridGroup> groups;
  std::vector<float> inverse, scale, zero;  // of each column, with several groups (see `spread`)

  // Writes the groups out for so many columns.
  void spread(size_t columns) {
    for (std::vector<float>* of : {&inverse, &scale, &zero}) of->clear();
    for (size_t i = 0; i < columns; ++i) {
      const GridGroup& group = groups[i / (columns / groups.size())];
      inverse.push_back(group.inverse);
      scale.push_back(group.scale);
      zero.push_back(group.zero);
    }
  }

  bool operand = false;  // only matrices read the codes; all else takes values as they were

  bool wide() const { return bits == 16; }
};

}  // namespace subbyte
