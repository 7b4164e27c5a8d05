/* Subbyte for whoever speaks C: token ids in, token ids or vectors out. Matrices and vectors have the names of
 * subbyte's models; settings and options are JSON objects of what TranslationConfig, EncoderConfig and SearchOptions
 * name. Arrays are the caller's, and read during the call only. */
#ifndef SUBBYTE_H
#define SUBBYTE_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What was wrong with the last call of this thread that failed: that gave null or 0. */
const char* subbyte_fault(void);

/* What a model is made of. */
typedef struct subbyte_parts subbyte_parts;

/* Rows of a low-bit matrix: `Block` of numbers/packed.py. */
typedef struct {
  size_t rows, bits;
  const uint8_t* planes; /* [bits, rows, ceil(cols / 8)], 1 to 7 bits */
  const int8_t* bytes;   /* [rows, cols], 8 bits */
  const float* scale;    /* [rows, groups], or one value */
  const int8_t* levels;  /* [2^bits], or null */
  const uint8_t* alphas; /* [rows, groups, bits], or [bits], or null */
  const int8_t* zero;    /* [rows, groups], or one value, or null */
  int per_tensor;        /* scale, alphas and zero are shared by all rows */
} subbyte_block;

subbyte_parts* subbyte_parts_new(void);
void subbyte_parts_free(subbyte_parts* parts);
void subbyte_add_vector(subbyte_parts* parts, const char* name, const float* values, size_t size);
void subbyte_add_dense(subbyte_parts* parts, const char* name, const float* values, size_t rows, size_t cols);
/* cluster: [rows] the block each row is in; null with one block. */
int subbyte_add_packed(subbyte_parts* parts, const char* name, size_t rows, size_t cols, size_t group_size,
                       const subbyte_block* blocks, size_t count, const uint8_t* cluster);
/* One matrix by a second name. */
int subbyte_add_alias(subbyte_parts* parts, const char* name, const char* of);
/* Of an encoder's point: its grid, with `groups` scales and zeros, and the rotation of what is multiplied. */
int subbyte_add_grid(subbyte_parts* parts, const char* point, size_t bits, const float* scale, const float* zero,
                     size_t groups, float limit, int operand);
void subbyte_add_rotation(subbyte_parts* parts, const char* point, size_t rotation);

/* isa: "best", or a name. activations: "int8" or "float32". Null where something does not fit. */
typedef struct subbyte_translation subbyte_translation;
subbyte_translation* subbyte_translation_new(const char* settings, const subbyte_parts* parts, const char* isa,
                                             size_t threads, const char* activations);
void subbyte_translation_free(subbyte_translation* model);
/* Sentences stand one behind the other, with `lengths` tokens each. What is found belongs to the model, until its next
 * call. */
int subbyte_translate(subbyte_translation* model, const uint32_t* tokens, const size_t* lengths, size_t sentences,
                      const char* options);
/* The tokens of a hypothesis, 0 the best; null if there is none. */
const uint32_t* subbyte_hypothesis(const subbyte_translation* model, size_t sentence, size_t rank, size_t* length,
                                   float* score);

typedef struct subbyte_encoder subbyte_encoder;
subbyte_encoder* subbyte_encoder_new(const char* settings, const subbyte_parts* parts, const char* isa, size_t threads,
                                     const char* activations);
void subbyte_encoder_free(subbyte_encoder* model);
/* types: as many as tokens, or null. out: [texts, hidden] and [texts, labels]. pooling: "mean", "cls" or "max". */
int subbyte_encode(subbyte_encoder* model, const uint32_t* tokens, const uint32_t* types, const size_t* lengths,
                   size_t texts, const char* pooling, float* out);
int subbyte_classify(subbyte_encoder* model, const uint32_t* tokens, const uint32_t* types, const size_t* lengths,
                     size_t texts, float* out);

#ifdef __cplusplus
}
#endif
#endif
