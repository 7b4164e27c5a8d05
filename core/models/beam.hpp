// Greedy and beam search over a Marian decoder, and forced decoding. Search follows the rules of transformers 5
// (early_stopping, length penalty).
#pragma once
#include <cstdint>
#include <vector>

#include "marian.hpp"

namespace subbyte {

struct SearchOptions {
  size_t beam_size;         // 1: greedy
  size_t num_hypotheses;    // best ones returned, at most beam_size
  size_t max_length;        // tokens of the decoder, its start token included; at least 2
  float max_length_factor;  // generated tokens for each token of the sentence, at most; 0: as many as max_length allows
  size_t min_length;        // no end of sentence before this many tokens, start token included
  float length_penalty;     // score = sum of log-probabilities / generated tokens ^ length_penalty
  bool early_stopping;      // stop at beam_size finished hypotheses
  bool scores;              // whether they are wanted; greedy search reads and computes less without, and has none
  bool renormalize;         // log-probabilities over the allowed tokens only
  int64_t forced_end;       // the only token allowed at max_length; -1: none
  uint32_t start, end;
  std::vector<uint32_t> banned;  // tokens never generated
};

struct Hypothesis {
  std::vector<uint32_t> tokens;  // without start, without end
  float score;
};

// Best hypotheses of every sentence, best first.
std::vector<std::vector<Hypothesis>> search(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
                                            const SearchOptions& options, Memory& memory, Cache& cache);

// Log-probability of every token of `targets` (which end with the end of sentence) given the sentence and the tokens
// before it.
std::vector<std::vector<float>> score(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
                                      const std::vector<std::vector<uint32_t>>& targets, uint32_t start, Memory& memory,
                                      Cache& cache);

// The same steps, for those who watch the inputs of matrices: no probabilities are computed.
void walk(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
          const std::vector<std::vector<uint32_t>>& targets, uint32_t start, Memory& memory, Cache& cache);

}  // namespace subbyte
