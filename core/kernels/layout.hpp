// Reading and writing the memory layout of codes that kernels.hpp defines. Written to be read; kernels do it faster.
#pragma once
#include "kernels/kernels.hpp"

namespace subbyte {

constexpr size_t blocks_of(size_t rows) { return (rows + kTile - 1) / kTile; }
constexpr size_t steps_of(size_t cols) { return (cols + kTile - 1) / kTile; }

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

// Lays out int8 levels [rows, cols] in -8..7 as width 4: a code is the low 4 bits of its level.
void lay_out_narrow_bytes(const int8_t* levels, size_t rows, size_t cols, uint8_t* codes);

}  // namespace subbyte
