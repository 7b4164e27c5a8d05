// What tells a token its place in its text: a row that is added to its embedding.
#pragma once
#include <cmath>
#include <memory>
#include <vector>

#include "models/arena.hpp"

namespace subbyte {

class Positions {
 public:
  virtual ~Positions() = default;

  // Of a place from 0, valid until another one is asked for.
  virtual const float* row(size_t place) = 0;
};

// Adds to every token of the texts, [tokens, width], the row of its place.
inline void add_positions(Positions& positions, const Spans& texts, size_t width, float* x) {
  for (size_t place = 0; place < texts.longest; ++place) {  // a row is looked up once for all texts
    const float* row = positions.row(place);
    for (size_t text = 0; text < texts.count(); ++text) {
      if (place >= texts.length(text)) continue;
      float* token = x + (texts.first[text] + place) * width;
      for (size_t k = 0; k < width; ++k) token[k] += row[k];
    }
  }
}

// Exponents of 10000 by which sines turn slower: 2i / d of value i, which stays below 1 (Vaswani et al. 2017, 3.5), or
// i / (d / 2 - 1), which ends at 1 (Tensor2Tensor, Marian).
enum class Rates { below_one, to_one };

// [sin | cos] of place * rate, computed in double as transformers does. Rows are made when they are asked for: all of
// them take as long as a tenth of loading a model.
class Sinusoids : public Positions {
 public:
  Sinusoids(size_t width, Rates rates) : width_(width), divisors_((width + 1) / 2) {
    const double whole = static_cast<double>(width), half = static_cast<double>(width / 2);
    for (size_t i = 0; i < divisors_.size(); ++i) {
      const double at = static_cast<double>(i);
      divisors_[i] = std::pow(10000.0, rates == Rates::below_one ? 2.0 * at / whole : at / (half - 1.0));
    }
  }

  const float* row(size_t place) override {
    const size_t sines = divisors_.size();
    for (; rows_ <= place; ++rows_) {
      table_.resize((rows_ + 1) * width_);
      float* out = table_.data() + rows_ * width_;
      for (size_t i = 0; i < sines; ++i) {
        const double angle = static_cast<double>(rows_) / divisors_[i];
        out[i] = static_cast<float>(std::sin(angle));
        if (sines + i < width_) out[sines + i] = static_cast<float>(std::cos(angle));
      }
    }
    return table_.data() + place * width_;
  }

 private:
  size_t width_, rows_ = 0;
  std::vector<double> divisors_;
  std::vector<float> table_;  // [rows_, width]
};

// Rows of a table, from row `first`.
class LearnedPositions : public Positions {
 public:
  LearnedPositions(std::shared_ptr<const Matrix> table, size_t first)
      : table_(std::move(table)), first_(first), row_(table_->cols()) {}

  const float* row(size_t place) override {
    table_->row(first_ + place, row_.data());
    return row_.data();
  }

 private:
  std::shared_ptr<const Matrix> table_;
  size_t first_;
  std::vector<float> row_;
};

}  // namespace subbyte
