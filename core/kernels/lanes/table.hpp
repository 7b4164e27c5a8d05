// All kernels of this folder in one table.
#pragma once
#include "kernels/lanes/attention.hpp"
#include "kernels/lanes/compensation.hpp"
#include "kernels/lanes/products.hpp"

namespace subbyte {
namespace {

inline Kernels lanes_kernels() {
  return {nullptr,        kFewInputs,    linear_int8, linear_float, linear_dense, quantize_rows,
          round_to_grid,  round_columns, grid_codes,  operand,      layer_norm,   attention,
          self_attention, ssru,          activate,    run_max,      exp_sum,      compensate};
}

}  // namespace
}  // namespace subbyte
