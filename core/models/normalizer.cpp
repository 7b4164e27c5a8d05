#include "models/normalizer.hpp"

#include <algorithm>

#include "models/log.hpp"

namespace subbyte {

float max_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  maxima.resize((n + kRun - 1) / kRun);
  kernels.run_max(logits, n, maxima.data());
  return *std::max_element(maxima.begin(), maxima.end());
}

Normalizer normalizer_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  const float max = max_of(kernels, logits, n, maxima);
  return {max, static_cast<float>(log_of(kernels.exp_sum(logits, n, max)))};
}

}  // namespace subbyte
