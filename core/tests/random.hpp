// Numbers that look drawn, the same in every run, and what tests make of them.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "weights/weights.hpp"

namespace subbyte::tests {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}

  uint32_t below(uint32_t n) {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>((state_ >> 33) % n);
  }
  float number(float size = 1.0f) { return (static_cast<float>(below(2000001)) / 1e6f - 1.0f) * size; }

  std::vector<float> numbers(size_t count, float size = 1.0f) {
    std::vector<float> out(count);
    for (float& value : out) value = number(size);
    return out;
  }
  template <class T>
  std::vector<T> bytes(size_t count) {  // -127..127, or 0..254
    std::vector<T> out(count);
    for (T& value : out) value = static_cast<T>(static_cast<int>(below(255)) - (T(-1) < T(0) ? 127 : 0));
    return out;
  }

 private:
  uint64_t state_;
};

// A low-bit matrix with its sources, which say what must come out of it.
struct Weights {
  size_t rows, cols, bits, groups;
  std::vector<uint8_t> planes, alphas;
  std::vector<int8_t> bytes, levels, zero;
  std::vector<float> scale;

  Weights(Random& random, size_t rows, size_t cols, size_t bits, size_t groups, bool binary = false, bool zeros = false)
      : rows(rows), cols(cols), bits(bits), groups(groups) {
    if (bits == 8)
      bytes = random.bytes<int8_t>(rows * cols);
    else
      planes = random.bytes<uint8_t>(bits * rows * ((cols + 7) / 8));
    if (binary)
      for (size_t i = 0; i < rows * groups * bits; ++i) alphas.push_back(static_cast<uint8_t>(random.below(30)));
    else if (bits < 8)
      levels = random.bytes<int8_t>(size_t{1} << bits);
    if (zeros) zero = random.bytes<int8_t>(rows * groups);
    scale = random.numbers(rows * groups, 0.01f);
  }

  BlockSource source() const {
    const auto data = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
    return {rows, bits, data(planes), data(bytes), data(scale), data(levels), data(alphas), data(zero), false};
  }
  Result<std::shared_ptr<Matrix>> matrix() const {
    return Matrix::packed(rows, cols, cols / groups, {source()}, nullptr);
  }

  float value(size_t row, size_t col) const {
    const size_t group = col / (cols / groups), at = row * groups + group, row_bytes = (cols + 7) / 8;
    int level = 0, code = 0;
    for (size_t k = 0; k < bits && bits < 8; ++k) {
      const int bit = planes[(k * rows + row) * row_bytes + col / 8] >> (col % 8) & 1;
      code |= bit << k;
      if (!alphas.empty()) level += bit ? alphas[at * bits + k] : -alphas[at * bits + k];
    }
    if (alphas.empty()) level = bits == 8 ? bytes[row * cols + col] : levels[static_cast<size_t>(code)];
    return static_cast<float>(level - (zero.empty() ? 0 : zero[at])) * scale[at];
  }
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace subbyte::tests
