#include "bindings/c/subbyte.h"

#include <algorithm>

#include "session/encoder.hpp"
#include "session/settings_text.hpp"
#include "session/translation.hpp"

using namespace subbyte;

struct subbyte_parts {
  Tensors tensors;
  std::map<std::string, Grid> grids;
  std::map<std::string, size_t> rotations;
};

struct subbyte_translation {
  std::unique_ptr<TranslationSession> session;
  std::vector<std::vector<Hypothesis>> found;
};

struct subbyte_encoder {
  std::unique_ptr<EncoderSession> session;
};

namespace {

thread_local std::string last_fault;

// Keeps what is wrong for `subbyte_fault`. True: nothing is.
bool fine(const Fault& fault) {
  if (fault) last_fault = fault.text();
  return !fault;
}
template <class T>
bool fine(const Result<T>& result) {
  return result || fine(result.fault());
}

Ids ids_of(const uint32_t* tokens, const size_t* lengths, size_t count) {
  Ids ids;
  for (size_t i = 0; tokens && i < count; tokens += lengths[i++]) ids.emplace_back(tokens, tokens + lengths[i]);
  return ids;
}

bool put(const Result<Table>& table, float* out) {
  if (!fine(table)) return false;
  std::copy(table->values.begin(), table->values.end(), out);
  return true;
}

}  // namespace

const char* subbyte_fault() { return last_fault.c_str(); }

subbyte_parts* subbyte_parts_new() { return new subbyte_parts; }
void subbyte_parts_free(subbyte_parts* parts) { delete parts; }

void subbyte_add_vector(subbyte_parts* parts, const char* name, const float* values, size_t size) {
  parts->tensors.vectors[name].assign(values, values + size);
}

void subbyte_add_dense(subbyte_parts* parts, const char* name, const float* values, size_t rows, size_t cols) {
  parts->tensors.matrices[name] = std::make_shared<Matrix>(values, rows, cols);
}

int subbyte_add_packed(subbyte_parts* parts, const char* name, size_t rows, size_t cols, size_t group_size,
                       const subbyte_block* blocks, size_t count, const uint8_t* cluster) {
  std::vector<BlockSource> sources;
  for (const subbyte_block* b = blocks; b != blocks + count; ++b) {
    if (!b->scale || !(b->bits == 8 ? b->bytes != nullptr : b->planes != nullptr))
      return fine(Fault("a block has codes, and scales"));
    sources.push_back(
        {b->rows, b->bits, b->planes, b->bytes, b->scale, b->levels, b->alphas, b->zero, b->per_tensor != 0});
  }
  auto matrix = Matrix::packed(rows, cols, group_size, sources, cluster);
  if (fine(matrix)) parts->tensors.matrices[name] = *matrix;
  return bool(matrix);
}

int subbyte_add_alias(subbyte_parts* parts, const char* name, const char* of) {
  const auto found = parts->tensors.matrices.find(of);
  if (found == parts->tensors.matrices.end()) return fine(Fault(std::string(of) + ": no such matrix"));
  parts->tensors.matrices[name] = found->second;
  return true;
}

int subbyte_add_grid(subbyte_parts* parts, const char* point, size_t bits, const float* scale, const float* zero,
                     size_t groups, float limit, int operand) {
  auto grid = grid_of(point, bits, {scale, scale + groups}, {zero, zero + groups}, limit);
  if (!fine(grid)) return false;
  grid->operand = operand != 0;
  parts->grids[point] = *grid;
  return true;
}

void subbyte_add_rotation(subbyte_parts* parts, const char* point, size_t rotation) {
  parts->rotations[point] = rotation;
}

subbyte_translation* subbyte_translation_new(const char* settings, const subbyte_parts* parts, const char* isa,
                                             size_t threads, const char* activations) {
  auto given = settings_of(settings);
  auto runtime = runtime_of(isa, threads, activations);
  if (!fine(given) || !fine(runtime)) return nullptr;
  auto session = TranslationSession::make(*given, parts->tensors, *runtime);
  return fine(session) ? new subbyte_translation{std::move(*session), {}} : nullptr;
}

void subbyte_translation_free(subbyte_translation* model) { delete model; }

int subbyte_translate(subbyte_translation* model, const uint32_t* tokens, const size_t* lengths, size_t sentences,
                      const char* options) {
  auto given = settings_of(options);
  if (!fine(given)) return false;
  std::vector<uint64_t> numbers(sentences);
  for (size_t i = 0; i < sentences; ++i) numbers[i] = i + 1;
  auto found = model->session->translate(ids_of(tokens, lengths, sentences), numbers, *given);
  if (fine(found)) model->found = std::move(*found);
  return bool(found);
}

const uint32_t* subbyte_hypothesis(const subbyte_translation* model, size_t sentence, size_t rank, size_t* length,
                                   float* score) {
  if (sentence >= model->found.size() || rank >= model->found[sentence].size()) return nullptr;
  const Hypothesis& hypothesis = model->found[sentence][rank];
  *length = hypothesis.tokens.size();
  *score = hypothesis.score;
  static constexpr uint32_t kNone = 0;  // an empty vector may have no place in memory
  return hypothesis.tokens.empty() ? &kNone : hypothesis.tokens.data();
}

subbyte_encoder* subbyte_encoder_new(const char* settings, const subbyte_parts* parts, const char* isa, size_t threads,
                                     const char* activations) {
  auto given = settings_of(settings);
  auto runtime = runtime_of(isa, threads, activations);
  if (!fine(given) || !fine(runtime)) return nullptr;
  auto session = EncoderSession::make(*given, parts->tensors, parts->grids, parts->rotations, *runtime);
  return fine(session) ? new subbyte_encoder{std::move(*session)} : nullptr;
}

void subbyte_encoder_free(subbyte_encoder* model) { delete model; }

int subbyte_encode(subbyte_encoder* model, const uint32_t* tokens, const uint32_t* types, const size_t* lengths,
                   size_t texts, const char* pooling, float* out) {
  const auto kind = pooling_of(pooling);
  return fine(kind) &&
         put(model->session->pooled(ids_of(tokens, lengths, texts), ids_of(types, lengths, texts), *kind), out);
}

int subbyte_classify(subbyte_encoder* model, const uint32_t* tokens, const uint32_t* types, const size_t* lengths,
                     size_t texts, float* out) {
  return put(model->session->logits(ids_of(tokens, lengths, texts), ids_of(types, lengths, texts)), out);
}
