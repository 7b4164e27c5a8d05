// Which tokens may be drawn, and the noise that decides.
#include <algorithm>
#include <limits>

#include "models/continuations.hpp"

namespace subbyte {
namespace {

constexpr float kMost = std::numeric_limits<float>::max();

// splitmix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of x.
uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

bool likelier(const Drawable& a, const Drawable& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

}  // namespace

void leave_drawable(std::vector<Drawable>& values, float temperature, size_t top_k, float top_p, size_t least) {
  for (Drawable& one : values) one.value = std::clamp(one.value / temperature, -kMost, kMost);
  if (top_k > 0 && std::max(top_k, least) < values.size()) {
    const auto last = values.begin() + static_cast<ptrdiff_t>(std::max(top_k, least) - 1);
    std::nth_element(values.begin(), last, values.end(), likelier);
    const float bound = last->value;
    const auto below = [=](const Drawable& one) { return one.value < bound; };
    values.erase(std::remove_if(values.begin(), values.end(), below), values.end());
  }
  std::sort(values.begin(), values.end(), likelier);
  if (top_p >= 1.0f || values.empty()) return;
  const double largest = values.front().value;
  double total = 0.0;
  for (const Drawable& one : values) total += exp_of(one.value - largest);
  double before = 0.0;  // the probability of those that are likelier
  size_t left = 0;
  while (left < values.size() && (left < least || before < static_cast<double>(top_p) * total))
    before += exp_of(values[left++].value - largest);
  values.resize(left);
}

Noise::Noise(uint64_t seed, uint64_t sentence, uint64_t draw) : state_(mixed(mixed(mixed(seed) ^ sentence) ^ draw)) {}

double Noise::at(size_t step, size_t beam, uint32_t token) const {
  const uint64_t bits = mixed(mixed(mixed(state_ ^ step) ^ beam) ^ token);
  const double uniform = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;  // above 0, below 1
  return -log_of(-log_of(uniform));
}

}  // namespace subbyte
