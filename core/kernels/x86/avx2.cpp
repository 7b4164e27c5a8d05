// AVX2. A quad of 64 levels is two registers (rows q and 4 + q, rows 8 + q and 12 + q); each meets 16 activations
// repeated in both 128-bit lanes. vpmaddubsw wants one unsigned operand and saturates at 16 bits, so it gets |level|
// and x * sign(level): 2 * 127 * 127 = 32,258 fits and the sums stay exact.
#include "kernels/layout.hpp"
#include "kernels/x86/lanes_avx2.hpp"

#include "kernels/lanes/vectors.hpp"

namespace subbyte {
namespace {

// The 16 levels of each code for the rows of one block and group: one table a 128-bit lane.
struct Tables {
  __m256i q[2][4];  // [half][quad]
};

inline Tables tables_of(const Packed& w, size_t block, size_t group) {
  Tables t;
  if (w.width == 8) return t;
  if (w.levels) {
    const __m256i shared = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.levels)));
    for (int half = 0; half < 2; ++half)
      for (int q = 0; q < 4; ++q) t.q[half][q] = shared;
    return t;
  }
  const size_t row_blocks = (w.rows + kTile - 1) / kTile;
  const uint8_t* alphas = w.alphas + (group * row_blocks + block) * w.width * kTile;
  alignas(32) int8_t levels[4][4][16];  // [quad][lane][code]
  for (int q = 0; q < 4; ++q) {
    for (int r = 0; r < 4; ++r) {
      __m128i level = _mm_setzero_si128();
      for (int plane = 0; plane < w.width; ++plane) {
        const __m128i alpha = _mm_set1_epi8(static_cast<char>(alphas[plane * kTile + 4 * r + q]));
        const __m128i code = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m128i bit = _mm_set1_epi8(static_cast<char>(1 << plane));
        const __m128i set = _mm_cmpeq_epi8(_mm_and_si128(code, bit), bit);
        // +alpha where the bit is set, -alpha where it is clear.
        level = _mm_add_epi8(level, _mm_blendv_epi8(_mm_sub_epi8(_mm_setzero_si128(), alpha), alpha, set));
      }
      _mm_store_si128(reinterpret_cast<__m128i*>(levels[q][r]), level);
    }
    for (int half = 0; half < 2; ++half)
      t.q[half][q] = _mm256_load_si256(reinterpret_cast<const __m256i*>(levels[q][2 * half]));
  }
  return t;
}

// 32 bits -> 32 bytes of `value` (bit set) or 0.
inline __m256i spread(const uint8_t* bits, __m256i value) {
  int32_t word;
  __builtin_memcpy(&word, bits, 4);
  const __m256i byte_of_lane =
      _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of_lane = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ull));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of_lane);
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_lane), bit_of_lane), value);
}

inline __m256i load256(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// The four quads of one half (32 levels each) of one step.
template <int width>
inline void unpack(const uint8_t* p, int half, const Tables& t, __m256i out[4]) {
  if (width == 8) {
    for (int q = 0; q < 4; ++q) out[q] = load256(p + 64 * q + 32 * half);
  } else if (width == 4) {
    const __m256i low = _mm256_set1_epi8(15), a = load256(p + 32 * half), b = load256(p + 64 + 32 * half);
    out[0] = _mm256_shuffle_epi8(t.q[half][0], _mm256_and_si256(a, low));
    out[1] = _mm256_shuffle_epi8(t.q[half][1], _mm256_and_si256(_mm256_srli_epi16(a, 4), low));
    out[2] = _mm256_shuffle_epi8(t.q[half][2], _mm256_and_si256(b, low));
    out[3] = _mm256_shuffle_epi8(t.q[half][3], _mm256_and_si256(_mm256_srli_epi16(b, 4), low));
  } else if (width == 1) {
    const __m256i one = _mm256_set1_epi8(1);
    for (int q = 0; q < 4; ++q) out[q] = _mm256_shuffle_epi8(t.q[half][q], spread(p + 8 * q + 4 * half, one));
  } else {
    const __m256i low = _mm256_set1_epi8(3), four = _mm256_set1_epi8(4), v = load256(p + 32 * half);
    for (int q = 0; q < 4; ++q) {
      __m256i code = _mm256_and_si256(q == 0 ? v : _mm256_srli_epi16(v, 2 * q), low);
      if (width == 3) code = _mm256_or_si256(code, spread(p + 64 + 8 * q + 4 * half, four));
      out[q] = _mm256_shuffle_epi8(t.q[half][q], code);
    }
  }
}

template <int width>
void expand(const Packed& w, size_t block, int8_t, uint8_t* out) {
  const size_t group_steps = w.steps / w.groups;
  const uint8_t* codes = w.codes + block * w.steps * 32 * width;
  for (size_t g = 0; g < w.groups; ++g) {
    const Tables tables = tables_of(w, block, g);
    for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
      for (int half = 0; half < 2; ++half) {
        __m256i levels[4];
        unpack<width>(codes + s * 32 * width, half, tables, levels);
        for (int q = 0; q < 4; ++q)
          _mm256_store_si256(reinterpret_cast<__m256i*>(out + s * 256 + 64 * q + 32 * half), levels[q]);
      }
    }
  }
}

