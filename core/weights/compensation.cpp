#include "weights/compensation.hpp"

#include <algorithm>
#include <vector>

#include "weights/weights.hpp"

namespace subbyte {

void compensate(const Compensation& a, const Kernels& kernels, Threads& threads, uint8_t* numbers) {
  struct Work {
    Buffer<float> w, borders, shift, values, scratch;
    Buffer<uint8_t> numbers;
  };
  std::vector<Work> works(threads.count());
  std::vector<uint32_t> group(a.cols);
  for (size_t j = 0; j < a.cols; ++j) group[j] = static_cast<uint32_t>(a.order[j] / (a.cols / a.groups));
  const size_t tiles = (a.rows + kTile - 1) / kTile, borders = a.groups * (a.levels - 1), values = a.groups * a.levels;
  threads.run(tiles, [&](size_t tile, size_t worker) {
    Work& work = works[worker];
    float* w = work.w.grow(a.cols * kTile);
    float* border = work.borders.grow(borders * kTile);
    float* shift = a.shift ? work.shift.grow(borders * kTile) : nullptr;
    float* value = work.values.grow(values * kTile);
    uint8_t* number = work.numbers.grow(a.cols * kTile);
    for (size_t lane = 0; lane < kTile; ++lane) {
      const size_t row = std::min(tile * kTile + lane, a.rows - 1);  // lanes beyond the last row repeat it
      const size_t from = a.per_tensor ? 0 : row;
      for (size_t j = 0; j < a.cols; ++j) w[j * kTile + lane] = a.w[row * a.cols + a.order[j]];
      for (size_t k = 0; k < borders; ++k) border[k * kTile + lane] = a.borders[from * borders + k];
      for (size_t k = 0; shift && k < borders; ++k) shift[k * kTile + lane] = a.shift[from * borders + k];
      for (size_t k = 0; k < values; ++k) value[k * kTile + lane] = a.values[from * values + k];
    }
    kernels.compensate({w, a.spread, a.gram, group.data(), border, shift, value, number,
                        work.scratch.grow(2 * a.cols * kTile), a.cols, a.levels, a.sweeps});
    for (size_t lane = 0; lane < kTile && tile * kTile + lane < a.rows; ++lane)
      for (size_t j = 0; j < a.cols; ++j)
        numbers[(tile * kTile + lane) * a.cols + a.order[j]] = number[j * kTile + lane];
  });
}

}  // namespace subbyte
