// Forced decoding: targets are given, and what the model says of them is asked for.
#pragma once
#include <cstdint>
#include <vector>

#include "models/decoder.hpp"

namespace subbyte {

// Log-probability of every token of `targets` (which end with the end of sentence) given the sentence and the tokens
// before it.
std::vector<std::vector<float>> score(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
                                      const std::vector<std::vector<uint32_t>>& targets, uint32_t start);

// The same steps, for those who watch the inputs of matrices: no probabilities are computed.
void walk(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
          const std::vector<std::vector<uint32_t>>& targets, uint32_t start);

// Logits behind every token of `target`, which begins with the start token: [tokens, vocabulary].
std::vector<float> forced_logits(Decoder& decoder, const std::vector<uint32_t>& sentence,
                                 const std::vector<uint32_t>& target);

}  // namespace subbyte
