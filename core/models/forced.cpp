#include "models/forced.hpp"

#include <numeric>

#include "models/log.hpp"

namespace subbyte {
namespace {

// Forces the targets, a token of each at a time; after each step `read(open, time)` is called with the sentences whose
// targets have a token at `time`, in the order of the decoder's hypotheses.
template <class Read>
void force(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
           const std::vector<std::vector<uint32_t>>& targets, uint32_t start, const Read& read) {
  std::vector<size_t> open(sentences.size()), rows;
  std::iota(open.begin(), open.end(), size_t{0});
  decoder.encode(sentences);
  decoder.start(open);
  std::vector<uint32_t> tokens;
  for (size_t time = 0;; ++time) {
    // Sentences whose target has been read drop out.
    rows.clear();
    tokens.clear();
    for (size_t row = 0; row < open.size(); ++row)
      if (targets[open[row]].size() > time) rows.push_back(row);
    if (rows.empty()) return;
    decoder.reorder(rows);
    for (size_t& row : rows) row = open[row];
    open = rows;
    for (size_t s : open) tokens.push_back(time == 0 ? start : targets[s][time - 1]);
    decoder.step(tokens);
    read(open, time);
  }
}

}  // namespace

std::vector<std::vector<float>> score(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
                                      const std::vector<std::vector<uint32_t>>& targets, uint32_t start) {
  const size_t vocabulary = decoder.vocabulary();
  std::vector<std::vector<float>> results(sentences.size());
  std::vector<float> maxima;
  force(decoder, sentences, targets, start, [&](const std::vector<size_t>& open, size_t time) {
    const float* logits = decoder.logits();
    for (size_t s : open) {
      const Normalizer normalizer = normalizer_of(decoder.kernels(), logits, vocabulary, maxima);
      results[s].push_back(normalizer(logits[targets[s][time]]));
      logits += vocabulary;
    }
  });
  return results;
}

void walk(Decoder& decoder, const std::vector<std::vector<uint32_t>>& sentences,
          const std::vector<std::vector<uint32_t>>& targets, uint32_t start) {
  force(decoder, sentences, targets, start, [&](const std::vector<size_t>&, size_t) { decoder.watch_output(); });
}

std::vector<float> forced_logits(Decoder& decoder, const std::vector<uint32_t>& sentence,
                                 const std::vector<uint32_t>& target) {
  std::vector<float> all;
  decoder.encode({sentence});
  decoder.start({0});
  for (uint32_t token : target) {
    decoder.step({token});
    const float* logits = decoder.logits();
    all.insert(all.end(), logits, logits + decoder.vocabulary());
  }
  return all;
}

}  // namespace subbyte
