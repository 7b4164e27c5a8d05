// The 16 float lanes of the kernel contract as two AVX2 registers. See lanes/vectors.hpp for what each function means.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace subbyte {
namespace {

struct F32x16 {
  __m256 low, high;
};

inline F32x16 splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}

inline F32x16 operator+(F32x16 a, F32x16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline F32x16 operator-(F32x16 a, F32x16 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline F32x16 operator*(F32x16 a, F32x16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline F32x16 operator/(F32x16 a, F32x16 b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline F32x16 multiply_add(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline F32x16 larger(F32x16 a, F32x16 b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline F32x16 smaller(F32x16 a, F32x16 b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline F32x16 absolute(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}

inline F32x16 where_greater(F32x16 x, F32x16 bound, F32x16 then) {
  return {_mm256_and_ps(_mm256_cmp_ps(x.low, bound.low, _CMP_GT_OQ), then.low),
          _mm256_and_ps(_mm256_cmp_ps(x.high, bound.high, _CMP_GT_OQ), then.high)};
}

inline F32x16 negated_where_negative(F32x16 x, F32x16 value) {
  const __m256 zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(value.low, _mm256_and_ps(_mm256_cmp_ps(x.low, zero, _CMP_LT_OQ), sign)),
          _mm256_xor_ps(value.high, _mm256_and_ps(_mm256_cmp_ps(x.high, zero, _CMP_LT_OQ), sign))};
}

inline __m256 power_of_two(__m256 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
inline F32x16 power_of_two(F32x16 n) { return {power_of_two(n.low), power_of_two(n.high)}; }

// The Hadamard matrix of 16 times the lanes: strides 1, 2, 4, 8.
inline __m256 hadamard8(__m256 v) {
  const auto step = [](__m256 x, __m256 swapped, __m256 signs) {
    return _mm256_add_ps(swapped, _mm256_xor_ps(x, signs));
  };
  const float n = -0.0f;
  v = step(v, _mm256_permute_ps(v, 0xB1), _mm256_setr_ps(0, n, 0, n, 0, n, 0, n));
  v = step(v, _mm256_permute_ps(v, 0x4E), _mm256_setr_ps(0, 0, n, n, 0, 0, n, n));
  return step(v, _mm256_permute2f128_ps(v, v, 0x01), _mm256_setr_ps(0, 0, 0, 0, n, n, n, n));
}
inline F32x16 hadamard16(F32x16 a) {
  const __m256 low = hadamard8(a.low), high = hadamard8(a.high);
  return {_mm256_add_ps(low, high), _mm256_sub_ps(low, high)};
}

inline void store_levels(int8_t* p, F32x16 levels) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(levels.low), _mm256_cvtps_epi32(levels.high));
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}

inline F32x16 widen(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}

// Halves, quarters, pairs, singles: every round adds the upper half of what is left of a row to the lower half.
inline void fold16(const F32x16* v, float* out) {
  for (int first = 0; first < 16; first += 8) {
    __m256 four[4];
    for (int i = 0; i < 4; ++i) {
      const F32x16 a = v[first + 2 * i], b = v[first + 2 * i + 1];
      const __m256 a8 = _mm256_add_ps(a.low, a.high), b8 = _mm256_add_ps(b.low, b.high);
      four[i] = _mm256_add_ps(_mm256_permute2f128_ps(a8, b8, 0x20), _mm256_permute2f128_ps(a8, b8, 0x31));
    }
    __m256 two[2];
    for (int i = 0; i < 2; ++i)
      two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0x44),
                             _mm256_shuffle_ps(four[2 * i], four[2 * i + 1], 0xEE));
    const __m256 one = _mm256_add_ps(_mm256_shuffle_ps(two[0], two[1], 0x88), _mm256_shuffle_ps(two[0], two[1], 0xDD));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_ps(out + first, _mm256_permutevar8x32_ps(one, order));
  }
}

// The register blocks of the float products and of self-attention.
constexpr unsigned long kDenseRows = 2, kDenseInputs = 3, kDenseRowsOfOne = 4;
constexpr unsigned long kAttendKeys = 1, kAttendValues = 1;
constexpr unsigned long kCompensated = 4;

}  // namespace
}  // namespace subbyte
