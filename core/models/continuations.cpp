#include "models/continuations.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace subbyte {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// Whether the last tokens of `tokens` are the first `count` of `sequence`.
bool ends_with(const std::vector<uint32_t>& tokens, const uint32_t* sequence, size_t count) {
  return count <= tokens.size() && std::equal(sequence, sequence + count, tokens.end() - static_cast<ptrdiff_t>(count));
}

// What a hypothesis must not continue with, by what it already says.
void ban_by_history(const std::vector<uint32_t>& tokens, const SearchOptions& options, std::vector<uint32_t>& banned) {
  const size_t n = options.no_repeat_ngram;
  for (size_t i = 0; n > 0 && i + n <= tokens.size(); ++i)
    if (ends_with(tokens, tokens.data() + i, n - 1)) banned.push_back(tokens[i + n - 1]);
  for (const std::vector<uint32_t>& sequence : options.banned_sequences)
    if (ends_with(tokens, sequence.data(), sequence.size() - 1)) banned.push_back(sequence.back());
}

}  // namespace

bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.parent != b.parent) return a.parent < b.parent;
  return a.token < b.token;
}

bool drawn_before(const Candidate& a, const Candidate& b) {
  return a.drawn != b.drawn ? a.drawn > b.drawn : better(a, b);
}

Continuations::Continuations(Decoder& decoder, const SearchOptions& options, size_t k)
    : decoder_(decoder),
      options_(options),
      k_(k),
      vocabulary_(decoder.vocabulary()),
      scored_(options.scores || options.beam_size > 1),
      by_history_(options.repetition_penalty != 1.0f || options.no_repeat_ngram > 0 ||
                  !options.banned_sequences.empty()),
      in_logs_(options.beam_size > 1 && (options.repetition_penalty != 1.0f || options.sample)) {}

void Continuations::read(size_t length) {
  length_ = length;
  banned_ = options_.banned;
  if (length < options_.min_length) {
    banned_.push_back(options_.end);
    banned_.insert(banned_.end(), options_.other_ends.begin(), options_.other_ends.end());
  }
  const size_t prompt = options_.prefix.size() + 1;
  if (length == prompt + (prompt == 1 && options_.forced_begin >= 0))
    banned_.insert(banned_.end(), options_.banned_at_begin.begin(), options_.banned_at_begin.end());
  const bool whole = scored_ || by_history_ || options_.sample;
  logits_ = !whole && decoder_.likeliest(banned_, likeliest_) ? nullptr : decoder_.logits();
}

void Continuations::append(size_t row, size_t parent, const Sentence& sentence, std::vector<Candidate>& out) {
  const float score = sentence.running[parent].score;
  int64_t forced = length_ == 1 ? options_.forced_begin : -1;
  if (length_ + 1 == sentence.max_length && options_.forced_end >= 0) forced = options_.forced_end;
  if (forced >= 0)
    out.push_back({score, parent, static_cast<uint32_t>(forced)});
  else if (logits_)
    append_best(logits_ + row * vocabulary_, parent, sentence, out);
  else if (likeliest_[row] != kNoOutput)
    out.push_back({score, parent, likeliest_[row]});
}

