// Drawing tokens: which ones may be drawn, and the noise that decides. The same on every machine: integers, and doubles
// added, multiplied and divided in one order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace subbyte {

struct Drawable {
  float value;  // logit or log-probability
  uint32_t token;
};

// Of `values` those that temperature, top-k and top-p leave, the likeliest first, the lowest token of equals. `least`
// are left in any case. As in transformers: values are divided by the temperature; then all but the top_k largest go
// (0: none; equals of the last one stay), then those beyond the likeliest that together have the probability top_p.
void leave_drawable(std::vector<Drawable>& values, float temperature, size_t top_k, float top_p, size_t least);

// Noise with the distribution of Gumbel: of values with noise added each is the greatest with the probability that
// softmax gives it, and the k greatest are k drawn without putting back. A number a counter, so what is drawn of a
// sentence does not depend on what else is searched.
class Noise {
 public:
  Noise(uint64_t seed, uint64_t sentence, uint64_t draw);

  double at(size_t step, size_t beam, uint32_t token) const;

 private:
  uint64_t state_;
};

}  // namespace subbyte
