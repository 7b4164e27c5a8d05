// A translation model in memory, and its calls: what is given is checked, and one call at a time is answered.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/beam.hpp"
#include "models/translation.hpp"
#include "session/session.hpp"

namespace subbyte {

class TranslationSession : public Session {
 public:
  // settings: those of TranslationConfig.
  static Result<std::unique_ptr<TranslationSession>> make(Settings settings, const Tensors& tensors,
                                                          const Runtime& runtime);

  // Hypotheses of every sentence, best first. numbers: of the sentences, for what is drawn. options: SearchOptions.
  Result<std::vector<std::vector<Hypothesis>>> translate(const Ids& sentences, const std::vector<uint64_t>& numbers,
                                                         Settings options);

  // The log-probability of every token of each target, forced.
  Result<std::vector<std::vector<float>>> score(const Ids& sentences, const Ids& targets, uint32_t start);

  // The rows that each of these matrices multiplied while the sentences were encoded and their targets forced. Without
  // targets only the encoder's side runs.
  Result<std::vector<Table>> inputs(const Ids& sentences, const Ids& targets, uint32_t start,
                                    const std::vector<std::string>& names);

  // Logits behind every token of `target`, which begins with the start token: [tokens, vocabulary].
  Result<Table> logits(const std::vector<uint32_t>& sentence, const std::vector<uint32_t>& target);

  size_t weight_bytes() const { return matrix_bytes() + model_->screen_bytes(); }  // resident

 private:
  TranslationSession(std::unique_ptr<Translation> model, const Tensors& tensors)
      : Session(model->ops(), tensors), model_(std::move(model)) {}

  Fault sentences_fault(const Ids& sentences) const;
  Fault targets_fault(const Ids& targets, uint32_t start) const;
  Fault options_fault(const SearchOptions& options) const;

  std::unique_ptr<Translation> model_;
};

}  // namespace subbyte
