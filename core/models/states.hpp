// What running hypotheses carry from step to step: for each step that led to one a row with the state of every cell.
#pragma once
#include <vector>

#include "models/attention.hpp"

namespace subbyte {

class States {
 public:
  // Begins hypotheses anew: hypothesis i is one of sentences[i].
  void start(const std::vector<size_t>& sentences) {
    running_.clear();
    for (size_t sentence : sentences) running_.push_back({sentence, {}});
    steps_ = 0;
  }

  // Hypothesis i becomes a continuation of parents[i].
  void reorder(const std::vector<size_t>& parents) {
    next_.resize(parents.size());
    for (size_t i = 0; i < parents.size(); ++i) next_[i] = running_[parents[i]];
    running_.swap(next_);
  }

  // Begins a step: there is room for its rows, [hypotheses, width].
  void add(size_t width) {
    if (rows_.size() == steps_) rows_.emplace_back();
    next_row_ = rows_[steps_++].grow(running_.size() * width);
    width_ = width;
    sights_.clear();
    for (size_t i = 0; i < running_.size(); ++i) {
      running_[i].rows.push_back(next(i));
      sights_.push_back({running_[i].rows.data(), steps_});
    }
  }

  size_t steps() const { return steps_; }
  size_t sentence(size_t hypothesis) const { return running_[hypothesis].sentence; }

  size_t width() const { return width_; }

  // The rows of each hypothesis, that of the step that was begun included.
  const std::vector<Sight>& sights() const { return sights_; }

  // The row of the step that was begun, and the one before, null at the first step.
  float* next(size_t hypothesis) const { return next_row_ + hypothesis * width_; }
  const float* previous(size_t hypothesis) const {
    return steps_ < 2 ? nullptr : running_[hypothesis].rows[steps_ - 2];
  }

 private:
  struct Running {
    size_t sentence;
    std::vector<const float*> rows;  // [steps]
  };

  std::vector<Running> running_, next_;
  std::vector<Buffer<float>> rows_;  // [steps] of [hypotheses, width]
  std::vector<Sight> sights_;
  float* next_row_ = nullptr;
  size_t steps_ = 0, width_ = 0;
};

}  // namespace subbyte
