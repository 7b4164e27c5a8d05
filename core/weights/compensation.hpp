// Rounding of a matrix that keeps what it multiplies out to: 16 rows at a time, over threads. See output_rounding.py.
#pragma once
#include "kernels/kernels.hpp"
#include "platform/threads.hpp"

namespace subbyte {

// Borders and values as in Compensate, but a row of them for each row of the matrix, or one for all.
struct Compensation {
  const float* w;         // [rows, cols]
  const uint32_t* order;  // [cols] the columns as they are rounded; spread and gram are in this order
  const float* spread;    // [cols, cols]
  const float* gram;      // [cols, cols]
  const float* borders;   // [rows or 1, groups, levels - 1]
  const float* shift;     // [rows or 1, groups, levels - 1], or null
  const float* values;    // [rows or 1, groups, levels]
  size_t rows, cols, groups, levels, sweeps;
  bool per_tensor;
};

// The number of the level that each weight goes to, [rows, cols].
void compensate(const Compensation& a, const Kernels& kernels, Threads& threads, uint8_t* numbers);

}  // namespace subbyte
