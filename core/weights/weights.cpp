#include "weights/weights.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/layout.hpp"

namespace subbyte {

Matrix::Matrix(const float* weights, size_t rows, size_t cols)
    : rows_(rows), cols_(cols), stride_(steps_of(cols) * kTile), dense_(rows * stride_) {
  for (size_t row = 0; row < rows; ++row)
    std::memcpy(dense_.data() + row * stride_, weights + row * cols, cols * sizeof(float));
}

Fault Matrix::fault_of(size_t rows, size_t cols, size_t group_size) {
  if (rows == 0 || cols == 0 || cols > 65536 || group_size == 0)
    return Fault("a matrix needs 1 to 65,536 columns, and rows");
  if (cols % group_size || (group_size != cols && group_size % kTile))
    return Fault("group_size: must divide the columns and be a multiple of 16, or be all columns");
  return {};
}

Result<std::shared_ptr<Matrix>> Matrix::packed(size_t rows, size_t cols, size_t group_size,
                                               const std::vector<BlockSource>& blocks, const uint8_t* cluster) {
  if (Fault fault = fault_of(rows, cols, group_size)) return fault;
  if ((cluster != nullptr) != (blocks.size() > 1)) return Fault("cluster: needed with several blocks, and only then");
  size_t total = 0;
  for (const BlockSource& block : blocks) {
    if (block.bits < 1 || block.bits > 8) return Fault("bits: must be 1 to 8");
    if (block.bits < 8 && (block.levels != nullptr) == (block.alphas != nullptr))
      return Fault("a block below 8 bits has either levels or alphas");
    if (block.bits > 4 && block.alphas) return Fault("alphas: only at most 4 bits have them");
    total += block.rows;
  }
  if (total != rows) return Fault("blocks: their rows must add up to the matrix's");
  std::vector<size_t> rows_of(256);
  for (size_t row = 0; cluster && row < rows; ++row) ++rows_of[cluster[row]];
  for (size_t b = 0; cluster && b < blocks.size(); ++b)
    if (b > 255 || rows_of[b] != blocks[b].rows) return Fault("a cluster has another number of rows than its block");
  return std::shared_ptr<Matrix>(new Matrix(rows, cols, group_size, blocks, cluster));
}

Matrix::Matrix(size_t rows, size_t cols, size_t group_size, const std::vector<BlockSource>& sources,
               const uint8_t* cluster)
    : rows_(rows), cols_(cols), groups_(cols / group_size), blocks_(sources.size()) {
  const size_t steps = steps_of(cols);
  for (size_t b = 0; b < sources.size(); ++b) {
    const BlockSource& source = sources[b];
    Block& block = blocks_[b];
    const size_t row_blocks = blocks_of(source.rows), padded = row_blocks * kTile;
    const size_t width = source.bits > 4 ? 8 : source.bits;

    block.codes.grow(row_blocks * steps * 32 * width);
    if (source.bytes)
      lay_out_bytes(source.bytes, source.rows, cols, block.codes.data());
    else if (width == 8)
      lay_out_wide_planes(source.planes, source.bits, source.rows, cols, source.levels, block.codes.data());
    else
      lay_out_planes(source.planes, source.bits, source.rows, cols, block.codes.data());

    if (width != 8 && source.levels) std::memcpy(block.levels.grow(16), source.levels, size_t{1} << source.bits);
    block.scale.grow(groups_ * padded);
    if (source.zero) block.zero.grow(groups_ * padded);
    if (source.alphas) block.alphas.grow(groups_ * padded * width);
    for (size_t group = 0; group < groups_; ++group) {
      for (size_t row = 0; row < source.rows; ++row) {
        const size_t from = source.per_tensor ? 0 : row * groups_ + group;
        block.scale.data()[group * padded + row] = source.scale[from];
        if (source.zero) block.zero.data()[group * padded + row] = source.zero[from];
        if (source.alphas)
          for (size_t plane = 0; plane < width; ++plane)
            block.alphas.data()[((group * row_blocks + row / kTile) * width + plane) * kTile + row % kTile] =
                source.alphas[from * width + plane];
      }
    }
    if (cluster)
      for (size_t row = 0; row < rows; ++row)
        if (cluster[row] == b) block.outputs.push_back(static_cast<uint32_t>(row));

    const Packed packed = {block.codes.data(),
                           block.scale.data(),
                           block.zero.data(),
                           block.levels.data(),
                           block.alphas.data(),
                           source.rows,
                           steps,
                           groups_,
                           static_cast<int>(width)};
    parts_.push_back({packed, cluster ? block.outputs.data() : nullptr});
  }
}

void Matrix::unpack_row(const Packed& w, size_t row, float* out) const {
  thread_local std::vector<uint8_t> codes;
  codes.resize(w.steps * kTile);
  codes_of_row(w, row, codes.data());
  const size_t group_size = cols_ / groups_;
  for (size_t group = 0; group < groups_; ++group) {
    const float scale = scale_at(w, row, group);
    const int zero = zero_at(w, row, group);
    float value[16];  // of each code
    for (int code = 0; w.width < 8 && code < 1 << w.width; ++code)
      value[code] = static_cast<float>(level_of(w, row, group, static_cast<uint8_t>(code)) - zero) * scale;
    for (size_t col = group * group_size; col < (group + 1) * group_size; ++col)
      out[col] = w.width < 8 ? value[codes[col]] : static_cast<float>(static_cast<int8_t>(codes[col]) - zero) * scale;
  }
}

size_t Matrix::bytes() const {
  size_t total = dense_.bytes();
  for (const Block& block : blocks_)
    total += block.codes.bytes() + block.alphas.bytes() + block.scale.bytes() + block.zero.bytes() +
             block.levels.bytes() + block.outputs.size() * sizeof(uint32_t);
  return total;
}

void Matrix::row(size_t index, float* out) const {
  if (dense()) {
    std::memcpy(out, dense_.data() + index * stride_, cols_ * sizeof(float));
    return;
  }
  for (const Part& part : parts_) {
    size_t row = index;
    if (part.outputs) {
      const uint32_t* end = part.outputs + part.packed.rows;
      const uint32_t* found = std::lower_bound(part.outputs, end, static_cast<uint32_t>(index));
      if (found == end || *found != index) continue;
      row = static_cast<size_t>(found - part.outputs);
    }
    unpack_row(part.packed, row, out);
    return;
  }
}

}  // namespace subbyte
