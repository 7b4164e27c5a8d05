#include "models/beam.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/log.hpp"
#include "models/sampling.hpp"

namespace subbyte {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr size_t kRun = 128;  // values under one maximum of Kernels::run_max

struct Candidate {
  float score;  // sum of log-probabilities
  size_t parent;
  uint32_t token;
  double drawn = 0.0;  // score with noise, where tokens are drawn
};

// Higher score first; among equals the earlier hypothesis, then the lower token. No score may be NaN: sorting by an
// order that is none reads and writes beyond the vector.
bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.parent != b.parent) return a.parent < b.parent;
  return a.token < b.token;
}

bool drawn_before(const Candidate& a, const Candidate& b) {
  return a.drawn != b.drawn ? a.drawn > b.drawn : better(a, b);
}

struct Running {
  std::vector<uint32_t> tokens;
  float score = 0.0f;
};

struct Sentence {
  size_t index;       // in the batch
  size_t draw;        // which of its draws
  size_t max_length;  // tokens of the decoder, its start token included
  Noise noise;
  std::vector<Running> running;
  std::vector<Hypothesis> finished;  // best first, at most beam_size
};

// Log-probability of token i is (logits[i] - max) - log_sum.
struct Normalizer {
  float max, log_sum;

  float operator()(float logit) const { return (logit - max) - log_sum; }
};

// Leaves the maxima of runs of kRun logits in `maxima`, and returns the largest.
float max_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  maxima.resize((n + kRun - 1) / kRun);
  kernels.run_max(logits, n, maxima.data());
  return *std::max_element(maxima.begin(), maxima.end());
}

Normalizer normalizer_of(const Kernels& kernels, const float* logits, size_t n, std::vector<float>& maxima) {
  const float max = max_of(kernels, logits, n, maxima);
  return {max, static_cast<float>(log_of(kernels.exp_sum(logits, n, max)))};
}

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

// The k best continuations of each hypothesis, or those that are drawn.
class Continuations {
 public:
  Continuations(Marian& model, const SearchOptions& options, size_t k)
      : model_(model),
        options_(options),
        k_(k),
        scored_(options.scores || options.beam_size > 1),
        by_history_(options.repetition_penalty != 1.0f || options.no_repeat_ngram > 0 ||
                    !options.banned_sequences.empty()),
        in_logs_(options.beam_size > 1 && (options.repetition_penalty != 1.0f || options.sample)) {}

  // After a step of the model; `length` counts the decoder's tokens before the new ones.
  void read(size_t length) {
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
    logits_ = !whole && model_.likeliest(banned_, likeliest_) ? nullptr : model_.logits();
  }

  // Those of hypothesis `row` of the step; `parent` is its number in its sentence.
  void append(size_t row, const Running& from, size_t parent, const Sentence& sentence, std::vector<Candidate>& out) {
    int64_t forced = length_ == 1 ? options_.forced_begin : -1;
    if (length_ + 1 == sentence.max_length && options_.forced_end >= 0) forced = options_.forced_end;
    if (forced >= 0)
      out.push_back({from.score, parent, static_cast<uint32_t>(forced)});
    else if (logits_)
      append_best(logits_ + row * model_.config().vocabulary, from, parent, sentence, out);
    else if (likeliest_[row] != kNoOutput)
      out.push_back({from.score, parent, likeliest_[row]});
  }

