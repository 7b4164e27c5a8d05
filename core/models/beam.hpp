// Greedy and beam search over a decoder, and sampling, by the rules of transformers 5 (early stopping, length penalty);
// docs/search.md says what each option does.
#pragma once
#include <cstdint>
#include <vector>

#include "models/decoder.hpp"

namespace subbyte {

// Whether a search goes on when beam_size hypotheses have finished: while a running one is better at its length than
// the worst of them, not at all, or while one could still become better by max_length.
enum class EarlyStopping { heuristic, always, never };

struct SearchOptions {
  size_t beam_size;         // 1: greedy, or one token drawn after another
  size_t num_hypotheses;    // best ones returned, at most beam_size; with beam_size 1 and `sample` any number of draws
  size_t max_length;        // tokens of the decoder, its start token and the prefix included
  float max_length_factor;  // tokens without the start for each token of the sentence; 0: as many as max_length allows
  size_t min_length;        // no end of sentence before this many tokens, start token and prefix included
  float length_penalty;     // score = sum of log-probabilities / generated tokens ^ length_penalty
  EarlyStopping early_stopping;
  bool scores;         // whether they are wanted; greedy search reads and computes less without, and has none
  bool renormalize;    // log-probabilities over the allowed tokens only
  int64_t forced_end;  // the only token allowed at max_length; -1: none
  uint32_t start, end;
  std::vector<uint32_t> banned;                         // tokens never generated
  std::vector<uint32_t> other_ends;                     // tokens that end a sentence too, and stay in it
  std::vector<uint32_t> prefix;                         // what every translation begins with
  int64_t forced_begin;                                 // the only token allowed behind the start; -1: none
  std::vector<uint32_t> banned_at_begin;                // tokens not generated first
  std::vector<std::vector<uint32_t>> banned_sequences;  // of two tokens or more
  float repetition_penalty;  // scores of tokens that are there already are divided (> 0) or multiplied (< 0) by it
  size_t no_repeat_ngram;    // no run of so many tokens twice; 0: any
  bool sample;               // draw tokens by their probabilities
  float temperature;         // ... of scores divided by this
  size_t top_k;              // ... among the k likeliest; 0: all
  float top_p;               // ... among the likeliest that together have this probability; 1: all
  uint64_t seed;             // ... with noise that belongs to seed, number of the sentence, step, beam and token
};

struct Hypothesis {
  std::vector<uint32_t> tokens;  // without start, without `end`; the prefix is in them
  float score;                   // of what follows the prefix
};

// Best hypotheses of every sentence, best first; draws in the order in which they were drawn. A sentence for which
// nothing was found has none. numbers[i] is the number of sentence i where something is drawn.
std::vector<std::vector<Hypothesis>> search(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
                                            const std::vector<uint64_t>& numbers, const SearchOptions& options);

}  // namespace subbyte
