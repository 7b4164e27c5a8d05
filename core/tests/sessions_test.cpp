// Models from end to end: the same answer on every instruction set and with any threads, and faults for what is wrong.
#include "kernels/dispatch.hpp"
#include "session/encoder.hpp"
#include "session/settings_text.hpp"
#include "session/translation.hpp"
#include "tests/check.hpp"
#include "tests/tiny_models.hpp"

namespace subbyte::tests {
namespace {

const Ids kSentences = {{2, 9, 17, 30, 0}, {5, 0}, {11, 12, 13, 14, 15, 16, 17, 18, 0}};
const std::vector<uint64_t> kNumbers = {1, 2, 3};

// f(runtime) is what it is on the reference with one thread; returns that.
template <class F>
std::vector<float> same_everywhere(const F& f) {
  const std::vector<float> expected = f(*runtime_of("reference", 1, "int8"));
  for (const Isa& isa : isas())
    for (size_t threads : {1, 3}) {
      if (!isa.runs) continue;
      const bool same = same_bits(f(*runtime_of(isa.name, threads, "int8")), expected);
      if (!same) std::printf("%s, %zu threads:\n", isa.name, threads);
      CHECK(same);
    }
  return expected;
}

void append(std::vector<float>& out, const Result<Table>& table) {
  CHECK(table);
  if (table) out.insert(out.end(), table->values.begin(), table->values.end());
}

std::unique_ptr<TranslationSession> translator(const Runtime& runtime) {
  auto session = TranslationSession::make(*settings_of(kTranslation), tiny_translation(), runtime);
  CHECK(session);
  return std::move(*session);
}

std::unique_ptr<EncoderSession> encoder(const Runtime& runtime, const std::map<std::string, Grid>& grids = {}) {
  auto session = EncoderSession::make(*settings_of(kEncoder), tiny_encoder(), grids, {}, runtime);
  CHECK(session);
  return std::move(*session);
}

}  // namespace

TEST(translations_are_the_same_everywhere) {
  for (const auto& [beam, draws, scores] : {std::tuple{3, false, true}, {1, false, false}, {1, true, true}}) {
    Settings options = *settings_of(kSearch);
    options.set("beam_size", uint64_t(beam));
    options.set("num_hypotheses", uint64_t(draws ? 4 : beam));
    options.set("do_sample", draws);
    options.set("scores", scores);
    const std::vector<float> found = same_everywhere([&](const Runtime& runtime) {
      auto answers = translator(runtime)->translate(kSentences, kNumbers, options);
      CHECK(answers && answers->size() == kSentences.size());
      std::vector<float> out;
      for (const auto& hypotheses : *answers)
        for (const Hypothesis& one : hypotheses) {
          out.insert(out.end(), one.tokens.begin(), one.tokens.end());
          if (options.fault() || one.score == one.score) out.push_back(one.score);
        }
      return out;
    });
    CHECK(found.size() > 10);
  }
}

TEST(forced_targets_have_the_same_logits_everywhere_and_in_any_batch) {
  const std::vector<float> logits = same_everywhere([&](const Runtime& runtime) {
    std::vector<float> out;
    append(out, translator(runtime)->logits(kSentences[0], {1, 3, 8}));
    return out;
  });
  CHECK(logits.size() == 3 * kWords);
  const auto session = translator(*runtime_of("best", 1, "int8"));
  const auto all = session->score(kSentences, {{3, 0}, {4, 5, 0}, {0}}, 1);
  const auto one = session->score({kSentences[1]}, {{4, 5, 0}}, 1);
  CHECK(all && one && same_bits((*all)[1], (*one)[0]));
}

TEST(a_matrix_shows_what_it_multiplied) {
  const auto session = translator(*runtime_of("best", 2, "int8"));
  const auto seen = session->inputs(kSentences, {{3, 0}, {4, 5, 0}, {0}}, 1, {"lm_head.weight"});
  CHECK(seen && (*seen)[0].rows == 6 && (*seen)[0].cols == kWidth);
  CHECK(!session->inputs(kSentences, {}, 1, {"nothing"}));
}

TEST(vectors_are_the_same_everywhere) {
  const Ids types = {{0, 0, 1, 1, 1}, {0, 1}, {0, 0, 0, 0, 0, 0, 0, 0, 1}};
  for (bool fixed : {false, true}) {
    std::map<std::string, Grid> grids;
    if (fixed) grids["layers.0.output"] = *grid_of("layers.0.output", 8, {0.04f}, {5.0f}, 127.0f);
    const std::vector<float> vectors = same_everywhere([&](const Runtime& runtime) {
      const auto session = encoder(runtime, grids);
      std::vector<float> out;
      append(out, session->states(kSentences, types));
      append(out, session->logits(kSentences, types));
      for (Pooling pooling : {Pooling::mean, Pooling::cls, Pooling::max})
        append(out, session->pooled(kSentences, {}, pooling));
      return out;
    });
    CHECK(vectors.size() == 16 * kWidth + 3 * 3 + 3 * 3 * kWidth);
  }
  const auto seen = encoder(*runtime_of("best", 1, "int8"))->observe(kSentences, types, {"layers.1.hidden"});
  CHECK(seen && (*seen)[0].values.size() == 16 * kHidden);
}

TEST(what_is_wrong_with_a_call_is_a_fault) {
  const auto session = translator(*runtime_of("best", 1, "int8"));
  Settings greedy = *settings_of(kSearch);
  greedy.set("beam_size", uint64_t{0});
  CHECK(!session->translate(kSentences, kNumbers, greedy));
  CHECK(!session->translate({{}}, {1}, *settings_of(kSearch)));
  CHECK(!session->translate({{kWords}}, {1}, *settings_of(kSearch)));
  CHECK(!session->translate(kSentences, {1}, *settings_of(kSearch)));
  CHECK(!session->score(kSentences, {{1}}, 1));
  CHECK(!session->logits({1}, {kWords}));
  const auto other = encoder(*runtime_of("best", 1, "int8"));
  CHECK(!other->states({{kWords}}, {}));
  CHECK(!other->states({std::vector<uint32_t>(21, 1)}, {}));
  CHECK(!other->states({{1, 2}}, {{0}}));
  CHECK(!other->states({{1, 2}}, {{0, 2}}));
  CHECK(!other->observe({{1}}, {}, {"nowhere"}));
}

TEST(what_is_wrong_with_a_model_is_a_fault) {
  const Runtime runtime = *runtime_of("best", 1, "int8");
  Tensors tensors = tiny_translation();
  tensors.matrices.erase("lm_head.weight");
  tensors.vectors.begin()->second.pop_back();
  CHECK(!TranslationSession::make(*settings_of(kTranslation), tensors, runtime));
  Settings odd = *settings_of(kTranslation);
  odd.set("encoder_heads", uint64_t{3});
  CHECK(!TranslationSession::make(odd, tiny_translation(), runtime));
  odd = *settings_of(kEncoder);
  odd.set("first_position", uint64_t{20});
  CHECK(!EncoderSession::make(odd, tiny_encoder(), {}, {}, runtime));
  const std::map<std::string, Grid> grids = {{"nowhere", *grid_of("nowhere", 8, {1.0f}, {0.0f}, 127.0f)}};
  CHECK(!EncoderSession::make(*settings_of(kEncoder), tiny_encoder(), grids, {}, runtime));
  CHECK(!runtime_of("best", 1, "int9"));
  CHECK(!runtime_of("mmx", 1, "int8"));
}

}  // namespace subbyte::tests
