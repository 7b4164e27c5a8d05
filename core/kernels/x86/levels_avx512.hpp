// The levels that codes stand for, in AVX-512 registers: a step of 16 columns of 16 rows is four of them.
#pragma once
#include "kernels/x86/lanes_avx512.hpp"

#include "kernels/lanes/vectors.hpp"

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
    constexpr int kFour = 0x04040404;
    const __m512i first_row_of_lane =
        _mm512_setr_epi32(0, 0, 0, 0, kFour, kFour, kFour, kFour, 2 * kFour, 2 * kFour, 2 * kFour, 2 * kFour, 3 * kFour,
                          3 * kFour, 3 * kFour, 3 * kFour);
    for (int q = 0; q < 4; ++q) {
      const __m512i row_of_lane = _mm512_add_epi8(_mm512_set1_epi8(static_cast<char>(q)), first_row_of_lane);
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

}  // namespace
}  // namespace subbyte
