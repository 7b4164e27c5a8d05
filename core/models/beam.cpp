#include "beam.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "log.hpp"

namespace subbyte {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr size_t kRun = 128;  // values under one maximum of Kernels::run_max

struct Candidate {
  float score;  // sum of log-probabilities
  size_t parent;
  uint32_t token;
};

// Higher score first; among equals the earlier hypothesis, then the lower token. No score may be NaN: sorting by an
// order that is none reads and writes beyond the vector.
bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.parent != b.parent) return a.parent < b.parent;
  return a.token < b.token;
}

struct Running {
  std::vector<uint32_t> tokens;
  float score = 0.0f;
};

struct Sentence {
  size_t index;       // in the batch
  size_t max_length;  // tokens of the decoder, its start token included
  std::vector<Running> running;
  std::vector<Hypothesis> finished;  // best first, at most beam_size
};

// Log-probability of token i is (logits[i] - max) - log_sum.
struct Normalizer {
  float max, log_sum;
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

// The k best continuations of each hypothesis.
class Continuations {
 public:
  Continuations(Marian& model, const SearchOptions& options, size_t k)
      : model_(model), options_(options), k_(k), scored_(options.scores || options.beam_size > 1) {}

  // After a step of the model; `length` counts the decoder's tokens before the new ones.
  void read(size_t length) {
    length_ = length;
    banned_ = options_.banned;
    if (length < options_.min_length) banned_.push_back(options_.end);
    logits_ = !scored_ && model_.likeliest(banned_, likeliest_) ? nullptr : model_.logits();
  }

  // Those of hypothesis `row` of the step; `parent` is its number in its sentence.
  void append(size_t row, const Running& from, size_t parent, size_t max_length, std::vector<Candidate>& out) {
    if (options_.forced_end >= 0 && length_ + 1 == max_length)
      out.push_back({from.score, parent, static_cast<uint32_t>(options_.forced_end)});
    else if (logits_)
      append_best(logits_ + row * model_.config().vocabulary, from, parent, out);
    else if (likeliest_[row] != kNoOutput)
      out.push_back({from.score, parent, likeliest_[row]});
  }

 private:
  void append_best(float* logits, const Running& from, size_t parent, std::vector<Candidate>& out) {
    const Kernels& kernels = model_.ops().kernels();
    const size_t vocabulary = model_.config().vocabulary;
    Normalizer normalizer = {};
    if (scored_ && !options_.renormalize) normalizer = normalizer_of(kernels, logits, vocabulary, maxima_);
    for (uint32_t token : banned_) logits[token] = kNever;
    if (scored_ && options_.renormalize)
      normalizer = normalizer_of(kernels, logits, vocabulary, maxima_);
    else if (!scored_ || !banned_.empty())
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
      candidate.score = (candidate.score - normalizer.max) - normalizer.log_sum + from.score;
      if (std::isnan(candidate.score)) candidate.score = kNever;  // weights whose sums overflow
      out.push_back(candidate);
    }
  }

  Marian& model_;
  const SearchOptions& options_;
  size_t k_, length_ = 0;
  bool scored_;
  std::vector<uint32_t> banned_, likeliest_;
  float* logits_ = nullptr;  // null: likeliest_ is known instead
  std::vector<float> maxima_;
  std::vector<Candidate> best_;
};

size_t max_length_of(size_t sentence, const SearchOptions& options) {
  if (options.max_length_factor <= 0.0f) return options.max_length;
  const double generated = std::ceil(static_cast<double>(options.max_length_factor) * static_cast<double>(sentence));
  return static_cast<size_t>(std::min(static_cast<double>(options.max_length), std::max(generated, 1.0) + 1.0));
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
  const size_t beam = options.beam_size, generated = length;  // with the new token, without the start
  next.clear();
  parents.clear();
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const Candidate& candidate = candidates[rank];
    const bool ends = candidate.token == options.end, stops = ends || length + 1 >= sentence.max_length;
    const Running& parent = sentence.running[candidate.parent];
    if (!stops) {
      if (next.size() == beam) continue;
      next.push_back({parent.tokens, candidate.score});
      next.back().tokens.push_back(candidate.token);
      parents.push_back(candidate.parent);
    } else if (rank < beam) {  // transformers: only the best beam_size candidates may finish
      Hypothesis hypothesis = {parent.tokens, penalized(candidate.score, generated, options.length_penalty)};
      if (!ends) hypothesis.tokens.push_back(candidate.token);
      finish(sentence, std::move(hypothesis), beam);
    }
  }
  sentence.running.swap(next);
  if (sentence.running.empty()) return false;
  if (sentence.finished.size() < beam) return beam > 1 || sentence.finished.empty();
  if (beam == 1 || options.early_stopping) return false;
  return penalized(sentence.running[0].score, generated, options.length_penalty) > sentence.finished.back().score;
}

}  // namespace

std::vector<std::vector<Hypothesis>> search(Marian& model, const std::vector<std::vector<uint32_t>>& sentences,
                                            const SearchOptions& options, Memory& memory, Cache& cache) {
  model.encode(sentences, memory);
  std::vector<std::vector<Hypothesis>> results(sentences.size());
  std::vector<Sentence> open;
  for (size_t s = 0; s < sentences.size(); ++s)
    open.push_back({s, max_length_of(sentences[s].size(), options), {{}}, {}});
  cache.start(sentences.size());

  const size_t keep = options.beam_size == 1 ? 1 : 2 * options.beam_size;
  Continuations continuations(model, options, keep);
  std::vector<uint32_t> tokens;
  std::vector<size_t> sentence_of, parents, all_parents;
  std::vector<Candidate> candidates;
  std::vector<Running> next;
  for (size_t length = 1; !open.empty(); ++length) {
    tokens.clear();
    sentence_of.clear();
    for (const Sentence& sentence : open) {
      for (const Running& running : sentence.running) {
        tokens.push_back(running.tokens.empty() ? options.start : running.tokens.back());
        sentence_of.push_back(sentence.index);
      }
    }
    model.step(tokens, sentence_of, length - 1, memory, cache);
    continuations.read(length);

    all_parents.clear();
    size_t row = 0, kept = 0;
    for (size_t i = 0; i < open.size(); ++i) {
      Sentence& sentence = open[i];
      const size_t first = row;
      candidates.clear();
      for (size_t parent = 0; parent < sentence.running.size(); ++parent, ++row)
        continuations.append(row, sentence.running[parent], parent, sentence.max_length, candidates);
      std::sort(candidates.begin(), candidates.end(), better);
      if (candidates.size() > keep) candidates.resize(keep);
      if (advance(sentence, candidates, length, options, next, parents)) {
        for (size_t parent : parents) all_parents.push_back(first + parent);
        if (kept != i) open[kept] = std::move(sentence);
        ++kept;
      } else {
        auto& best = sentence.finished;
        if (best.size() > options.num_hypotheses) best.resize(options.num_hypotheses);
        results[sentence.index] = std::move(best);
      }
    }
    open.resize(kept);
    cache.reorder(all_parents);
  }
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
  force(model, sentences, targets, start, memory, cache, [&](const std::vector<size_t>&, size_t) {
    model.watch_output();
  });
}

}  // namespace subbyte
