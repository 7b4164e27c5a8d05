// A decoder as searches see it. What a hypothesis carries from step to step stays behind it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "weights/screen.hpp"

namespace subbyte {

class Decoder {
 public:
  virtual ~Decoder() = default;

  virtual size_t vocabulary() const = 0;
  virtual const Kernels& kernels() const = 0;

  // Takes in sentences of token ids, in place of those before.
  virtual void encode(const std::vector<std::vector<uint32_t>>& sentences) = 0;

  // Begins hypotheses anew: hypothesis i is one of sentences[i].
  virtual void start(const std::vector<size_t>& sentences) = 0;

  // Hypothesis i becomes a continuation of parents[i].
  virtual void reorder(const std::vector<size_t>& parents) = 0;

  // Hypothesis i reads tokens[i]. What comes of it is asked for by one of the next three.
  virtual void step(const std::vector<uint32_t>& tokens) = 0;

  // Logits of the last step, [hypotheses, vocabulary], the caller's to change; valid until the next call.
  virtual float* logits() = 0;

  // tokens[i] = the token with the greatest logit of hypothesis i after the last step that is not banned, kNoOutput if
  // all are; the lowest of equals. False: that is not to be had for less than all logits, and nothing was found.
  virtual bool likeliest(const std::vector<uint32_t>& banned, std::vector<uint32_t>& tokens) = 0;

  // Shows what `logits` would multiply to those who watch the output matrix.
  virtual void watch_output() = 0;
};

}  // namespace subbyte
