// Integer products with AVX-512 and VNNI. A step of 16 columns of 16 rows is four registers of levels; each meets 16
// activations, repeated in the four 128-bit lanes, in one dot-product instruction. The instruction wants one unsigned
// operand: the weights get +128, and 128 * sum(x) is taken off at the end (no saturation anywhere, so the sums stay
// exact).
#pragma once
#include "kernels/x86/lanes_avx512.hpp"

#include "kernels/float_ops.hpp"

namespace subbyte {
namespace {

// The 16 levels of each code for the rows of one block and group, plus `bias`: one table a lane. At width 1 the two
// levels are splat instead, as a mask chooses between them.
struct Tables {
  __m512i q[4];     // width 1: level of code 0
  __m512i high[4];  // width 1: level of code 1
};

template <int width>
inline Tables tables_of(const Packed& w, size_t block, size_t group, int8_t bias) {
  Tables t;
  const __m512i plus = _mm512_set1_epi8(bias);
  if (width == 8) {
    for (int q = 0; q < 4; ++q) t.q[q] = plus;
  } else if (w.levels) {
    const __m512i shared =
        _mm512_add_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.levels))), plus);
    for (int q = 0; q < 4; ++q) {
      t.q[q] = width == 1 ? _mm512_add_epi8(_mm512_set1_epi8(w.levels[0]), plus) : shared;
      t.high[q] = _mm512_add_epi8(_mm512_set1_epi8(w.levels[1]), plus);
    }
  } else {
    const size_t row_blocks = (w.rows + kTile - 1) / kTile;
    const uint8_t* alphas = w.alphas + (group * row_blocks + block) * width * kTile;
    // Bit `plane` of the code c stands at bit c of these masks.
    constexpr __mmask64 set[] = {0xAAAAAAAAAAAAAAAAull, 0xCCCCCCCCCCCCCCCCull, 0xF0F0F0F0F0F0F0F0ull,
                                 0xFF00FF00FF00FF00ull};
    for (int q = 0; q < 4; ++q) {
      const __m512i row_of_lane =
          _mm512_setr_epi32(0x01010101 * q, 0x01010101 * q, 0x01010101 * q, 0x01010101 * q, 0x01010101 * (4 + q),
                            0x01010101 * (4 + q), 0x01010101 * (4 + q), 0x01010101 * (4 + q), 0x01010101 * (8 + q),
                            0x01010101 * (8 + q), 0x01010101 * (8 + q), 0x01010101 * (8 + q), 0x01010101 * (12 + q),
                            0x01010101 * (12 + q), 0x01010101 * (12 + q), 0x01010101 * (12 + q));
      __m512i level = plus;
      for (int plane = 0; plane < width; ++plane) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(alphas + plane * kTile));
        const __m512i alpha = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes), row_of_lane);
        if (width == 1) {
          t.q[q] = _mm512_sub_epi8(plus, alpha);
          t.high[q] = _mm512_add_epi8(plus, alpha);
        } else {
          level = _mm512_mask_add_epi8(_mm512_sub_epi8(level, alpha), set[plane], level, alpha);
        }
      }
      if (width != 1) t.q[q] = level;
    }
  }
  return t;
}

// The four registers of levels (plus bias) of one step.
template <int width>
inline void unpack(const uint8_t* p, const Tables& t, __m512i out[4]) {
  if (width == 8) {
    for (int q = 0; q < 4; ++q) out[q] = _mm512_add_epi8(_mm512_loadu_si512(p + 64 * q), t.q[q]);
  } else if (width == 4) {
    const __m512i low = _mm512_set1_epi8(15), a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    out[0] = _mm512_shuffle_epi8(t.q[0], _mm512_and_si512(a, low));
    out[1] = _mm512_shuffle_epi8(t.q[1], _mm512_and_si512(_mm512_srli_epi16(a, 4), low));
    out[2] = _mm512_shuffle_epi8(t.q[2], _mm512_and_si512(b, low));
    out[3] = _mm512_shuffle_epi8(t.q[3], _mm512_and_si512(_mm512_srli_epi16(b, 4), low));
  } else if (width == 1) {
    for (int q = 0; q < 4; ++q) {
      __mmask64 set;
      std::memcpy(&set, p + 8 * q, 8);
      out[q] = _mm512_mask_mov_epi8(t.q[q], set, t.high[q]);
    }
  } else {
    const __m512i low = _mm512_set1_epi8(3), v = _mm512_loadu_si512(p);
    for (int q = 0; q < 4; ++q) {
      __m512i code = _mm512_and_si512(q == 0 ? v : _mm512_srli_epi16(v, 2 * q), low);
      if (width == 3) {
        __mmask64 set;
        std::memcpy(&set, p + 64 + 8 * q, 8);
        code = _mm512_mask_add_epi8(code, set, code, _mm512_set1_epi8(4));
      }
      out[q] = _mm512_shuffle_epi8(t.q[q], code);
    }
  }
}

