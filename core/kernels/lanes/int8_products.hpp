// The order of work of the integer products, the same for every instruction set with registers.
//
// The including file has defined
//   kFewInputs                                   inputs that one pass over the codes of a block can serve
//   expand<width>(w, block, bias, out)           levels plus bias of one block, [steps, quad, 64]
//   int8_block<width, inputs>(a, block, first)   a block times `inputs` inputs; width 0: from levels plus kBias, which
//                                                stand in a.scratch
#pragma once
#include "kernels/lanes/vectors.hpp"

namespace subbyte {
namespace {

// int8_block for n inputs, 1 <= n <= inputs.
template <int width, size_t inputs>
inline void int8_inputs(const LinearInt8& a, size_t block, size_t first, size_t n) {
  if constexpr (inputs > 1) {
    if (n < inputs) return int8_inputs<width, inputs - 1>(a, block, first, n);
  }
  int8_block<width, inputs>(a, block, first);
}

// Few inputs: codes are unpacked in registers. Many: once into scratch, then met by kFewInputs at a time.
template <int width>
void int8_blocks(const LinearInt8& a) {
  if (a.m == 0) return;
  for (size_t block = a.block_begin; block < a.block_end; ++block) {
    if (a.m <= kFewInputs) {
      int8_inputs<width, kFewInputs>(a, block, 0, a.m);
      continue;
    }
    expand<width>(a.w, block, kBias, a.scratch);
    for (size_t i = 0; i < a.m; i += kFewInputs)
      int8_inputs<0, kFewInputs>(a, block, i, a.m - i < kFewInputs ? a.m - i : kFewInputs);
  }
}

void linear_int8(const LinearInt8& a) { SUBBYTE_BY_WIDTH(a.w.width, int8_blocks, a) }

}  // namespace
}  // namespace subbyte
