// What C gives and gets is what a session gives.
#include "bindings/c/subbyte.h"

#include <string>

#include "session/encoder.hpp"
#include "session/settings_text.hpp"
#include "session/translation.hpp"
#include "tests/check.hpp"
#include "tests/tiny_models.hpp"

namespace subbyte::tests {
namespace {

constexpr uint32_t kTokens[] = {2, 9, 17, 0, 5, 0};
constexpr size_t kLengths[] = {4, 2};
const Ids kIds = {{2, 9, 17, 0}, {5, 0}};

// The tensors once more, as floats, which C gives.
subbyte_parts* parts_of(Tensors& tensors) {
  subbyte_parts* parts = subbyte_parts_new();
  for (auto& [name, matrix] : tensors.matrices) {
    std::vector<float> values(matrix->rows() * matrix->cols());
    for (size_t row = 0; row < matrix->rows(); ++row) matrix->row(row, values.data() + row * matrix->cols());
    subbyte_add_dense(parts, name.c_str(), values.data(), matrix->rows(), matrix->cols());
    matrix = std::make_shared<Matrix>(values.data(), matrix->rows(), matrix->cols());
  }
  for (const auto& [name, values] : tensors.vectors)
    subbyte_add_vector(parts, name.c_str(), values.data(), values.size());
  return parts;
}

}  // namespace

TEST(c_translates) {
  Tensors tensors = tiny_translation();
  subbyte_parts* parts = parts_of(tensors);
  const auto session = TranslationSession::make(*settings_of(kTranslation), tensors, *runtime_of("best", 1, "int8"));
  const auto expected = (*session)->translate(kIds, {1, 2}, *settings_of(kSearch));
  subbyte_translation* model = subbyte_translation_new(kTranslation, parts, "best", 1, "int8");
  CHECK(model && subbyte_translate(model, kTokens, kLengths, 2, kSearch));
  for (size_t sentence = 0; sentence < 2; ++sentence)
    for (size_t rank = 0; rank < 2; ++rank) {
      size_t length = 0;
      float score = 0;
      const uint32_t* tokens = subbyte_hypothesis(model, sentence, rank, &length, &score);
      const Hypothesis& same = (*expected)[sentence][rank];
      CHECK(tokens && score == same.score && std::vector<uint32_t>(tokens, tokens + length) == same.tokens);
    }
  size_t length;
  float score;
  CHECK(!subbyte_hypothesis(model, 0, 2, &length, &score) && !subbyte_hypothesis(model, 2, 0, &length, &score));
  CHECK(!subbyte_translate(model, kTokens, kLengths, 2, "{}"));
  CHECK(std::string(subbyte_fault()) == "beam_size: is not given");
  subbyte_translation_free(model);
  subbyte_parts_free(parts);
}

TEST(c_encodes_and_classifies) {
  Tensors tensors = tiny_encoder();
  subbyte_parts* parts = parts_of(tensors);
  const float scale = 0.04f, zero = 5.0f;
  CHECK(subbyte_add_grid(parts, "layers.0.output", 8, &scale, &zero, 1, 127.0f, 0));
  const std::map<std::string, Grid> grids = {{"layers.0.output", *grid_of("", 8, {scale}, {zero}, 127.0f)}};
  const auto session = EncoderSession::make(*settings_of(kEncoder), tensors, grids, {}, *runtime_of("best", 1, "int8"));
  subbyte_encoder* model = subbyte_encoder_new(kEncoder, parts, "best", 1, "int8");
  CHECK(model);
  const uint32_t types[] = {0, 0, 1, 1, 0, 0};
  std::vector<float> vectors(2 * kWidth), logits(2 * 3);
  CHECK(subbyte_encode(model, kTokens, types, kLengths, 2, "mean", vectors.data()));
  CHECK(same_bits(vectors, (*session)->pooled(kIds, {{0, 0, 1, 1}, {0, 0}}, Pooling::mean)->values));
  CHECK(subbyte_classify(model, kTokens, nullptr, kLengths, 2, logits.data()));
  CHECK(same_bits(logits, (*session)->logits(kIds, {})->values));
  CHECK(!subbyte_encode(model, kTokens, types, kLengths, 2, "median", vectors.data()));
  subbyte_encoder_free(model);
  subbyte_parts_free(parts);
}

TEST(what_c_gives_wrong_is_a_fault) {
  subbyte_parts* parts = subbyte_parts_new();
  CHECK(!subbyte_translation_new(kTranslation, parts, "best", 1, "int8"));
  CHECK(*subbyte_fault());
  CHECK(!subbyte_translation_new("no object", parts, "best", 1, "int8"));
  CHECK(!subbyte_encoder_new(kEncoder, parts, "mmx", 1, "int8"));
  CHECK(!subbyte_add_alias(parts, "a", "b"));
  Random random(1);
  const Weights w(random, 4, 32, 3, 1);
  subbyte_block block = {4, 3, w.planes.data(), nullptr, w.scale.data(), w.levels.data(), nullptr, nullptr, 0};
  CHECK(subbyte_add_packed(parts, "b", 4, 32, 32, &block, 1, nullptr));
  CHECK(subbyte_add_alias(parts, "a", "b"));
  block.planes = nullptr;
  CHECK(!subbyte_add_packed(parts, "b", 4, 32, 32, &block, 1, nullptr));
  subbyte_parts_free(parts);
}

}  // namespace subbyte::tests
