#include "models/positions.hpp"

#include <cmath>

namespace subbyte {

void add_positions(Positions& positions, const Spans& texts, size_t width, float* x) {
  for (size_t place = 0; place < texts.longest; ++place) {  // a row is looked up once for all texts
    const float* row = positions.row(place);
    for (size_t text = 0; text < texts.count(); ++text) {
      float* token = x + (texts.first[text] + place) * width;
      if (place < texts.length(text))
        for (size_t k = 0; k < width; ++k) token[k] += row[k];
    }
  }
}

Sinusoids::Sinusoids(size_t width, Rates rates) : width_(width), divisors_((width + 1) / 2) {
  const double whole = static_cast<double>(width), half = static_cast<double>(width / 2);
  for (size_t i = 0; i < divisors_.size(); ++i) {
    const double at = static_cast<double>(i);
    divisors_[i] = std::pow(10000.0, rates == Rates::below_one ? 2.0 * at / whole : at / (half - 1.0));
  }
}

const float* Sinusoids::row(size_t place) {
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

}  // namespace subbyte