// Sums of the four dwords of both 128-bit lanes of the four quads: 8 rows in order.
inline __m256i rows_of(const __m256i q[4]) {
  const __m256i a = _mm256_add_epi32(_mm256_unpacklo_epi32(q[0], q[1]), _mm256_unpackhi_epi32(q[0], q[1]));
  const __m256i b = _mm256_add_epi32(_mm256_unpacklo_epi32(q[2], q[3]), _mm256_unpackhi_epi32(q[2], q[3]));
  return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

constexpr int8_t kBias = 0;

// The codes of one half of one step.
template <int width>
inline void codes_of(const uint8_t* p, int half, __m256i out[4]) {
  const __m256i a = load256(p + 32 * half);
  if (width == 4) {
    const __m256i low = _mm256_set1_epi8(15), b = load256(p + 64 + 32 * half);
    out[0] = _mm256_and_si256(a, low);
    out[1] = _mm256_and_si256(_mm256_srli_epi16(a, 4), low);
    out[2] = _mm256_and_si256(b, low);
    out[3] = _mm256_and_si256(_mm256_srli_epi16(b, 4), low);
    return;
  }
  const __m256i low = _mm256_set1_epi8(3), four = _mm256_set1_epi8(4);
  for (int q = 0; q < 4; ++q) {
    out[q] = _mm256_and_si256(q == 0 ? a : _mm256_srli_epi16(a, 2 * q), low);
    if (width == 3) out[q] = _mm256_or_si256(out[q], spread(p + 64 + 8 * q + 4 * half, four));
  }
}

// Where levels are evenly spaced, codes meet inputs as they are: no table, no signs, and the sums of kShortSteps steps
// fit 16 bits, as 8 * 2 * 15 * 127 is 30,480.
constexpr size_t kShortSteps = 8;

template <int width, size_t inputs>
inline void add_codes(const uint8_t* codes, int half, const int8_t* x, size_t x_stride, size_t steps,
                      __m256i acc[inputs][4]) {
  __m256i sums[inputs][4];
  for (size_t i = 0; i < inputs; ++i)
    for (int q = 0; q < 4; ++q) sums[i][q] = _mm256_setzero_si256();
  for (size_t s = 0; s < steps; ++s) {
    __m256i code[4];
    codes_of<width>(codes + s * 32 * width, half, code);
    for (size_t i = 0; i < inputs; ++i) {
      const __m256i xs =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * x_stride + s * kTile)));
      for (int q = 0; q < 4; ++q) sums[i][q] = _mm256_add_epi16(sums[i][q], _mm256_maddubs_epi16(code[q], xs));
    }
  }
  const __m256i ones = _mm256_set1_epi16(1);
  for (size_t i = 0; i < inputs; ++i)
    for (int q = 0; q < 4; ++q) acc[i][q] = _mm256_add_epi32(acc[i][q], _mm256_madd_epi16(sums[i][q], ones));
}

// The sums of 8 rows for one input within group g, with what the exceptions of a block add. Apart, so that it takes no
// registers.
[[gnu::noinline]] __m256i plus_exceptions(const Packed& w, size_t block, int half, size_t g, const int8_t* x,
                                          __m256i sum) {
  const size_t size = w.steps / w.groups * kTile;
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (uint32_t i = w.first_exception[block]; i < w.first_exception[block + 1]; ++i) {
    const Exception one = w.exceptions[i];
    if (w.groups > 1 && one.col / size != g) continue;
    const __m256i its = _mm256_cmpeq_epi32(lane, _mm256_set1_epi32(one.row - 8 * half));
    sum = _mm256_add_epi32(sum, _mm256_and_si256(its, _mm256_set1_epi32(one.more * x[one.col])));
  }
  return sum;
}

