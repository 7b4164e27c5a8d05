// Log-probabilities of logits.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels/kernels.hpp"

namespace subbyte {

constexpr size_t kRun = 128;  // values under one maximum of Kernels::run_max

// The log-probability of a token is (logit - max) - log_sum.
struct Normalizer {
  float max, log_sum;

  float operator()(float logit) const { return (logit - max) - log_sum; }
};

// Leaves the maxima of runs of kRun logits in `maxima`, and returns the largest.
float max_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima);

Normalizer normalizer_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima);

}  // namespace subbyte
