#include "weights/screen.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/layout.hpp"

namespace subbyte {
namespace {

// Bits of a coarse level. On a student's 32,000 words 3 leave 80 candidates in the mean and 4 leave 4, 2 far too many;
// 4 were the faster, as the kernels unpack them with less work.
constexpr int kCoarse = 4;
constexpr int kCodes = 1 << kCoarse;
constexpr int kDeepest = 254 * 127;  // the largest |level - zero| times the largest |x|
constexpr float kHuge = 1e30f;       // no sum of a few numbers below it overflows
constexpr float kTiny = 1e-20f;      // far above the smallest normal number
constexpr float kBanned = -1e35f;    // far below all sums
constexpr float kSlack = 1e-5f;
constexpr size_t kAlikeBlocks = 32;                  // of rows, that are compared
constexpr double kAlike = 1.2;                       // times the size of others
constexpr size_t kMostCandidates = 8;                // one in so many: more would cost as much as the whole matrix
constexpr size_t kStepBytes = 256, kQuadBytes = 64;  // of width 8

// Levels -127..127 by code, rising, and where a code begins: it is the number of `above` that a level exceeds.
struct Table {
  int8_t level[kCodes];
  int8_t above[kCodes - 1];
};

// The table with the least mean square error, or near it (Lloyd), for a sample of the levels of a part.
Table table_of(const Packed& w) {
  constexpr size_t kSample = 64;  // row blocks
  int32_t count[256] = {};        // of level - 128
  const size_t blocks = blocks_of(w.rows), bytes = w.steps * kStepBytes, sample = std::min(blocks, kSample);
  for (size_t i = 0; i < sample; ++i) {
    const uint8_t* codes = w.codes + blocks * i / sample * bytes;
    for (size_t at = 0; at < bytes; ++at) ++count[codes[at] ^ 128];
  }
  int low = 1, high = 255;
  while (low < high && count[low] == 0) ++low;
  while (high > low && count[high] == 0) --high;
  Table table;
  for (int code = 0; code < kCodes; ++code)
    table.level[code] = static_cast<int8_t>(low - 128 + (high - low) * (2 * code + 1) / (2 * kCodes));
  for (int round = 0;; ++round) {
    for (int code = 0; code + 1 < kCodes; ++code)
      table.above[code] = static_cast<int8_t>((table.level[code] + table.level[code + 1]) >> 1);
    if (round == 30) return table;
    double sum[kCodes] = {}, weight[kCodes] = {};
    for (int code = 0, at = 1; at < 256; ++at) {
      while (code + 1 < kCodes && at - 128 > table.above[code]) ++code;
      sum[code] += count[at] * (at - 128);
      weight[code] += count[at];
    }
    for (int code = 0; code < kCodes; ++code)
      if (weight[code] > 0) table.level[code] = static_cast<int8_t>(std::lround(sum[code] / weight[code]));
  }
}

// What is left out of the 256 levels of a step, squared, is added to squares[256].
void coarsen_step(const Table& table, const uint8_t* levels, uint8_t* codes, uint32_t* squares) {
  for (size_t at = 0; at < kStepBytes; ++at) {
    const int8_t level = static_cast<int8_t>(levels[at]);
    uint8_t code = 0, coarse = static_cast<uint8_t>(table.level[0]);
    for (int i = 0; i + 1 < kCodes; ++i) {
      const uint8_t mask = level > table.above[i] ? 255 : 0;
      code = static_cast<uint8_t>(code - mask);
      coarse = static_cast<uint8_t>(coarse + (mask & static_cast<uint8_t>(table.level[i + 1] - table.level[i])));
    }
    codes[at] = code;
    const int16_t left = static_cast<int16_t>(level - static_cast<int8_t>(coarse));
    squares[at] += static_cast<uint32_t>(left * left);
  }
}

}  // namespace

std::unique_ptr<Screen> Screen::of(const Matrix& w, const std::vector<float>& bias) {
  size_t wide = 0;
  for (const Matrix::Part& part : w.parts()) wide += part.packed.width == 8 ? part.packed.rows : 0;
  if (w.dense() || w.groups() != 1 || 2 * wide < w.rows()) return nullptr;
  for (float b : bias)
    if (!(std::fabs(b) < kHuge)) return nullptr;
  // A scale times an integer must neither overflow nor become too small to be a normal number; float16 cannot.
  const float largest = kHuge / (static_cast<float>(kDeepest) * static_cast<float>(w.cols()));
  for (const Matrix::Part& part : w.parts())
    for (size_t row = 0; row < part.packed.rows; ++row) {
      const float scale = std::fabs(part.packed.scale[row]);
      if (!(scale < largest) || (scale != 0.0f && scale < kTiny)) return nullptr;
    }
  return std::unique_ptr<Screen>(new Screen(w, bias));
}

Screen::Screen(const Matrix& w, const std::vector<float>& bias)
    : matrix_(w), bias_(bias), places_(w.rows()), reach_(w.rows()) {
  for (float b : bias) slack_.push_back(kSlack * std::fabs(b) + kTiny);
  for (size_t row = 0; row < w.rows(); ++row) in_order_.push_back(static_cast<uint32_t>(row));
  for (size_t p = 0; p < w.parts().size(); ++p) {
    const Matrix::Part& part = w.parts()[p];
    const Packed& packed = part.packed;
    for (size_t row = 0; row < packed.rows; ++row) {
      places_[part.outputs ? part.outputs[row] : row] = {static_cast<uint32_t>(p), static_cast<uint32_t>(row)};
      largest_scale_ = std::max(largest_scale_, std::fabs(packed.scale[row]));
    }
    if (packed.width == 8)
      cut(p);
    else
      parts_.push_back(part);
  }
  for (size_t i = 0; i < w.rows(); i += kRun) {
    const auto of = [&](const std::vector<float>& v) {
      return *std::max_element(v.begin() + i, v.begin() + std::min(i + kRun, v.size()));
    };
    run_reach_.push_back(of(reach_));
    run_slack_.push_back(of(slack_));
  }
}

// Coarsens a part in pieces of rows whose levels are of one size: entropy coded words have steps of their own by
// ranges.
void Screen::cut(size_t p) {
  const Matrix::Part& part = matrix_.parts()[p];
  const Packed& w = part.packed;
  const size_t blocks = blocks_of(w.rows), bytes = w.steps * kStepBytes;
  const auto size_of = [&](size_t begin, size_t end) {  // the mean of |level|
    size_t sum = 0;
    for (size_t at = begin * bytes; at < end * bytes; ++at)
      sum += static_cast<size_t>(std::abs(static_cast<int8_t>(w.codes[at])));
    return static_cast<double>(sum) / static_cast<double>((end - begin) * bytes);
  };
  for (size_t begin = 0, end; begin < blocks; begin = end) {
    end = std::min(begin + kAlikeBlocks, blocks);
    const double size = size_of(begin, end);
    while (end < blocks) {
      const size_t next = std::min(end + kAlikeBlocks, blocks);
      const double other = size_of(end, next);
      if (other > kAlike * size || size > kAlike * other) break;
      end = next;
    }
    Matrix::Part piece = part;
    const size_t row = begin * kTile;
    piece.packed.codes += begin * bytes;
    piece.packed.scale += row;
    if (w.zero) piece.packed.zero += row;
    piece.packed.rows = std::min(end * kTile, w.rows) - row;
    piece.outputs = (part.outputs ? part.outputs : in_order_.data()) + row;
    coarsen(piece);
  }
}

// Adds a coarse copy of a part.
void Screen::coarsen(const Matrix::Part& part) {
  const Packed& fine = part.packed;
  const uint32_t* outputs = part.outputs;
  const Table table = table_of(fine);
  Coarse& coarse = coarse_.emplace_back();
  uint8_t* out = coarse.codes.grow(blocks_of(fine.rows) * fine.steps * 32 * kCoarse);
  std::memcpy(coarse.levels.grow(16), table.level, sizeof table.level);
  parts_.push_back(part);
  parts_.back().packed.codes = out;
  parts_.back().packed.levels = coarse.levels.data();
  parts_.back().packed.width = kCoarse;
  parts_.back().packed.spacing = 0;

  // Columns that fill the last step have level 0, and what the table makes of it is no error: x is 0 there.
  uint8_t zero_levels[kStepBytes] = {}, codes[kStepBytes];
  uint32_t of_zero[kStepBytes] = {};
  coarsen_step(table, zero_levels, codes, of_zero);
  const uint32_t filled = static_cast<uint32_t>(fine.steps * kTile - matrix_.cols()) * of_zero[0];

  const uint8_t* levels = fine.codes;
  for (size_t block = 0; block < blocks_of(fine.rows); ++block) {
    uint32_t squares[kStepBytes] = {};
    for (size_t step = 0; step < fine.steps; ++step, levels += kStepBytes, out += 32 * kCoarse) {
      coarsen_step(table, levels, codes, squares);
      lay_out_step(codes, out);
    }
    for (size_t i = 0; i < kTile && block * kTile + i < fine.rows; ++i) {
      const size_t row = block * kTile + i;
      uint32_t sum = 0;  // at most 65,536 * 254^2
      for (size_t at = 0; at < kTile; ++at) sum += squares[kQuadBytes * (i % 4) + i / 4 * kTile + at];
      reach_[outputs[row]] =
          static_cast<float>(std::sqrt(static_cast<double>(sum - filled)) * std::fabs(fine.scale[row]));
    }
  }
}

size_t Screen::bytes() const {
  size_t total =
      places_.size() * (sizeof(Place) + sizeof(uint32_t) + 2 * sizeof(float)) + run_reach_.size() * 2 * sizeof(float);
  for (const Coarse& coarse : coarse_) total += coarse.codes.bytes() + coarse.levels.bytes();
  return total;
}

bool Screen::greatest(Ops& ops, Inputs& inputs, const std::vector<uint32_t>& banned, std::vector<uint32_t>& outputs) {
  const size_t stride = matrix_.rows();
  float* y = y_.grow(inputs.m * stride);
  ops.linear(parts_, inputs, bias_.data(), y, stride);
  outputs.resize(inputs.m);
  for (size_t i = 0; i < inputs.m; ++i, y += stride) {
    for (uint32_t output : banned) y[output] = kBanned;
    const Rounded x = ops.rounded(inputs, i);
    const float largest = static_cast<float>(kDeepest) * static_cast<float>(matrix_.cols()) * largest_scale_;
    if (!(largest * x.scale < kHuge) || !choose(ops.kernels(), x, y, outputs[i])) return false;
  }
  return true;
}

// y: the coarse products. With R = reach * |x|, in the numbers of the inputs, the exact product p and the coarse one q
// differ by at most R. Both are rounded to u = 2^-24 of themselves at each of three operations (the integer sum to
// float, the scales), and once more when the bias is added; R itself is rounded five times. So the exact y is at most
// y + R + 20 u (|y| + |bias| + R), and kSlack is 168 u. What is below the normal numbers counts as 0, on the way to p
// and q and the sums: less than kTiny.
bool Screen::choose(const Kernels& kernels, const Rounded& x, const float* y, uint32_t& output) {
  const size_t rows = matrix_.rows();
  maxima_.resize(run_reach_.size());
  kernels.run_max(y, rows, maxima_.data());
  const size_t top = static_cast<size_t>(std::max_element(maxima_.begin(), maxima_.end()) - maxima_.begin()) * kRun;
  candidates_.clear();
  output = static_cast<uint32_t>(std::max_element(y + top, y + std::min(top + kRun, rows)) - y);
  if (y[output] == kBanned) {
    output = kNoOutput;
    return true;
  }
  int64_t squares = 0;
  for (size_t k = 0; k < x.size; ++k) squares += x.levels[k] * x.levels[k];
  const float length = static_cast<float>(std::sqrt(static_cast<double>(squares))) * x.scale;
  const auto most = [=](float coarse, float reach, float slack) {
    const float r = reach * length;
    return coarse + ((r + kSlack * (std::fabs(coarse) + r)) + slack);
  };

  float best = exact(x, y, output);
  for (size_t run = 0; run < maxima_.size(); ++run) {
    if (!(most(maxima_[run], run_reach_[run], run_slack_[run]) >= best)) continue;
    for (size_t i = run * kRun; i < std::min((run + 1) * kRun, rows); ++i)
      if (most(y[i], reach_[i], slack_[i]) >= best) candidates_.push_back(static_cast<uint32_t>(i));
  }
  if (candidates_.size() > rows / kMostCandidates + 64) return false;
  for (uint32_t candidate : candidates_) {
    if (!(most(y[candidate], reach_[candidate], slack_[candidate]) >= best)) continue;
    const float value = exact(x, y, candidate);
    if (value > best || (value == best && candidate < output)) {
      best = value;
      output = candidate;
    }
  }
  return true;
}

// What Kernels::linear_int8 gives, in its order.
float Screen::exact(const Rounded& x, const float* y, uint32_t output) const {
  const auto [part, row] = places_[output];
  const Packed& w = matrix_.parts()[part].packed;
  if (w.width != 8) return y[output];  // it was read as it is
  const size_t in_block = row % kTile;
  const uint8_t* levels =
      w.codes + row / kTile * w.steps * kStepBytes + kQuadBytes * (in_block % 4) + in_block / 4 * kTile;
  int32_t sum = 0;
  for (size_t step = 0; step < w.steps; ++step)
    for (size_t i = 0; i < kTile; ++i)
      sum += x.levels[step * kTile + i] * static_cast<int8_t>(levels[step * kStepBytes + i]);
  sum -= zero_at(w, row, 0) * x.sum;
  const float product = static_cast<float>(sum) * scale_at(w, row, 0);
  return product * x.scale + bias_[output];
}

}  // namespace subbyte
