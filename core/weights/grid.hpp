// How activations are rounded to a grid that was fixed beforehand: grids.py's Grid, ready for the kernels.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "platform/fault.hpp"

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

// The grid of `name` with as many scales as groups, and as many zeros.
inline Result<Grid> grid_of(const std::string& name, size_t bits, const std::vector<float>& scale,
                            const std::vector<float>& zero, float limit) {
  if (scale.empty() || scale.size() != zero.size() || !(limit >= 1 && limit <= (bits == 16 ? 32512.0f : 127.0f)))
    return Fault(name + ": a grid needs as many zeros as scales, and codes of 127 at most, or 32,512 at 16 bits");
  Grid grid;
  grid.bits = bits;
  for (size_t i = 0; i < scale.size(); ++i) grid.groups.push_back({1.0f / scale[i], scale[i], zero[i], limit});
  return grid;
}

}  // namespace subbyte