 private:
  // As in transformers, settings change logits in greedy search, and log-probabilities in beam search.
  void append_best(float* logits, const Running& from, size_t parent, const Sentence& sentence,
                   std::vector<Candidate>& out) {
    const Kernels& kernels = model_.ops().kernels();
    const size_t vocabulary = model_.config().vocabulary;
    Normalizer normalizer = {};
    if (in_logs_) {
      const Normalizer whole = normalizer_of(kernels, logits, vocabulary, maxima_);
      for (size_t token = 0; token < vocabulary; ++token) logits[token] = whole(logits[token]);
    } else if (scored_ && !options_.renormalize) {
      normalizer = normalizer_of(kernels, logits, vocabulary, maxima_);
    }
    before_.clear();
    row_banned_.clear();
    if (by_history_) change_by_history(logits, from);
    for (uint32_t token : banned_) logits[token] = kNever;
    for (uint32_t token : row_banned_) logits[token] = kNever;
    if (options_.sample) return append_drawn(logits, normalizer, from, parent, sentence, out);
    if (scored_ && options_.renormalize)
      normalizer = normalizer_of(kernels, logits, vocabulary, maxima_);
    else if (!scored_ || by_history_ || !banned_.empty())
      max_of(kernels, logits, vocabulary, maxima_);

    // best_ holds the k largest logits seen, best first; a run is read only if its maximum can enter.
    best_.clear();
    for (size_t run = 0; run < maxima_.size(); ++run) {
      if (best_.size() == k_ && !(maxima_[run] > best_.back().score)) continue;
      const size_t end = std::min(vocabulary, (run + 1) * kRun);
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
  void change_by_history(float* logits, const Running& from) {
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
  float own_value(uint32_t token, float value) const {
    if (in_logs_ || options_.renormalize) return value;
    for (const Drawable& one : before_)
      if (one.token == token) return one.value;
    return value;
  }

  void append_drawn(const float* values, const Normalizer& normalizer, const Running& from, size_t parent,
                    const Sentence& sentence, std::vector<Candidate>& out) {
    drawable_.clear();
    for (uint32_t token = 0; token < model_.config().vocabulary; ++token)
      if (values[token] > kNever) drawable_.push_back({values[token], token});
    const size_t least =
        options_.beam_size == 1 ? 1 : 2 + options_.other_ends.size();  // one goes on if all ends do not
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

  Marian& model_;
  const SearchOptions& options_;
  size_t k_, length_ = 0;
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

// The prefix counts, but a token follows it in any case.
size_t max_length_of(size_t sentence, const SearchOptions& options) {
  if (options.max_length_factor <= 0.0f) return options.max_length;
  const double tokens = std::ceil(static_cast<double>(options.max_length_factor) * static_cast<double>(sentence));
  const double least = static_cast<double>(options.prefix.size() + 1);
  return static_cast<size_t>(std::min(static_cast<double>(options.max_length), std::max(tokens, least) + 1.0));
}

float penalized(float score, size_t generated, float length_penalty) {
  return score / static_cast<float>(std::pow(static_cast<double>(generated), static_cast<double>(length_penalty)));
}

void finish(Sentence& sentence, Hypothesis hypothesis, size_t keep) {
  const auto worse = [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; };
  auto& finished = sentence.finished;
  finished.insert(std::upper_bound(finished.begin(), finished.end(), hypothesis, worse), std::move(hypothesis));
  if (finished.size() > keep) finished.pop_back();
}

// Continues a sentence with its sorted candidates; `length` counts the decoder's tokens before them. False: done.
bool advance(Sentence& sentence, const std::vector<Candidate>& candidates, size_t length, const SearchOptions& options,
             std::vector<Running>& next, std::vector<size_t>& parents) {
  const size_t beam = options.beam_size, prefix = options.prefix.size();
  const size_t generated = length - prefix;  // with the new token, without the start and the prefix
  next.clear();
  parents.clear();
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const Candidate& candidate = candidates[rank];
    const uint32_t token = candidate.token;
    const auto& others = options.other_ends;
    const bool ends = token == options.end || std::find(others.begin(), others.end(), token) != others.end();
    const bool stops = ends || length + 1 >= sentence.max_length;
    const Running& parent = sentence.running[candidate.parent];
    if (!stops) {
      if (next.size() == beam) continue;
      next.push_back({parent.tokens, candidate.score});
      next.back().tokens.push_back(token);
      parents.push_back(candidate.parent);
    } else if (rank < beam) {  // transformers: only the best beam_size candidates may finish
      Hypothesis hypothesis = {parent.tokens, penalized(candidate.score, generated, options.length_penalty)};
      if (token != options.end) hypothesis.tokens.push_back(token);
      finish(sentence, std::move(hypothesis), beam);
    }
  }
  sentence.running.swap(next);
  if (sentence.running.empty()) return false;
  if (sentence.finished.size() < beam) return beam > 1 || sentence.finished.empty();
  if (beam == 1 || options.early_stopping == EarlyStopping::always) return false;
  const bool longest = options.early_stopping == EarlyStopping::never && options.length_penalty > 0.0f;
  const size_t at = longest ? sentence.max_length - 1 - prefix : generated;
  return penalized(sentence.running[0].score, at, options.length_penalty) > sentence.finished.back().score;
}

}  // namespace

std::vector<std::vector<Hypothesis>> search(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
                                            const std::vector<uint64_t>& numbers, const SearchOptions& options,
                                            Memory& memory, Cache& cache) {
  model.encode(sentences, memory);
  const size_t beam = options.beam_size, draws = options.sample && beam == 1 ? options.num_hypotheses : 1;
  std::vector<std::vector<Hypothesis>> results(sentences.size());
  std::vector<Sentence> open;
  for (size_t s = 0; s < sentences.size(); ++s) {
    const size_t max_length = max_length_of(sentences[s].size(), options);
    if (draws > 1) results[s].resize(draws);
    for (size_t draw = 0; draw < draws; ++draw)
      open.push_back({s, draw, max_length, {options.seed, numbers[s], draw}, {{options.prefix, 0.0f}}, {}});
  }
  cache.start(open.size());

  const size_t ends = 1 + options.other_ends.size(), keep = beam == 1 ? 1 : (1 + ends) * beam;
  Continuations continuations(model, options, keep);
  std::vector<uint32_t> tokens;
  std::vector<size_t> sentence_of, parents, all_parents;
  std::vector<Candidate> candidates;
  std::vector<Running> next;
  std::vector<bool> lost(sentences.size());
  const auto step = [&](size_t time) {
    tokens.clear();
    sentence_of.clear();
    for (const Sentence& sentence : open) {
      for (const Running& running : sentence.running) {
        tokens.push_back(time == 0 ? options.start : running.tokens[time - 1]);
        sentence_of.push_back(sentence.index);
      }
    }
    model.step(tokens, sentence_of, time, memory, cache);
  };
  for (size_t time = 0; !open.empty() && time < options.prefix.size(); ++time) step(time);
  for (size_t length = 1 + options.prefix.size(); !open.empty(); ++length) {
    step(length - 1);
    continuations.read(length);

    all_parents.clear();
    size_t row = 0, kept = 0;
    for (size_t i = 0; i < open.size(); ++i) {
      Sentence& sentence = open[i];
      const size_t first = row;
      candidates.clear();
      for (size_t parent = 0; parent < sentence.running.size(); ++parent, ++row)
        continuations.append(row, sentence.running[parent], parent, sentence, candidates);
      if (options.sample && candidates.size() > keep) {
        std::sort(candidates.begin(), candidates.end(), drawn_before);
        candidates.resize(keep);
      }
      std::sort(candidates.begin(), candidates.end(), better);
      if (candidates.size() > keep) candidates.resize(keep);
      if (advance(sentence, candidates, length, options, next, parents)) {
        for (size_t parent : parents) all_parents.push_back(first + parent);
        if (kept != i) open[kept] = std::move(sentence);
        ++kept;
        continue;
      }
      auto& best = sentence.finished;
      if (best.empty())
        lost[sentence.index] = true;
      else if (draws > 1)
        results[sentence.index][sentence.draw] = std::move(best[0]);
      else
        results[sentence.index] = std::move(best);
      if (results[sentence.index].size() > options.num_hypotheses)
        results[sentence.index].resize(options.num_hypotheses);
    }
    open.erase(open.begin() + static_cast<ptrdiff_t>(kept), open.end());
    cache.reorder(all_parents);
  }
  for (size_t s = 0; s < sentences.size(); ++s)
    if (lost[s]) results[s].clear();
  return results;
}

namespace {

// Forces the targets, a token of each at a time; after each step `read(open, time)` is called with the sentences whose
// targets have a token at `time`, in the order of the model's hypotheses.
template <class Read>
void force(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
           const std::vector<std::vector<uint32_t>>& targets, uint32_t start, Memory& memory, Cache& cache,
           const Read& read) {
  model.encode(sentences, memory);
  cache.start(sentences.size());
  std::vector<size_t> open(sentences.size()), rows;
  for (size_t s = 0; s < sentences.size(); ++s) open[s] = s;
  std::vector<uint32_t> tokens;
  for (size_t time = 0;; ++time) {
    // Sentences whose target has been read drop out.
    rows.clear();
    tokens.clear();
    for (size_t row = 0; row < open.size(); ++row)
      if (targets[open[row]].size() > time) rows.push_back(row);
    if (rows.empty()) return;
    cache.reorder(rows);
    for (size_t& row : rows) row = open[row];
    open = rows;
    for (size_t s : open) tokens.push_back(time == 0 ? start : targets[s][time - 1]);
    model.step(tokens, open, time, memory, cache);
    read(open, time);
  }
}

}  // namespace

std::vector<std::vector<float>> score(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
                                      const std::vector<std::vector<uint32_t>>& targets, uint32_t start, Memory& memory,
                                      Cache& cache) {
  const size_t vocabulary = model.config().vocabulary;
  std::vector<std::vector<float>> results(sentences.size());
  std::vector<float> maxima;
  force(model, sentences, targets, start, memory, cache, [&](const std::vector<size_t>& open, size_t time) {
    const float* logits = model.logits();
    for (size_t row = 0; row < open.size(); ++row) {
      const float* of_row = logits + row * vocabulary;
      const auto [max, log_sum] = normalizer_of(model.ops().kernels(), of_row, vocabulary, maxima);
      results[open[row]].push_back((of_row[targets[open[row]][time]] - max) - log_sum);
    }
  });
  return results;
}

void walk(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
          const std::vector<std::vector<uint32_t>>& targets, uint32_t start, Memory& memory, Cache& cache) {
  force(model, sentences, targets, start, memory, cache,
        [&](const std::vector<size_t>&, size_t) { model.watch_output(); });
}

}  // namespace subbyte
