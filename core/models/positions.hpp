// What tells a token its place in its text: a row that is added to its embedding.
#pragma once
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
void add_positions(Positions& positions, const Spans& texts, size_t width, float* x);

// Exponents of 10000 by which sines turn slower: 2i / d of value i, which stays below 1 (Vaswani et al. 2017, 3.5), or
// i / (d / 2 - 1), which ends at 1 (Tensor2Tensor, Marian).
enum class Rates { below_one, to_one };

// [sin | cos] of place * rate, computed in double as transformers does. Rows are made when they are asked for: all of
// them take as long as a tenth of loading a model.
class Sinusoids : public Positions {
 public:
  Sinusoids(size_t width, Rates rates);

  const float* row(size_t place) override;

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