template <int width>
void expand(const Packed& w, size_t block, int8_t bias, uint8_t* out) {
  const size_t group_steps = w.steps / w.groups;
  const uint8_t* codes = w.codes + block * w.steps * 32 * width;
  for (size_t g = 0; g < w.groups; ++g) {
    const Tables tables = tables_of<width>(w, block, g, bias);
    for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
      __m512i levels[4];
      unpack<width>(codes + s * 32 * width, tables, levels);
      for (int q = 0; q < 4; ++q) _mm512_store_si512(out + s * 256 + 64 * q, levels[q]);
    }
  }
}

// acc += four products of unsigned w and signed x, in every dword. As assembly, because GCC 12 shuffles accumulators
// between registers around the intrinsic, which halves the speed.
inline void add_products(__m512i& acc, __m512i w, __m512i x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
}

// Sums of the four dwords of every 128-bit lane of the four quads: 16 rows in order.
inline __m512i rows_of(const __m512i q[4]) {
  const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(q[0], q[1]), _mm512_unpackhi_epi32(q[0], q[1]));
  const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(q[2], q[3]), _mm512_unpackhi_epi32(q[2], q[3]));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

constexpr int8_t kBias = -128;  // as an unsigned byte: 128

// One block of 16 rows times `inputs` rows of x. width 0: the levels plus kBias stand ready in a.scratch.
template <int width, size_t inputs>
void int8_block(const LinearInt8& a, size_t block, size_t first) {
  const Packed& w = a.w;
  const size_t padded = (w.rows + kTile - 1) / kTile * kTile, row = block * kTile;
  const size_t group_steps = w.steps / w.groups, x_stride = w.steps * kTile;
  const uint8_t* codes = width == 0 ? a.scratch : w.codes + block * w.steps * 32 * width;
  constexpr size_t step_bytes = width == 0 ? 256 : 32 * width;
  const int8_t* x = a.x + first * x_stride;
  __m512 y[inputs];
  for (size_t g = 0; g < w.groups; ++g) {
    Tables tables;
    if constexpr (width != 0) tables = tables_of<width>(w, block, g, kBias);
    __m512i acc[inputs][4];
    for (size_t i = 0; i < inputs; ++i)
      for (int q = 0; q < 4; ++q) acc[i][q] = _mm512_setzero_si512();
    for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
      __m512i levels[4];
      if constexpr (width == 0) {
        for (int q = 0; q < 4; ++q) levels[q] = _mm512_load_si512(codes + s * 256 + 64 * q);
      } else {
        unpack<width>(codes + s * step_bytes, tables, levels);
      }
      for (size_t i = 0; i < inputs; ++i) {
        const __m512i xs =
            _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * x_stride + s * kTile)));
        for (int q = 0; q < 4; ++q) add_products(acc[i][q], levels[q], xs);
      }
    }
    const __m512 scale = _mm512_loadu_ps(w.scale + g * padded + row);
    __m512i offset = _mm512_set1_epi32(128);
    if (w.zero)
      offset = _mm512_add_epi32(
          offset, _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.zero + g * padded + row))));
    for (size_t i = 0; i < inputs; ++i) {
      const __m512i x_sum = _mm512_set1_epi32(a.x_sum[(first + i) * w.groups + g]);
      const __m512i sum = _mm512_sub_epi32(rows_of(acc[i]), _mm512_mullo_epi32(offset, x_sum));
      const __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
      y[i] = g == 0 ? part : _mm512_add_ps(y[i], part);
    }
  }
  for (size_t i = 0; i < inputs; ++i) {
    const __m512 v = _mm512_mul_ps(y[i], _mm512_set1_ps(a.x_scale[first + i]));
    finish(a.y + (first + i) * a.y_stride, {v}, a.bias, a.outputs, row, w.rows);
  }
}

constexpr size_t kFewInputs = 4;

}  // namespace
}  // namespace subbyte

#include "kernels/int8_ops.hpp"
