// How hypotheses may go on: the settings of a search change scores, and the best tokens are taken or some are drawn.
// The rules are those of transformers 5 (its logits processors and their order).
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/beam.hpp"
#include "models/log.hpp"
#include "models/sampling.hpp"

namespace subbyte {

struct Candidate {
  float score;  // sum of log-probabilities
  size_t parent;
  uint32_t token;
  double drawn = 0.0;  // score with noise, where tokens are drawn
};

// Higher score first; among equals the earlier hypothesis, then the lower token. No score may be NaN: sorting by an
// order that is none reads and writes beyond the vector.
bool better(const Candidate& a, const Candidate& b);
bool drawn_before(const Candidate& a, const Candidate& b);

struct Running {
  std::vector<uint32_t> tokens;
  float score = 0.0f;
};

// A sentence that is being translated, or one of its draws.
struct Sentence {
  size_t index;       // in the batch
  size_t draw;        // which of its draws
  size_t max_length;  // tokens of the decoder, its start token included
  Noise noise;
  std::vector<Running> running;
  std::vector<Hypothesis> finished;  // best first, at most beam_size
};

// The k best continuations of each hypothesis, or those that are drawn.
class Continuations {
 public:
  Continuations(Decoder& decoder, const SearchOptions& options, size_t k);

  // After a step of the decoder; `length` counts its tokens before the new ones.
  void read(size_t length);

  // Those of hypothesis `row` of the step, which is number `parent` of the sentence.
  void append(size_t row, size_t parent, const Sentence& sentence, std::vector<Candidate>& out);

 private:
  void append_best(float* logits, size_t parent, const Sentence& sentence, std::vector<Candidate>& out);
  void append_drawn(const float* values, const Normalizer& normalizer, size_t parent, const Sentence& sentence,
                    std::vector<Candidate>& out);
  void change_by_history(float* logits, const Running& from);
  float own_value(uint32_t token, float value) const;

  Decoder& decoder_;
  const SearchOptions& options_;
  size_t k_, vocabulary_, length_ = 0;
  bool scored_;
  bool by_history_;  // whether what a hypothesis already says has a say
  bool in_logs_;     // whether settings change log-probabilities, not logits
  std::vector<uint32_t> banned_, row_banned_, likeliest_, history_;
  float* logits_ = nullptr;  // null: likeliest_ is known instead
  std::vector<float> maxima_;
  std::vector<Candidate> best_;
  std::vector<Drawable> before_;  // what the repetition penalty changed, as it was
  std::vector<Drawable> drawable_;
};

}  // namespace subbyte
