// AVX-512 with VNNI. A step of 16 columns of 16 rows is four registers of levels; each meets 16 activations, repeated
// in the four 128-bit lanes, in one dot-product instruction. The instruction wants one unsigned operand: the weights
// get +128, and 128 * sum(x) is taken off at the end (no saturation anywhere, so the sums stay exact).
#include "kernels/layout.hpp"
#include "kernels/x86/levels_avx512.hpp"

namespace subbyte {
namespace {

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

// The codes of one step, those of quad q times 2^shift_of<width>(q): where levels are evenly spaced, they meet inputs
// as they are, with neither a table nor most of the shifts.
template <int width>
constexpr int shift_of(int q) {
  return width == 4 ? q % 2 * 4 : width == 3 && q == 3 ? 4 : 2 * q;
}

template <int width>
inline void shifted_codes(const uint8_t* p, __m512i out[4]) {
  const __m512i v = _mm512_loadu_si512(p);
  if (width == 4) {
    const __m512i low = _mm512_set1_epi8(0x0f), high = _mm512_set1_epi8(static_cast<char>(0xf0));
    const __m512i second = _mm512_loadu_si512(p + 64);
    out[0] = _mm512_and_si512(v, low);
    out[1] = _mm512_and_si512(v, high);
    out[2] = _mm512_and_si512(second, low);
    out[3] = _mm512_and_si512(second, high);
    return;
  }
  for (int q = 0; q < 4; ++q) {
    const int shift = shift_of<width>(q);
    const __m512i moved = shift == 2 * q ? v : _mm512_srli_epi16(v, 2 * q - shift);
    out[q] = _mm512_and_si512(moved, _mm512_set1_epi8(static_cast<char>(3 << shift)));
    if (width == 3) {
      __mmask64 set;
      std::memcpy(&set, p + 64 + 8 * q, 8);
      out[q] = _mm512_mask_add_epi8(out[q], set, out[q], _mm512_set1_epi8(static_cast<char>(4 << shift)));
    }
  }
}

// The sums of one input within group g, with what the exceptions of a block add. Apart, so that it takes no registers.
[[gnu::noinline]] __m512i plus_exceptions(const Packed& w, size_t block, size_t g, const int8_t* x, __m512i sum) {
  const size_t size = w.steps / w.groups * kTile;
  for (uint32_t i = w.first_exception[block]; i < w.first_exception[block + 1]; ++i) {
    const Exception one = w.exceptions[i];
    if (w.groups > 1 && one.col / size != g) continue;
    sum =
        _mm512_mask_add_epi32(sum, static_cast<__mmask16>(1 << one.row), sum, _mm512_set1_epi32(one.more * x[one.col]));
  }
  return sum;
}

// One block of 16 rows times `inputs` rows of x. width 0: the levels plus kBias stand ready in a.scratch.
template <int width, size_t inputs, bool even>
void int8_block(const LinearInt8& a, size_t block, size_t first) {
  const Packed& w = a.w;
  const size_t padded = (w.rows + kTile - 1) / kTile * kTile, row = block * kTile;
  const size_t group_steps = w.steps / w.groups, x_stride = w.steps * kTile;
  const uint8_t* codes = width == 0 ? a.scratch : w.codes + block * w.steps * 32 * width;
  constexpr size_t step_bytes = width == 0 ? 256 : 32 * width;
  const int8_t* x = a.x + first * x_stride;
  const bool exceptions = w.exceptions && w.first_exception[block] != w.first_exception[block + 1];
  __m512 y[inputs];
  for (size_t g = 0; g < w.groups; ++g) {
    Tables tables;
    if constexpr (width != 0 && !even) tables = tables_of<width>(w, block, g, kBias);
    __m512i acc[inputs][4];
    for (size_t i = 0; i < inputs; ++i)
      for (int q = 0; q < 4; ++q) acc[i][q] = _mm512_setzero_si512();
    for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
      __m512i levels[4];
      if constexpr (width == 0) {
        for (int q = 0; q < 4; ++q) levels[q] = _mm512_load_si512(codes + s * 256 + 64 * q);
      } else if constexpr (even) {
        shifted_codes<width>(codes + s * step_bytes, levels);
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
    __m512i offset = _mm512_set1_epi32(even ? -w.levels[0] : -kBias);
    if (w.zero)
      offset = _mm512_add_epi32(
          offset, _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.zero + g * padded + row))));
    for (size_t i = 0; i < inputs; ++i) {
      if constexpr (even)
        for (int q = 0; q < 4; ++q) acc[i][q] = _mm512_srai_epi32(acc[i][q], shift_of<width>(q));
      __m512i sum = rows_of(acc[i]);
      if constexpr (even) sum = _mm512_mullo_epi32(sum, _mm512_set1_epi32(w.spacing));
      if (width != 0 && exceptions) sum = plus_exceptions(w, block, g, x + i * x_stride, sum);
      sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(offset, _mm512_set1_epi32(a.x_sum[(first + i) * w.groups + g])));
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

#include "kernels/lanes/table.hpp"

namespace subbyte {

void avx512_vnni_kernels(Kernels& table) { table = lanes_kernels(); }

}  // namespace subbyte
