// What tells a token its place in its text: a row that is added to its embedding.
#pragma once
#include <cmath>
#include <vector>

#include "models/arena.hpp"

namespace subbyte {

// Adds to every token of the texts, [tokens, width], the row of its place from 0; row_of(place) is valid until the
// next.
template <class Row>
void add_positions(const Spans& texts, size_t width, float* x, const Row& row_of) {
  for (size_t place = 0; place < texts.longest; ++place) {  // a row is looked up once for all texts
    const float* row = row_of(place);
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
class Sinusoids {
 public:
  Sinusoids(size_t width, Rates rates) : width_(width), divisors_((width + 1) / 2) {
    const double whole = static_cast<double>(width), half = static_cast<double>(width / 2);
    for (size_t i = 0; i < divisors_.size(); ++i) {
      const double at = static_cast<double>(i);
      divisors_[i] = std::pow(10000.0, rates == Rates::below_one ? 2.0 * at / whole : at / (half - 1.0));
    }
  }

  // Valid until another one is asked for.
  const float* row(size_t place) {
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

}  // namespace subbyte