// One block of 16 rows times `inputs` rows of x. width 0: the levels stand ready in a.scratch.
template <int width, size_t inputs, bool even>
void int8_block(const LinearInt8& a, size_t block, size_t first) {
  const Packed& w = a.w;
  const size_t padded = (w.rows + kTile - 1) / kTile * kTile, row = block * kTile;
  const size_t group_steps = w.steps / w.groups, x_stride = w.steps * kTile;
  constexpr size_t step_bytes = width == 0 ? 256 : 32 * width;
  const uint8_t* codes = width == 0 ? a.scratch : w.codes + block * w.steps * step_bytes;
  const int8_t* x = a.x + first * x_stride;
  const __m256i ones = _mm256_set1_epi16(1);
  const bool exceptions = w.exceptions && w.first_exception[block] != w.first_exception[block + 1];
  __m256 y[inputs][2];
  for (size_t g = 0; g < w.groups; ++g) {
    Tables tables;
    if constexpr (width != 0 && !even) tables = tables_of(w, block, g);
    for (int half = 0; half < 2; ++half) {
      __m256i acc[inputs][4];
      for (size_t i = 0; i < inputs; ++i)
        for (int q = 0; q < 4; ++q) acc[i][q] = _mm256_setzero_si256();
      const size_t begin = g * group_steps, end = begin + group_steps;
      if constexpr (even) {
        for (size_t s = begin; s < end; s += kShortSteps)
          add_codes<width, inputs>(codes + s * step_bytes, half, x + s * kTile, x_stride,
                                   end - s < kShortSteps ? end - s : kShortSteps, acc);
      }
      for (size_t s = even ? end : begin; s < end; ++s) {
        __m256i levels[4], size[4];
        unpack<width == 0 ? 8 : width>(codes + s * step_bytes, half, tables, levels);
        for (int q = 0; q < 4; ++q) size[q] = _mm256_abs_epi8(levels[q]);
        for (size_t i = 0; i < inputs; ++i) {
          const __m256i xs = _mm256_broadcastsi128_si256(
              _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * x_stride + s * kTile)));
          for (int q = 0; q < 4; ++q) {
            const __m256i pairs = _mm256_maddubs_epi16(size[q], _mm256_sign_epi8(xs, levels[q]));
            acc[i][q] = _mm256_add_epi32(acc[i][q], _mm256_madd_epi16(pairs, ones));
          }
        }
      }
      const size_t at = g * padded + row + 8 * half;
      const __m256 scale = _mm256_loadu_ps(w.scale + at);
      __m256i offset = _mm256_set1_epi32(even ? -w.levels[0] : 0);
      if (w.zero)
        offset = _mm256_add_epi32(offset,
                                  _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w.zero + at))));
      for (size_t i = 0; i < inputs; ++i) {
        const __m256i x_sum = _mm256_set1_epi32(a.x_sum[(first + i) * w.groups + g]);
        __m256i sum = rows_of(acc[i]);
        if constexpr (even) sum = _mm256_mullo_epi32(sum, _mm256_set1_epi32(w.spacing));
        if (width != 0 && exceptions) sum = plus_exceptions(w, block, half, g, x + i * x_stride, sum);
        sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(offset, x_sum));
        const __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
        y[i][half] = g == 0 ? part : _mm256_add_ps(y[i][half], part);
      }
    }
  }
  for (size_t i = 0; i < inputs; ++i) {
    const __m256 x_scale = _mm256_set1_ps(a.x_scale[first + i]);
    const F32x16 v = {_mm256_mul_ps(y[i][0], x_scale), _mm256_mul_ps(y[i][1], x_scale)};
    finish(a.y + (first + i) * a.y_stride, v, a.bias, a.outputs, row, w.rows);
  }
}

constexpr size_t kFewInputs = 2;

}  // namespace
}  // namespace subbyte

#include "kernels/lanes/table.hpp"

namespace subbyte {

void avx2_kernels(Kernels& table) { table = lanes_kernels(); }

}  // namespace subbyte
