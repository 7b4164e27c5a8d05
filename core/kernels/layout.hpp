// Reading and writing the memory layout of codes that kernels.hpp defines. Written to be read; kernels do it faster.
#pragma once
#include <vector>

#include "kernels/kernels.hpp"

namespace subbyte {

constexpr size_t blocks_of(size_t rows) { return (rows + kTile - 1) / kTile; }
constexpr size_t steps_of(size_t cols) { return (cols + kTile - 1) / kTile; }

// f(exception) for all of a block of rows.
template <class F>
inline void for_exceptions(const Packed& w, size_t block, const F& f) {
  if (!w.exceptions) return;
  for (uint32_t i = w.first_exception[block]; i < w.first_exception[block + 1]; ++i) f(w.exceptions[i]);
}

// The level that a code of a row stands for in a group of columns; at width 8 the code is the level.
int level_of(const Packed& w, size_t row, size_t group, uint8_t code);

// The level of one weight.
int level_at(const Packed& w, size_t row, size_t col);

// The codes of one row, [16 * steps]; the levels themselves at width 8. Faster than asking level_at for each.
void codes_of_row(const Packed& w, size_t row, uint8_t* codes);

// The zero and the scale of one weight's group.
int zero_at(const Packed& w, size_t row, size_t group);
float scale_at(const Packed& w, size_t row, size_t group);

// Lays out bit planes [bits, rows, ceil(cols / 8)], bits 1 to 4, as width `bits`. `codes` is zeroed,
// [blocks, steps, 32 * bits].
void lay_out_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, uint8_t* codes);

// Lays out bit planes of 5 to 7 bits as width 8, through the level of each code.
void lay_out_wide_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, const int8_t* levels,
                         uint8_t* codes);

// Lays out the codes of one step, given in the order of width 8, as width 4.
void lay_out_step(const uint8_t* codes, uint8_t* step);

// Lays out int8 levels [rows, cols] as width 8.
void lay_out_bytes(const int8_t* levels, size_t rows, size_t cols, uint8_t* codes);

// Lays out int8 levels [rows, cols] as width 2 or 4, whose levels are -2..1 or -8..7: a code is its level above the
// lowest. `codes` is zeroed. Returns the levels beyond, block by block, and `first` [row_blocks + 1] of each.
std::vector<Exception> lay_out_levels(const int8_t* levels, size_t bits, size_t rows, size_t cols, uint8_t* codes,
                                      uint32_t* first);

// The levels of `count` columns of a row of bit planes, from column `begin` on, which is a multiple of 8.
void unpack_levels(const uint8_t* planes, size_t bits, size_t rows, size_t cols, const int8_t* levels, size_t row,
                   size_t begin, size_t count, int8_t* out);

}  // namespace subbyte
