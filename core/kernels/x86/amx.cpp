// AMX: tiles of 16 rows of 64 bytes, multiplied 16 x 16 x 64 signed bytes at a time; all else is AVX-512 with VNNI. A
// product with few inputs would leave tiles mostly empty, and stays with that too.
#include <algorithm>

#include "kernels/layout.hpp"
#include "kernels/x86/levels_avx512.hpp"

namespace subbyte {
namespace {

constexpr size_t kTileBytes = 1024, kTileSteps = 4, kTileInputs = 16, kInputsAtOnce = 2 * kTileInputs;

// Tiles 0 to 3 take sums (inputs x outputs), 4 and 5 hold inputs, 6 and 7 weights; all of them whole.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileConfig kConfig;

// Of a block as tiles.
constexpr size_t block_bytes(size_t steps) { return (steps + kTileSteps - 1) / kTileSteps * kTileBytes; }

// The levels of one block as tiles of weights, 4 steps each: row k of a tile is columns 4 * k .. 4 * k + 3 of every
// output, output by output. The last tile is filled up with zeros, so what it meets beyond an input's columns is
// nothing.
template <int width>
void expand_tiles(const Packed& w, size_t block, uint8_t* out) {
  const uint8_t* codes = w.codes + block * w.steps * 32 * width;
  const size_t group_steps = w.steps / w.groups;
  for (size_t g = 0; g < w.groups; ++g) {
    const Tables tables = tables_of<width>(w, block, g, 0);
    for (size_t s = g * group_steps; s < (g + 1) * group_steps; ++s) {
      __m512i quad[4];  // lane r of quad q: four dwords of row 4 * r + q
      unpack<width>(codes + s * 32 * width, tables, quad);
      const __m512i a = _mm512_unpacklo_epi32(quad[0], quad[1]), b = _mm512_unpacklo_epi32(quad[2], quad[3]);
      const __m512i c = _mm512_unpackhi_epi32(quad[0], quad[1]), d = _mm512_unpackhi_epi32(quad[2], quad[3]);
      _mm512_store_si512(out + s * 256, _mm512_unpacklo_epi64(a, b));
      _mm512_store_si512(out + s * 256 + 64, _mm512_unpackhi_epi64(a, b));
      _mm512_store_si512(out + s * 256 + 128, _mm512_unpacklo_epi64(c, d));
      _mm512_store_si512(out + s * 256 + 192, _mm512_unpackhi_epi64(c, d));
    }
  }
  for_exceptions(w, block, [=](const Exception& one) {
    uint8_t& level = out[one.col / kTile * 256 + one.col % kTile / 4 * 64 + one.row * 4 + one.col % 4];
    level = static_cast<uint8_t>(level + one.more);
  });
  for (size_t s = w.steps; s % kTileSteps != 0; ++s)
    for (int i = 0; i < 4; ++i) _mm512_store_si512(out + s * 256 + 64 * i, _mm512_setzero_si512());
}

// sums[half][block][input][output] of 16 or 32 inputs (halves) and one or two blocks, over `tiles` tiles.
template <bool two_halves, bool two_blocks>
inline void multiply(const int8_t* x, size_t x_stride, const uint8_t* w, const uint8_t* w_second, size_t tiles,
                     int32_t* sums) {
  _tile_zero(0);
  if (two_blocks) _tile_zero(1);
  if (two_halves) _tile_zero(2);
  if (two_halves && two_blocks) _tile_zero(3);
  for (size_t t = 0; t < tiles; ++t) {
    _tile_loadd(6, w + t * kTileBytes, 64);
    _tile_loadd(4, x + t * 64, x_stride);
    _tile_dpbssd(0, 4, 6);
    if (two_halves) {
      _tile_loadd(5, x + kTileInputs * x_stride + t * 64, x_stride);
      _tile_dpbssd(2, 5, 6);
    }
    if (two_blocks) {
      _tile_loadd(7, w_second + t * kTileBytes, 64);
      _tile_dpbssd(1, 4, 7);
      if (two_halves) _tile_dpbssd(3, 5, 7);
    }
  }
  _tile_stored(0, sums, 64);
  if (two_blocks) _tile_stored(1, sums + 256, 64);
  if (two_halves) _tile_stored(2, sums + 512, 64);
  if (two_halves && two_blocks) _tile_stored(3, sums + 768, 64);
}

// Sums of `n` inputs with one block, of group g of several, to outputs. Between groups y is kept in `partial`.
inline void finish_block(const LinearInt8& a, size_t block, size_t first, size_t n, size_t g, const int32_t* sums,
                         float* partial) {
  const Packed& w = a.w;
  const size_t row = block * kTile, padded = (w.rows + kTile - 1) / kTile * kTile;
  const bool plain = !a.outputs && row + kTile <= w.rows, last = g + 1 == w.groups;
  const __m512 scale = _mm512_loadu_ps(w.scale + g * padded + row);
  const __m512 bias = plain && a.bias ? _mm512_loadu_ps(a.bias + row) : _mm512_setzero_ps();
  const __m512i zero =
      w.zero ? _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.zero + g * padded + row)))
             : _mm512_setzero_si512();
  for (size_t i = 0; i < n; ++i) {
    __m512i sum = _mm512_load_si512(sums + i * kTile);
    if (w.zero)
      sum = _mm512_sub_epi32(sum, _mm512_mullo_epi32(zero, _mm512_set1_epi32(a.x_sum[(first + i) * w.groups + g])));
    __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
    if (g > 0) y = _mm512_add_ps(_mm512_load_ps(partial + i * kTile), y);
    if (!last) {
      _mm512_store_ps(partial + i * kTile, y);
      continue;
    }
    y = _mm512_mul_ps(y, _mm512_set1_ps(a.x_scale[first + i]));
    float* out = a.y + (first + i) * a.y_stride;
    if (!plain)
      finish(out, {y}, a.bias, a.outputs, row, w.rows);
    else
      _mm512_storeu_ps(out + row, a.bias ? _mm512_add_ps(y, bias) : y);
  }
}

