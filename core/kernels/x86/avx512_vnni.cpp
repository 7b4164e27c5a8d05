// AVX-512 with VNNI.
#include "kernels/x86/int8_avx512.hpp"

namespace subbyte {

const Kernels kAvx512Vnni = {"avx512_vnni",  kFewInputs,    linear_int8, linear_float, linear_dense, quantize_rows,
                             round_to_grid,  round_columns, grid_codes,  operand,      layer_norm,   attention,
                             self_attention, ssru,          activate,    run_max,      exp_sum,      compensate};

}  // namespace subbyte
