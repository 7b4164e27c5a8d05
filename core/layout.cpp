#include "layout.hpp"

#include <array>
#include <cstring>

namespace subbyte {
namespace {

// Eight bits as the low bits of eight bytes, bit 0 first.
const std::array<uint64_t, 256> kSpread = [] {
  std::array<uint64_t, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    uint8_t out[8];
    for (int i = 0; i < 8; ++i) out[i] = byte >> i & 1;
    std::memcpy(&table[byte], out, 8);
  }
  return table;
}();

int code_at(const uint8_t* step, int width, size_t quad, size_t at) {
  switch (width) {
    case 4: return step[64 * (quad / 2) + at] >> (4 * (quad % 2)) & 15;
    case 3: return (step[at] >> (2 * quad) & 3) | (step[64 + 8 * quad + at / 8] >> (at % 8) & 1) << 2;
    case 2: return step[at] >> (2 * quad) & 3;
    default: return step[8 * quad + at / 8] >> (at % 8) & 1;
  }
}

// Calls f(row, byte within the row of a plane, quad, byte within the quad, step) for every 8 columns.
template <class F>
void for_each_8(size_t rows, size_t cols, const F& f) {
  for (size_t row = 0; row < rows; ++row) {
    const size_t in_block = row % kTile;
    for (size_t byte = 0; byte < (cols + 7) / 8; ++byte)
      f(row, byte, in_block % 4, 16 * (in_block / 4) + byte % 2 * 8, row / kTile * steps_of(cols) + byte / 2);
  }
}

inline void or_8(uint8_t* p, uint64_t bytes) {
  uint64_t old;
  std::memcpy(&old, p, 8);
  old |= bytes;
  std::memcpy(p, &old, 8);
}

}  // namespace

int level_at(const Packed& w, size_t row, size_t col) {
  const size_t block = row / kTile, in_block = row % kTile, quad = in_block % 4;
  const size_t at = 16 * (in_block / 4) + col % kTile;
  const uint8_t* step = w.codes + (block * w.steps + col / kTile) * 32 * w.width;
  if (w.width == 8) return static_cast<int8_t>(step[64 * quad + at]);
  const int code = code_at(step, w.width, quad, at);
  if (!w.alphas) return w.levels[code];
  const size_t group = col / kTile / (w.steps / w.groups);
  const uint8_t* alphas = w.alphas + (group * blocks_of(w.rows) + block) * w.width * kTile;
  int level = 0;
  for (int plane = 0; plane < w.width; ++plane) {
    const int alpha = alphas[plane * kTile + in_block];
    level += code >> plane & 1 ? alpha : -alpha;
  }
  return level;
}

void codes_of_row(const Packed& w, size_t row, uint8_t* codes) {
  const size_t in_block = row % kTile, quad = in_block % 4, lane = 16 * (in_block / 4);
  const size_t step_bytes = 32 * static_cast<size_t>(w.width);
  const uint8_t* step = w.codes + row / kTile * w.steps * step_bytes;
  const auto for_each = [&](const auto& code) {
    for (size_t s = 0; s < w.steps; ++s, step += step_bytes)
      for (size_t i = 0; i < kTile; ++i) *codes++ = code(step, lane + i);
  };
  switch (w.width) {
    case 8: return for_each([=](const uint8_t* p, size_t at) { return p[64 * quad + at]; });
    case 4:
      return for_each(
          [=](const uint8_t* p, size_t at) -> uint8_t { return p[64 * (quad / 2) + at] >> (4 * (quad % 2)) & 15; });
    case 2: return for_each([=](const uint8_t* p, size_t at) -> uint8_t { return p[at] >> (2 * quad) & 3; });
    default:
      return for_each([=](const uint8_t* p, size_t at) { return static_cast<uint8_t>(code_at(p, w.width, quad, at)); });
  }
}

int zero_at(const Packed& w, size_t row, size_t group) {
  return w.zero ? w.zero[group * blocks_of(w.rows) * kTile + row] : 0;
}

float scale_at(const Packed& w, size_t row, size_t group) { return w.scale[group * blocks_of(w.rows) * kTile + row]; }

void lay_out_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, uint8_t* codes) {
  const size_t row_bytes = (cols + 7) / 8, plane_bytes = rows * row_bytes;
  for_each_8(rows, cols, [&](size_t row, size_t byte, size_t quad, size_t at, size_t step) {
    const uint8_t* p = planes + row * row_bytes + byte;
    uint8_t* out = codes + step * 32 * bits;
    if (bits == 1) {
      out[8 * quad + at / 8] = p[0];
      return;
    }
    uint64_t low = kSpread[p[0]] | kSpread[p[plane_bytes]] << 1;
    if (bits == 4) {
      low |= kSpread[p[2 * plane_bytes]] << 2 | kSpread[p[3 * plane_bytes]] << 3;
      or_8(out + 64 * (quad / 2) + at, low << (4 * (quad % 2)));
      return;
    }
    or_8(out + at, low << (2 * quad));
    if (bits == 3) out[64 + 8 * quad + at / 8] = p[2 * plane_bytes];
  });
}

void lay_out_wide_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, const int8_t* levels,
                         uint8_t* codes) {
  const size_t row_bytes = (cols + 7) / 8, plane_bytes = rows * row_bytes;
  for_each_8(rows, cols, [&](size_t row, size_t byte, size_t quad, size_t at, size_t step) {
    uint64_t eight = 0;
    for (size_t plane = 0; plane < bits; ++plane)
      eight |= kSpread[planes[plane * plane_bytes + row * row_bytes + byte]] << plane;
    uint8_t code[8];
    std::memcpy(code, &eight, 8);
    uint8_t* out = codes + step * 256 + 64 * quad + at;
    const size_t left = cols - byte * 8;
    for (size_t i = 0; i < 8 && i < left; ++i) out[i] = static_cast<uint8_t>(levels[code[i]]);
  });
}

void lay_out_bytes(const int8_t* levels, size_t rows, size_t cols, uint8_t* codes) {
  for_each_8(rows, cols, [&](size_t row, size_t byte, size_t quad, size_t at, size_t step) {
    const size_t left = cols - byte * 8;
    std::memcpy(codes + step * 256 + 64 * quad + at, levels + row * cols + byte * 8, left < 8 ? left : 8);
  });
}

}  // namespace subbyte
