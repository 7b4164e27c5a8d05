// The 16 float lanes of the kernel contract as one AVX-512 register. See lanes/vectors.hpp for what each function
// means.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace subbyte {
namespace {

struct F32x16 {
  __m512 v;
};

inline F32x16 splat(float x) { return {_mm512_set1_ps(x)}; }
inline F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }

inline F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32x16 multiply_add(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32x16 larger(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32x16 smaller(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32x16 absolute(F32x16 a) { return {_mm512_abs_ps(a.v)}; }

inline F32x16 where_greater(F32x16 x, F32x16 bound, F32x16 then) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GT_OQ), then.v)};
}

inline F32x16 negated_where_negative(F32x16 x, F32x16 value) {
  const __mmask16 negative = _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ);
  return {_mm512_mask_xor_ps(value.v, negative, value.v, _mm512_set1_ps(-0.0f))};
}

inline F32x16 power_of_two(F32x16 n) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}

// The Hadamard matrix of 16 times the lanes: strides 1, 2, 4, 8.
inline F32x16 hadamard16(F32x16 a) {
  const auto step = [](__m512 v, __m512 swapped, __mmask16 upper) {
    return _mm512_add_ps(swapped, _mm512_mask_xor_ps(v, upper, v, _mm512_set1_ps(-0.0f)));
  };
  __m512 v = step(a.v, _mm512_permute_ps(a.v, 0xB1), 0xAAAA);
  v = step(v, _mm512_permute_ps(v, 0x4E), 0xCCCC);
  v = step(v, _mm512_shuffle_f32x4(v, v, 0xB1), 0xF0F0);
  return {step(v, _mm512_shuffle_f32x4(v, v, 0x4E), 0xFF00)};
}

inline void store_levels(int8_t* p, F32x16 levels) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(levels.v)));
}

inline F32x16 widen(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}

// Halves, quarters, pairs, singles: every round adds the upper half of what is left of a row to the lower half.
inline void fold16(const F32x16* v, float* out) {
  __m512 eight[8], four[4], two[2];
  for (int i = 0; i < 8; ++i) {
    const __m512 a = v[2 * i].v, b = v[2 * i + 1].v;
    eight[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  }
  for (int i = 0; i < 4; ++i) {
    const __m512 a = eight[2 * i], b = eight[2 * i + 1];
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
  }
  for (int i = 0; i < 2; ++i) {
    const __m512 a = four[2 * i], b = four[2 * i + 1];
    two[i] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
  }
  const __m512 one = _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88), _mm512_shuffle_ps(two[0], two[1], 0xDD));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_ps(out, _mm512_permutexvar_ps(order, one));
}

// The register blocks of the float products and of self-attention.
constexpr unsigned long kDenseRows = 4, kDenseInputs = 4, kDenseRowsOfOne = 8;
constexpr unsigned long kAttendKeys = 2, kAttendValues = 4;
constexpr unsigned long kCompensated = 8;

}  // namespace
}  // namespace subbyte
