// The kernel contract: what one instruction set must be able to do.
//
// Every kernel returns the same bits on every instruction set. Integer sums are exact in int32. Float sums have one
// written order: value i goes to lane i % 16, lanes start at +0, and the 16 lanes are folded as
// for (w = 8, 4, 2, 1) lane[i] += lane[i + w].  Sums of products (the matrix products with float inputs, attention) and
// polynomials use the fused multiply-add, rounded once, which every machine we name has and IEEE 754 defines to the
// bit; all else rounds every operation, which -ffp-contract=off enforces. reference.cpp is the definition.
//
// Kernels do not allocate, lock, print or throw. Threads are the business of ops.cpp: a kernel does a range. There may
// be no inputs (m or n is 0), whose pointers may be null: then nothing is read or written.
#pragma once
#include <cstddef>
#include <cstdint>

namespace subbyte {

constexpr size_t kTile = 16;  // rows of a row block, and columns of a step
constexpr size_t kRun = 128;  // values under one maximum of Kernels::run_max

// A weight whose level is beyond those of its codes: its code stands for the nearest one.
struct Exception {
  uint16_t col;
  uint8_t row;  // of its block
  int8_t more;  // its level is that of its code and so much more
};

// The codes of a matrix, laid out once at load, the same for every instruction set.
//
// Rows are cut into blocks of 16, columns into steps of 16 (the last ones padded with code 0). The 256 codes of one
// block and step are four quads of 64: quad q, byte 16 * r + c is row 4 * r + q, column c. So a 128-bit lane holds 16
// columns of one row, and folding the four sums of each lane by two unpack-and-add rounds gives the rows in order.
// One step takes 32 * width bytes:
//   width 8   64 bytes a quad, the levels themselves (signed)
//   width 4   64 bytes of quad 0 (low nibble) and 1 (high nibble), then 64 bytes of quads 2 and 3
//   width 3   64 bytes as width 2 with the codes' two low bits, then 4 x 8 bytes as width 1 with their high bits
//   width 2   64 bytes, bits 2q and 2q + 1 are quad q
//   width 1   8 bytes a quad, bit 16 * r + c
struct Packed {
  const uint8_t* codes;         // [row_blocks, steps, 32 * width]
  const float* scale;           // [groups, 16 * row_blocks]
  const int8_t* zero;           // [groups, 16 * row_blocks]; null: all 0
  const int8_t* levels;         // [16] the level of each code, shared by all rows; null at width 8 and with alphas
  const uint8_t* alphas;        // [groups, row_blocks, width, 16] binary coding; level = sum of +-alpha; null otherwise
  size_t rows;                  // without padding
  size_t steps;                 // ceil(columns / 16)
  size_t groups;                // steps is a multiple of groups, or groups is 1
  int width;                    // 1, 2, 3, 4 or 8 bits a code
  int spacing;                  // width 2 to 4, if the level of code c is levels[0] + spacing * c; 0: it is not
  const Exception* exceptions;  // by rows and columns; null: there are none
  const uint32_t* first_exception;  // [row_blocks + 1] of each block
};

// y[i, row] = (sum over groups g of float(sum over k in g of x[i, k] * (level[row, k] - zero[row, g])) * scale[row, g])
//             * x_scale[i] + bias[row]
// where the sum over groups starts with the first product, not with 0.
struct LinearInt8 {
  Packed w;
  const int8_t* x;  // [m, 16 * steps]  -127..127 (never -128), 0 in the padding; int8_input_bytes(m, steps) readable
  const int32_t* x_sum;     // [m, groups]      sum of x over each group
  const float* x_scale;     // [m]
  const float* bias;        // [outputs] or null (then nothing is added)
  const uint32_t* outputs;  // [rows] the output each row is, rising; null: row r is output r
  float* y;                 // [m, y_stride]
  size_t m, y_stride;
  size_t block_begin, block_end;  // row blocks to do
  uint8_t* scratch;               // [int8_scratch(steps)], 64-byte aligned
};

// Bytes behind LinearInt8's pointers: kernels may expand several blocks at a time, as many as fit a part of the second
// cache, and read inputs 32 rows and 64 columns at a time, whatever stands in those beyond.
constexpr size_t int8_scratch(size_t steps) {
  const size_t block = 256 * ((steps + 3) / 4 * 4), blocks = (size_t{1} << 18) / block / 2 * 2;
  return (blocks < 2 ? 2 : blocks) * block;
}
constexpr size_t int8_input_bytes(size_t m, size_t steps) { return (m + 31) / 32 * 32 * steps * kTile + 64; }

// The same with float activations: the inner sum runs over k in the written order with lane k % 16, the terms are
// x[i, k] * float(level - zero), and there is no x_scale.
struct LinearFloat {
  Packed w;
  const float* x;  // [m, x_stride]
  const float* bias;
  const uint32_t* outputs;
  float* y;
  size_t m, cols, x_stride, y_stride;
  size_t block_begin, block_end;
  uint8_t* scratch;  // [256 * steps], 64-byte aligned
};

// y[i, row] = sum over k of x[i, k] * w[row, k]  (+ bias[row]), float32 weights.
struct LinearDense {
  const float* w;  // [rows, w_stride], 0 in the padding
  const float* x;  // [m, x_stride]
  const float* bias;
  float* y;
  size_t m, rows, cols, w_stride, x_stride, y_stride;
  size_t row_begin, row_end;  // row_begin is a multiple of 16
};

// Per row i: x_scale = amax / 127, x = round-to-even(x * (127 / amax)); a row of zeros gets scale 0 and levels 0.
struct QuantizeRows {
  const float* x;  // [m, x_stride]
  int8_t* q;       // [m, 16 * steps], padded with 0
  float* scale;    // [m]
  int32_t* sum;    // [m, groups]
  size_t m, cols, x_stride, steps, groups;
};

// A grid that values are rounded to: code = clamp(round-to-even(x * inverse) + zero, -limit, limit), which stands for
// scale * (code - zero).
struct GridGroup {
  float inverse, scale, zero, limit;
};

// A grid for each of several values.
struct GridColumns {
  const float *inverse, *scale, *zero;
  float limit;
};

// Whether so many columns can be turned together.
constexpr bool is_rotation(size_t n) { return n == 1 || (n >= 16 && n <= 256 && (n & (n - 1)) == 0); }

// What products read of n values: y = (x * factors) turned, in blocks of `rotation` columns, by a Hadamard matrix. With
// strides 1, 2, 4, ..., rotation / 2, one after the other,
//   (y[i], y[i + stride]) = (y[i] + y[i + stride], y[i] - y[i + stride])   for i without that bit
// and in the end y[i] *= 1 / sqrt(rotation), which keeps lengths.
struct Operand {
  const float* x;
  const float* factors;  // null: 1
  float* y;
  size_t n;         // a multiple of rotation
  size_t rotation;  // 1 (not turned), 16, 32, 64, 128 or 256: is_rotation
};

// The codes of n values, padded with 0 to a multiple of 16, and their sum. With `low`, limit is up to 32,512 and a code
// is 255 * high + low, both in -127..127; else up to 127.
struct GridCodes {
  const float* x;
  size_t n;
  GridGroup grid;
  int8_t *high, *low;           // low: null up to 8 bits
  int32_t *high_sum, *low_sum;  // low_sum: null up to 8 bits
};

// y[i] = layer norm of (x[i] + residual[i]); mean and variance by folded lane sums, then
// (v - mean) * (1 / sqrt(var + eps)) * gamma + beta.
struct LayerNorm {
  const float* x;         // [m, n]
  const float* residual;  // [m, n] or null
  const float* gamma;     // [n]
  const float* beta;      // [n]
  float* y;               // [m, n], may be x or residual
  size_t m, n;
  float eps;
};

// Softmax attention of one query over `length` positions, all heads.
//   score[t] = dot(q_h, key_h[t]) * scale;  e[t] = exp(score[t] - max)
//   y_h = (sum over t of e[t] * value_h[t]) / sum e
struct Attention {
  const float* q;            // [heads * head_dim]
  const float* const* rows;  // [length]
  size_t key, value;         // where they begin, from every row pointer; [heads * head_dim] each
  float* y;                  // [heads * head_dim]
  float* scores;             // [length rounded up to 16], scratch
  size_t length, heads, head_dim;
  float scale;
};

// Softmax attention of all positions of a text over each other, one head.
//   score[i, t] = sum over k of q[i, k] * key[t, k], one fused multiply-add after the other from +0;  rounded to
//   `scores`;  e[t] = exp(score[i, t] * scale - max);  p[t] = e[t] * (1 / sum of e), lane t % 16;  rounded to
//   `probabilities`;  y[i] = sum over t of p[t] * value[t], one fused multiply-add after the other from +0
struct SelfAttention {
  const float *q, *key, *value;  // [length, stride]
  float* y;                      // [length, stride]
  float* scratch;                // [self_attention_scratch(length, head_dim)], 64-byte aligned
  size_t length, head_dim, stride;
  float scale;
  const GridGroup *scores, *probabilities;  // null: not rounded
};

// The recurrence of a simpler simple recurrent unit (Kim et al. 2019), value by value:
//   f = 1 / (1 + exp(-forget));  state = f * previous + (1 - f) * input;  y = max(state, 0)
struct Ssru {
  const float* forget;
  const float* input;
  const float* previous;  // null: 0
  float* state;
  float* y;
  size_t n;
};

// 16 rows of a matrix, one a lane, rounded so that what they multiply out to stays (output_rounding.py). A value goes
// to the level whose number is how many borders are not above it. Columns are in the order in which they are rounded.
//   rest = w;  for j = 0, 1, ..:  error = (rest[j] - level of rest[j]) / spread[j, j]
//                                 rest[c] = fma(-error, spread[j, c], rest[c])  for c > j
//   Where levels cost bits, a border is fma(shift, room, border): room is spread[j, j] * spread[j, j] here, what a
//   squared error of a weight is divided by to be one of the outputs while those behind it still move, and 1 / gram[j,
//   j] below. slope[c] = sum over j of (w[j] - level[j]) * gram[j, c], one fused multiply-add after the other from +0
//   `sweeps` times, for j = 0, 1, ..:  new = level of (level[j] + slope[j] / gram[j, j])
//                                      slope[c] = fma(-(new - level[j]), gram[j, c], slope[c])  for all c
struct Compensate {
  const float* w;         // [cols, 16]
  const float* spread;    // [cols, cols]
  const float* gram;      // [cols, cols]
  const uint32_t* group;  // [cols] whose borders and levels count
  const float* borders;   // [groups, levels - 1, 16], rising
  const float* shift;     // [groups, levels - 1, 16], or null: 0
  const float* values;    // [groups, levels, 16]
  uint8_t* numbers;       // [cols, 16] the result
  float* scratch;         // [2 * cols, 16]
  size_t cols, levels, sweeps;
};

enum class Activation { relu, swish, gelu, tanh };

// Queries that self-attention works on at a time, and the floats of scratch it needs.
constexpr size_t kQueries = 4;
constexpr size_t self_attention_scratch(size_t length, size_t head_dim) {
  return (length + 2 * kTile - 1) / (2 * kTile) * (2 * kTile) * (head_dim + kQueries);
}

// What one instruction set does. The file of an instruction set, core/kernels/.../NAME.cpp, exports one function,
// NAME_kernels, that puts what it does better over the table of the next weaker one.
struct Kernels {
  const char* isa;
  size_t few_inputs;  // up to so many inputs, linear_int8 unpacks codes in registers; above, once into the scratch
  void (*linear_int8)(const LinearInt8&);
  void (*linear_float)(const LinearFloat&);
  void (*linear_dense)(const LinearDense&);
  void (*quantize_rows)(const QuantizeRows&);
  void (*round_to_grid)(float* x, size_t n, const GridGroup&);    // each value becomes what its code stands for
  void (*round_columns)(float* x, size_t n, const GridColumns&);  // the same, each with a grid of its own
  void (*grid_codes)(const GridCodes&);
  void (*operand)(const Operand&);
  void (*layer_norm)(const LayerNorm&);
  void (*attention)(const Attention&);
  void (*self_attention)(const SelfAttention&);
  void (*ssru)(const Ssru&);
  void (*activate)(Activation, float* x, size_t n);
  // Largest value of each run of kRun of x[0..n) (the last run may be shorter).
  void (*run_max)(const float* x, size_t n, float* out);
  // Sum of exp(x[i] - max), lane i % 16, folded.
  float (*exp_sum)(const float* x, size_t n, float max);
  void (*compensate)(const Compensate&);
};

}  // namespace subbyte
