#include "models/beam.hpp"

#include <algorithm>
#include <cmath>

#include "models/continuations.hpp"

namespace subbyte {
namespace {

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

std::vector<std::vector<Hypothesis>> search(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
                                            const std::vector<uint64_t>& numbers, const SearchOptions& options) {
  const size_t beam = options.beam_size, draws = options.sample && beam == 1 ? options.num_hypotheses : 1;
  std::vector<std::vector<Hypothesis>> results(sentences.size());
  std::vector<Sentence> open;
  std::vector<size_t> parents, all_parents, sentence_of;
  for (size_t s = 0; s < sentences.size(); ++s) {
    const size_t max_length = max_length_of(sentences[s].size(), options);
    if (draws > 1) results[s].resize(draws);
    for (size_t draw = 0; draw < draws; ++draw) {
      open.push_back({s, draw, max_length, {options.seed, numbers[s], draw}, {{options.prefix, 0.0f}}, {}});
      sentence_of.push_back(s);
    }
  }
  decoder.encode(sentences);
  decoder.start(sentence_of);

  const size_t ends = 1 + options.other_ends.size(), keep = beam == 1 ? 1 : (1 + ends) * beam;
  Continuations continuations(decoder, options, keep);
  std::vector<uint32_t> tokens;
  std::vector<Candidate> candidates;
  std::vector<Running> next;
  std::vector<bool> lost(sentences.size());
  const auto step = [&](size_t time) {
    tokens.clear();
    for (const Sentence& sentence : open)
      for (const Running& running : sentence.running)
        tokens.push_back(time == 0 ? options.start : running.tokens[time - 1]);
    decoder.step(tokens);
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
        continuations.append(row, parent, sentence, candidates);
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
    decoder.reorder(all_parents);
  }
  for (size_t s = 0; s < sentences.size(); ++s)
    if (lost[s]) results[s].clear();
  return results;
}

}  // namespace subbyte