// Up to 32 inputs from `first` on with one or two blocks, whose tiles stand at `w` and behind them.
template <bool two_halves, bool two_blocks>
inline void tiled_outputs(const LinearInt8& a, size_t block, size_t first, size_t n, const uint8_t* w) {
  const size_t groups = a.w.groups, group_steps = a.w.steps / groups, x_stride = a.w.steps * kTile;
  const size_t tiles = (group_steps + kTileSteps - 1) / kTileSteps;
  alignas(64) int32_t sums[4 * 256];
  alignas(64) float partial[4 * 256];
  for (size_t g = 0; g < groups; ++g) {
    const uint8_t* from = w + g * group_steps * 256;
    multiply<two_halves, two_blocks>(a.x + first * x_stride + g * group_steps * kTile, x_stride, from,
                                     from + block_bytes(a.w.steps), tiles, sums);
    for (size_t half = 0; half < (two_halves ? 2 : 1); ++half)
      for (size_t b = 0; b < (two_blocks ? 2 : 1); ++b)
        finish_block(a, block + b, first + half * kTileInputs, std::min(kTileInputs, n - half * kTileInputs), g,
                     sums + half * 512 + b * 256, partial + half * 512 + b * 256);
  }
}

// Blocks are made tiles a chunk at a time. Then 32 inputs, which stay in the first cache, meet all of the chunk, which
// streams by in one run.
template <int width>
void tiled(const LinearInt8& a) {
  const size_t bytes = block_bytes(a.w.steps), chunk = int8_scratch(a.w.steps) / bytes;
  _tile_loadconfig(&kConfig);
  for (size_t begin = a.block_begin; begin < a.block_end; begin += chunk) {
    const size_t end = std::min(begin + chunk, a.block_end);
    for (size_t block = begin; block < end; ++block)
      expand_tiles<width>(a.w, block, a.scratch + (block - begin) * bytes);
    for (size_t i = 0; i < a.m; i += kInputsAtOnce) {
      const size_t n = std::min(kInputsAtOnce, a.m - i);
      for (size_t block = begin; block < end; block += 2) {
        const uint8_t* w = a.scratch + (block - begin) * bytes;
        if (n > kTileInputs)
          block + 1 < end ? tiled_outputs<true, true>(a, block, i, n, w)
                          : tiled_outputs<true, false>(a, block, i, n, w);
        else
          block + 1 < end ? tiled_outputs<false, true>(a, block, i, n, w)
                          : tiled_outputs<false, false>(a, block, i, n, w);
      }
    }
  }
  _tile_release();
}

Kernels weaker;  // the table before this file

void linear_int8(const LinearInt8& a) {
  // Groups that end inside a tile would meet what is not theirs.
  const bool whole = a.w.groups == 1 || a.w.steps / a.w.groups % kTileSteps == 0;
  if (a.m <= weaker.few_inputs || !whole) return weaker.linear_int8(a);
  SUBBYTE_BY_WIDTH(a.w.width, tiled, a)
}

}  // namespace

void amx_kernels(Kernels& table) {
  weaker = table;
  table.linear_int8 = linear_int8;
}

}  // namespace subbyte
