#include "kernels/layout.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace subbyte {
namespace {

using Bytes = uint8_t __attribute__((vector_size(16)));
using Words = uint64_t __attribute__((vector_size(16)));

// Bit j of byte i becomes bit i of byte j; of a word, or of each of two.
template <class T>
inline T transpose(T x) {
  T t = (x ^ x >> 7) & 0x00aa00aa00aa00aaU;
  x ^= t ^ t << 7;
  t = (x ^ x >> 14) & 0x0000cccc0000ccccU;
  x ^= t ^ t << 14;
  t = (x ^ x >> 28) & 0x00000000f0f0f0f0U;
  return x ^ t ^ t << 28;
}

// a0 b0 a1 b1 ..., of the first and of the last 8 bytes of each.
#if defined(__clang__)
inline Bytes zip_low(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#else
inline Bytes zip_low(Bytes a, Bytes b) {
  return __builtin_shuffle(a, b, Bytes{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return __builtin_shuffle(a, b, Bytes{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
}
#endif

// Eight rows of 128 bits: bit i of byte j of row k becomes bit k of byte 8 * j + i of all 128 bytes in `codes`.
inline void transpose_rows(const Bytes (&row)[8], Bytes (&codes)[8]) {
  Bytes fours[4], halves[4];  // rows 0 4, 1 5, 2 6, 3 7
  for (int half = 0; half < 2; ++half) {
    for (int k = 0; k < 4; ++k) fours[k] = half ? zip_high(row[k], row[k + 4]) : zip_low(row[k], row[k + 4]);
    for (int k = 0; k < 2; ++k) {  // rows 0 2 4 6, then 1 3 5 7
      halves[k] = zip_low(fours[k], fours[k + 2]);
      halves[k + 2] = zip_high(fours[k], fours[k + 2]);
    }
    for (int k = 0; k < 4; k += 2) {
      const Bytes low = zip_low(halves[k], halves[k + 1]), high = zip_high(halves[k], halves[k + 1]);
      codes[4 * half + k] = (Bytes)transpose((Words)low);
      codes[4 * half + k + 1] = (Bytes)transpose((Words)high);
    }
  }
}

// A code of a quad; the level itself at width 8.
inline uint8_t code_at(const uint8_t* step, int width, size_t quad, size_t at) {
  switch (width) {
    case 8: return step[64 * quad + at];
    case 4: return step[64 * (quad / 2) + at] >> (4 * (quad % 2)) & 15;
    case 3: return (step[at] >> (2 * quad) & 3) | (step[64 + 8 * quad + at / 8] >> (at % 8) & 1) << 2;
    case 2: return step[at] >> (2 * quad) & 3;
    default: return step[8 * quad + at / 8] >> (at % 8) & 1;
  }
}

template <int width>
void read_row(const Packed& w, size_t row, uint8_t* codes) {
  const size_t in_block = row % kTile, quad = in_block % 4, lane = 16 * (in_block / 4);
  const uint8_t* step = w.codes + row / kTile * w.steps * 32 * width;
  for (size_t s = 0; s < w.steps; ++s, step += 32 * width)
    for (size_t i = 0; i < kTile; ++i) *codes++ = code_at(step, width, quad, lane + i);
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

inline void store_8(uint8_t* p, uint64_t bytes) { std::memcpy(p, &bytes, 8); }

template <size_t bits>
void lay_out(const uint8_t* planes, size_t rows, size_t cols, uint8_t* codes) {
  const size_t row_bytes = (cols + 7) / 8;
  const std::vector<uint8_t> no_row(row_bytes);  // rows that fill the last block have codes of 0
  for (size_t first = 0; first < blocks_of(rows) * kTile; first += 4) {
    const uint8_t* plane[bits][4];
    for (size_t k = 0; k < bits; ++k)
      for (size_t r = 0; r < 4; ++r)
        plane[k][r] = first + r < rows ? planes + (k * rows + first + r) * row_bytes : no_row.data();
    uint8_t* out = codes + first / kTile * steps_of(cols) * 32 * bits;
    const size_t at = first % kTile * 4;
    for (size_t byte = 0; byte < row_bytes; byte += sizeof(Bytes)) {
      const size_t count = std::min(sizeof(Bytes), row_bytes - byte);  // two bytes are a step
      uint8_t* step = out + byte / 2 * 32 * bits;
      Bytes row[8], transposed[8];
      const auto load = [&](size_t i, size_t k, size_t r) {
        if (count == sizeof(Bytes)) {
          std::memcpy(&row[i], plane[k][r] + byte, sizeof(Bytes));
        } else {
          row[i] = Bytes{};
          std::memcpy(&row[i], plane[k][r] + byte, count);
        }
      };
      const auto store = [&](size_t where) {
        transpose_rows(row, transposed);
        for (size_t i = 0; i < (count + 1) / 2; ++i)
          std::memcpy(step + i * 32 * bits + where + at, &transposed[i], sizeof(Bytes));
      };
      if constexpr (bits == 4) {  // a byte holds the codes of two rows
        for (size_t r = 0; r < 4; r += 2) {
          for (size_t i = 0; i < 8; ++i) load(i, i % 4, r + i / 4);
          store(32 * r);
        }
      } else {
        if constexpr (bits > 1) {  // a byte holds the low two bits of four rows
          for (size_t i = 0; i < 8; ++i) load(i, i % 2, i / 2);
          store(0);
        }
        if constexpr (bits != 2)  // and the odd plane stays as it is
          for (size_t r = 0; r < 4; ++r)
            for (size_t i = 0; i < count; ++i)
              step[i / 2 * 32 * bits + (bits == 3 ? 64 : 0) + 8 * r + at / 8 + i % 2] = plane[bits - 1][r][byte + i];
      }
    }
  }
}

}  // namespace

int level_of(const Packed& w, size_t row, size_t group, uint8_t code) {
  if (w.width == 8) return static_cast<int8_t>(code);
  if (!w.alphas) return w.levels[code];
  const uint8_t* alphas = w.alphas + (group * blocks_of(w.rows) + row / kTile) * w.width * kTile + row % kTile;
  int level = 0;
  for (int plane = 0; plane < w.width; ++plane)
    level += code >> plane & 1 ? alphas[plane * kTile] : -alphas[plane * kTile];
  return level;
}

int level_at(const Packed& w, size_t row, size_t col) {
  const size_t in_block = row % kTile, at = 16 * (in_block / 4) + col % kTile;
  const uint8_t* step = w.codes + (row / kTile * w.steps + col / kTile) * 32 * w.width;
  int level = level_of(w, row, col / kTile / (w.steps / w.groups), code_at(step, w.width, in_block % 4, at));
  for_exceptions(w, row / kTile, [&](const Exception& one) {
    if (one.row == in_block && one.col == col) level += one.more;
  });
  return level;
}

void codes_of_row(const Packed& w, size_t row, uint8_t* codes) {
  switch (w.width) {
    case 8: return read_row<8>(w, row, codes);
    case 4: return read_row<4>(w, row, codes);
    case 3: return read_row<3>(w, row, codes);
    case 2: return read_row<2>(w, row, codes);
    default: return read_row<1>(w, row, codes);
  }
}

int zero_at(const Packed& w, size_t row, size_t group) {
  return w.zero ? w.zero[group * blocks_of(w.rows) * kTile + row] : 0;
}

float scale_at(const Packed& w, size_t row, size_t group) { return w.scale[group * blocks_of(w.rows) * kTile + row]; }

void lay_out_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, uint8_t* codes) {
  switch (bits) {
    case 1: return lay_out<1>(planes, rows, cols, codes);
    case 2: return lay_out<2>(planes, rows, cols, codes);
    case 3: return lay_out<3>(planes, rows, cols, codes);
    default: return lay_out<4>(planes, rows, cols, codes);
  }
}

void lay_out_wide_planes(const uint8_t* planes, size_t bits, size_t rows, size_t cols, const int8_t* levels,
                         uint8_t* codes) {
  const size_t row_bytes = (cols + 7) / 8;
  for_each_8(rows, cols, [&](size_t row, size_t byte, size_t quad, size_t at, size_t step) {
    uint64_t eight = 0;
    for (size_t k = 0; k < bits; ++k)
      eight |= static_cast<uint64_t>(planes[(k * rows + row) * row_bytes + byte]) << (8 * k);
    uint8_t code[8];
    store_8(code, transpose(eight));
    uint8_t* out = codes + step * 256 + 64 * quad + at;
    const size_t left = cols - byte * 8;
    for (size_t i = 0; i < 8 && i < left; ++i) out[i] = static_cast<uint8_t>(levels[code[i]]);
  });
}

void lay_out_step(const uint8_t* codes, uint8_t* step) {
  for (size_t quad = 0; quad < 4; quad += 2, codes += 128, step += 64)
    for (size_t at = 0; at < 64; ++at) step[at] = static_cast<uint8_t>(codes[at] | codes[64 + at] << 4);
}

void lay_out_bytes(const int8_t* levels, size_t rows, size_t cols, uint8_t* codes) {
  for_each_8(rows, cols, [&](size_t row, size_t byte, size_t quad, size_t at, size_t step) {
    const size_t left = cols - byte * 8;
    std::memcpy(codes + step * 256 + 64 * quad + at, levels + row * cols + byte * 8, left < 8 ? left : 8);
  });
}

std::vector<Exception> lay_out_levels(const int8_t* levels, size_t bits, size_t rows, size_t cols, uint8_t* codes,
                                      uint32_t* first) {
  const size_t share = 8 / bits;  // rows whose codes are in one byte
  const int low = -(1 << (bits - 1)), high = -low - 1;
  std::vector<Exception> beyond;
  for (size_t row = 0; row < rows; ++row, levels += cols) {
    if (row % kTile == 0) *first++ = static_cast<uint32_t>(beyond.size());
    const size_t quad = row % 4, shift = quad % share * bits;
    uint8_t* step = codes + row / kTile * steps_of(cols) * 32 * bits + quad / share * 64 + row % kTile / 4 * 16;
    for (size_t begin = 0; begin < cols; begin += kTile, step += 32 * bits) {
      const size_t count = std::min(kTile, cols - begin);
      uint8_t far = 0;
      for (size_t i = 0; i < count; ++i) {
        const int level = levels[begin + i], near = std::clamp(level, low, high);
        far |= static_cast<uint8_t>(level != near);
        step[i] = static_cast<uint8_t>(step[i] | (near - low) << shift);
      }
      for (size_t i = 0; far && i < count; ++i) {
        const int level = levels[begin + i], more = level - std::clamp(level, low, high);
        if (more)
          beyond.push_back(
              {static_cast<uint16_t>(begin + i), static_cast<uint8_t>(row % kTile), static_cast<int8_t>(more)});
      }
    }
  }
  *first = static_cast<uint32_t>(beyond.size());
  return beyond;
}

void unpack_levels(const uint8_t* planes, size_t bits, size_t rows, size_t cols, const int8_t* levels, size_t row,
                   size_t begin, size_t count, int8_t* out) {
  const size_t row_bytes = (cols + 7) / 8;
  for (size_t col = begin; col < begin + count; col += 8) {
    uint64_t eight = 0;
    for (size_t k = 0; k < bits; ++k)
      eight |= static_cast<uint64_t>(planes[(k * rows + row) * row_bytes + col / 8]) << (8 * k);
    uint8_t code[8];
    store_8(code, transpose(eight));
    for (size_t i = 0; i < std::min(size_t{8}, begin + count - col); ++i) *out++ = levels[code[i]];
  }
}

}  // namespace subbyte