// As in transformers, settings change logits in greedy search, and log-probabilities in beam search.
void Continuations::append_best(float* logits, size_t parent, const Sentence& sentence, std::vector<Candidate>& out) {
  const Kernels& kernels = decoder_.kernels();
  const Running& from = sentence.running[parent];
  Normalizer normalizer = {};
  if (in_logs_) {
    const Normalizer whole = normalizer_of(kernels, logits, vocabulary_, maxima_);
    for (size_t token = 0; token < vocabulary_; ++token) logits[token] = whole(logits[token]);
  } else if (scored_ && !options_.renormalize) {
    normalizer = normalizer_of(kernels, logits, vocabulary_, maxima_);
  }
  before_.clear();
  row_banned_.clear();
  if (by_history_) change_by_history(logits, from);
  for (uint32_t token : banned_) logits[token] = kNever;
  for (uint32_t token : row_banned_) logits[token] = kNever;
  if (options_.sample) return append_drawn(logits, normalizer, parent, sentence, out);
  if (scored_ && options_.renormalize)
    normalizer = normalizer_of(kernels, logits, vocabulary_, maxima_);
  else if (!scored_ || by_history_ || !banned_.empty())
    max_of(kernels, logits, vocabulary_, maxima_);

  // best_ holds the k largest logits seen, best first; a run is read only if its maximum can enter.
  best_.clear();
  for (size_t run = 0; run < maxima_.size(); ++run) {
    if (best_.size() == k_ && !(maxima_[run] > best_.back().score)) continue;
    const size_t end = std::min(vocabulary_, (run + 1) * kRun);
    for (size_t token = run * kRun; token < end; ++token) {
      if (!(logits[token] > kNever) || (best_.size() == k_ && !(logits[token] > best_.back().score))) continue;
      if (best_.size() == k_) best_.pop_back();
      const Candidate candidate = {logits[token], parent, static_cast<uint32_t>(token)};
      best_.insert(std::upper_bound(best_.begin(), best_.end(), candidate, better), candidate);
    }
  }
  for (Candidate& candidate : best_) {
    candidate.score = normalizer(own_value(candidate.token, candidate.score)) + from.score;
    if (std::isnan(candidate.score)) candidate.score = kNever;  // weights whose sums overflow
    out.push_back(candidate);
  }
}

// The repetition penalty, and what must not follow.
void Continuations::change_by_history(float* logits, const Running& from) {
  history_.assign(1, options_.start);
  history_.insert(history_.end(), from.tokens.begin(), from.tokens.end());
  ban_by_history(history_, options_, row_banned_);
  if (options_.repetition_penalty == 1.0f) return;
  std::sort(history_.begin(), history_.end());
  history_.erase(std::unique(history_.begin(), history_.end()), history_.end());
  for (uint32_t token : history_) {
    float& value = logits[token];
    before_.push_back({value, token});
    value = value < 0.0f ? value * options_.repetition_penalty : value / options_.repetition_penalty;
  }
}

// What the score of a token is made of: in greedy search, which has none in transformers, the model's own logit.
float Continuations::own_value(uint32_t token, float value) const {
  if (in_logs_ || options_.renormalize) return value;
  for (const Drawable& one : before_)
    if (one.token == token) return one.value;
  return value;
}

void Continuations::append_drawn(const float* values, const Normalizer& normalizer, size_t parent,
                                 const Sentence& sentence, std::vector<Candidate>& out) {
  const Running& from = sentence.running[parent];
  drawable_.clear();
  for (uint32_t token = 0; token < vocabulary_; ++token)
    if (values[token] > kNever) drawable_.push_back({values[token], token});
  const size_t least = options_.beam_size == 1 ? 1 : 2 + options_.other_ends.size();  // one goes on if all ends do not
  leave_drawable(drawable_, options_.temperature, options_.top_k, options_.top_p, least);
  double sum = 1.0, most = 0.0;
  if (options_.renormalize && !drawable_.empty()) {
    sum = 0.0;
    most = drawable_.front().value;
    for (const Drawable& one : drawable_) sum += exp_of(one.value - most);
  }
  const double log_sum = log_of(sum);
  Candidate best = {kNever, parent, kNoOutput, kNever};
  for (const Drawable& one : drawable_) {
    const float value = static_cast<float>((one.value - most) - log_sum);
    Candidate drawn = {value + from.score, parent, one.token};
    drawn.drawn = drawn.score + sentence.noise.at(length_, parent, one.token);
    if (options_.beam_size > 1)
      out.push_back(drawn);
    else if (best.token == kNoOutput || drawn_before(drawn, best))
      best = drawn;
  }
  if (best.token == kNoOutput) return;
  if (!options_.renormalize) best.score = normalizer(own_value(best.token, values[best.token])) + from.score;
  if (std::isnan(best.score)) best.score = kNever;
  out.push_back(best);
}

}  // namespace subbyte
