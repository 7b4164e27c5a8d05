// Log-probabilities, with a logarithm and an exponential of our own, so that scores and draws do not depend on the C
// library.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/kernels.hpp"

namespace subbyte {

// ln(x) for finite x > 0, to about 1e-16 relative.
double log_of(double x);

// e^x, to about 1e-15 relative; 0 below -700.
double exp_of(double x);

constexpr size_t kRun = 128;  // values under one maximum of Kernels::run_max

// The log-probability of a token is (logit - max) - log_sum.
struct Normalizer {
  float max, log_sum;

  float operator()(float logit) const { return (logit - max) - log_sum; }
};

// Leaves the maxima of runs of kRun logits in `maxima`, and returns the largest.
inline float max_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  maxima.resize((n + kRun - 1) / kRun);
  kernels.run_max(logits, n, maxima.data());
  return *std::max_element(maxima.begin(), maxima.end());
}

inline Normalizer normalizer_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  const float max = max_of(kernels, logits, n, maxima);
  return {max, static_cast<float>(log_of(kernels.exp_sum(logits, n, max)))};
}

}  // namespace subbyte
