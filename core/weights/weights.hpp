// A weight matrix in memory: float32 rows, or low-bit codes laid out for the kernels. Low-bit stays low-bit, and rows
// stored with 8 bits that need 4 at most, but for a few weights, run with 4: a matrix has a part for each width and
// meaning of codes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/kernels.hpp"
#include "platform/cpu.hpp"
#include "platform/fault.hpp"

namespace subbyte {

// Memory aligned to cache lines, zeroed, that grows and never shrinks.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) { grow(size); }

  // At least `size` elements; the content is lost when it has to move.
  T* grow(size_t size) {
    if (size > size_) {
      // calloc knows which memory is fresh from the system and zero already; its block starts before ours.
      void* block = std::calloc(size * sizeof(T) + 2 * kLine, 1);
      if (!block) no_memory();
      prefer_large_pages(block, size * sizeof(T));
      char* start = static_cast<char*>(block) + 2 * kLine - reinterpret_cast<uintptr_t>(block) % kLine;
      data_ = {reinterpret_cast<T*>(start), Free{block}};
      size_ = size;
    }
    return data_.get();
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

 private:
  static constexpr size_t kLine = 64;
  struct Free {
    void* block = nullptr;
    void operator()(T*) const { std::free(block); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

// What a file says about one block of rows: numbers/packed.py's Block. Pointers are borrowed while the matrix is made.
struct BlockSource {
  size_t rows = 0, bits = 0;
  const uint8_t* planes = nullptr;  // [bits, rows, ceil(cols / 8)], 1 to 7 bits
  const int8_t* bytes = nullptr;    // [rows, cols], 8 bits
  const float* scale = nullptr;     // [rows, groups], or one value
  const int8_t* levels = nullptr;   // [2^bits]
  const uint8_t* alphas = nullptr;  // [rows, groups, bits], or [bits]
  const int8_t* zero = nullptr;     // [rows, groups], or one value
  bool per_tensor = false;          // scale, alphas and zero are shared by all rows
};

class Matrix {
 public:
  // Float32 weights [rows, cols].
  Matrix(const float* weights, size_t rows, size_t cols);
  // Low-bit weights. cluster: [rows] the block each row is in, or null with a single block.
  static Result<std::shared_ptr<Matrix>> packed(size_t rows, size_t cols, size_t group_size,
                                                const std::vector<BlockSource>& blocks, const uint8_t* cluster);
  // What is wrong with these sizes of low-bit weights; groups of columns have a scale each.
  static Fault fault_of(size_t rows, size_t cols, size_t group_size);

  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }
  size_t groups() const { return groups_; }  // scales in a row
  bool dense() const { return blocks_.empty(); }
  size_t bytes() const;  // resident

  // One row as floats.
  void row(size_t index, float* out) const;

  struct Part {
    Packed packed;
    const uint32_t* outputs;  // null: rows in order
  };
  const std::vector<Part>& parts() const { return parts_; }
  const float* weights() const { return dense_.data(); }
  size_t stride() const { return stride_; }

 private:
  Matrix(size_t rows, size_t cols, size_t group_size, const std::vector<BlockSource>& blocks, const uint8_t* cluster);
  void unpack_row(const Packed& w, size_t row, float* out) const;

  struct Block {
    Buffer<uint8_t> codes, alphas;
    Buffer<float> scale;
    Buffer<int8_t> zero, levels;
    std::vector<uint32_t> outputs;
    std::vector<Exception> exceptions;
    Buffer<uint32_t> first_exception;
  };
  size_t rows_, cols_, stride_ = 0, groups_ = 1;
  Buffer<float> dense_;
  std::vector<Block> blocks_;
  std::vector<Part> parts_;
};

}  // namespace subbyte
