#include "weights/weights.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

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

namespace {

// Blocks of a file whose codes mean the same, as one: rows of several steps are stored apart, but run at one width.
struct Joined {
  BlockSource source;
  std::vector<size_t> members;    // blocks of the file
  std::vector<uint32_t> outputs;  // the row of the matrix that each row is; empty in the end: in order
  std::vector<uint8_t> codes;
  std::vector<float> scale;
  std::vector<int8_t> zero;
};

// Where a file has each row of a matrix.
struct Places {
  const uint8_t* cluster;
  std::vector<uint32_t> at;  // [rows] the row within its block

  Places(const uint8_t* cluster, size_t rows) : cluster(cluster), at(rows) {
    uint32_t next[256] = {};
    for (size_t row = 0; row < rows; ++row) at[row] = next[block(row)]++;
  }
  size_t block(size_t row) const { return cluster ? cluster[row] : 0; }
};

bool alike(const BlockSource& a, const BlockSource& b) {
  if (a.bits != b.bits || a.alphas || b.alphas || !a.zero != !b.zero) return false;
  return a.bits == 8 || std::equal(a.levels, a.levels + (size_t{1} << a.bits), b.levels);
}

// Copies the rows that it has of all members into one source, in the order of the matrix.
void fill(Joined& joined, const std::vector<BlockSource>& sources, size_t cols, size_t groups, const Places& places) {
  const BlockSource& first = joined.source;
  const size_t rows = joined.outputs.size(), planes = first.bytes ? 1 : first.bits;
  const size_t row_bytes = first.bytes ? cols : (cols + 7) / 8;
  joined.codes.resize(planes * rows * row_bytes);
  joined.scale.resize(rows * groups);
  if (first.zero) joined.zero.resize(rows * groups);
  for (size_t row = 0; row < rows; ++row) {
    const size_t at = places.at[joined.outputs[row]];
    const BlockSource& from = sources[places.block(joined.outputs[row])];
    const uint8_t* codes = from.bytes ? reinterpret_cast<const uint8_t*>(from.bytes) : from.planes;
    for (size_t plane = 0; plane < planes; ++plane)
      std::memcpy(joined.codes.data() + (plane * rows + row) * row_bytes, codes + (plane * from.rows + at) * row_bytes,
                  row_bytes);
    for (size_t group = 0; group < groups; ++group) {
      const size_t one = from.per_tensor ? 0 : at * groups + group;
      joined.scale[row * groups + group] = from.scale[one];
      if (first.zero) joined.zero[row * groups + group] = from.zero[one];
    }
  }
  joined.source.rows = rows;
  joined.source.planes = first.bytes ? nullptr : joined.codes.data();
  joined.source.bytes = first.bytes ? reinterpret_cast<const int8_t*>(joined.codes.data()) : nullptr;
  joined.source.scale = joined.scale.data();
  joined.source.zero = first.zero ? joined.zero.data() : nullptr;
  joined.source.per_tensor = false;
}

// The level of each code of a narrow row: a code is the low 4 bits of a level.
constexpr int8_t kNarrow[16] = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};
constexpr size_t kFewRows = 64;  // fewer are not worth a part of their own

bool is_narrow(const int8_t* levels, size_t cols) {
  constexpr size_t kPiece = 64;  // most rows that are not are known after one
  for (size_t begin = 0; begin < cols; begin += kPiece) {
    uint8_t beyond = 0;
    for (size_t col = begin; col < std::min(begin + kPiece, cols); ++col)
      beyond |= static_cast<uint8_t>(levels[col] + 8) & 0xf0;
    if (beyond) return false;
  }
  return true;
}

// Rows stored with 8 bits whose levels all lie in -8..7 become 4 bits wide: levels for an entropy coder are stored as
// int8, and few rows of them need that. Only where it saves a sixteenth beyond what `outputs` take. The rows that stay
// are returned, or none if all became narrow.
std::vector<Joined> narrow(Joined& joined, const std::vector<BlockSource>& sources, size_t cols, const Places& places) {
  if (joined.source.bits != 8) return {};
  std::vector<uint32_t> narrow, wide;
  for (uint32_t row : joined.outputs)
    (is_narrow(sources[places.block(row)].bytes + places.at[row] * cols, cols) ? narrow : wide).push_back(row);
  const size_t rows = joined.outputs.size(), outputs = wide.empty() ? 0 : rows * sizeof(uint32_t);
  if (narrow.size() < std::min(kFewRows, rows) || narrow.size() * cols / 2 < rows * cols / 16 + outputs) return {};
  std::vector<Joined> rest;
  if (!wide.empty()) rest.push_back({joined.source, joined.members, std::move(wide), {}, {}, {}});
  joined.outputs = std::move(narrow);
  joined.source.bits = 4;
  joined.source.levels = kNarrow;
  return rest;
}

std::vector<Joined> join(const std::vector<BlockSource>& sources, size_t rows, size_t cols, size_t groups,
                         const uint8_t* cluster) {
  std::vector<Joined> found;
  std::vector<size_t> place(sources.size());
  for (size_t b = 0; b < sources.size(); ++b) {
    for (place[b] = 0; place[b] < found.size(); ++place[b])
      if (alike(found[place[b]].source, sources[b])) break;
    if (place[b] == found.size()) found.push_back({sources[b], {}, {}, {}, {}, {}});
    found[place[b]].members.push_back(b);
  }
  const Places places(cluster, rows);
  for (size_t row = 0; row < rows; ++row) found[place[places.block(row)]].outputs.push_back(static_cast<uint32_t>(row));
  for (size_t b = 0, joined = found.size(); b < joined; ++b)
    for (Joined& wide : narrow(found[b], sources, cols, places)) found.push_back(std::move(wide));
  for (Joined& joined : found)
    if (joined.members.size() > 1 || joined.outputs.size() < joined.source.rows)
      fill(joined, sources, cols, groups, places);
  if (found.size() == 1) found[0].outputs.clear();
  return found;
}

}  // namespace

Matrix::Matrix(size_t rows, size_t cols, size_t group_size, const std::vector<BlockSource>& stored,
               const uint8_t* cluster)
    : rows_(rows), cols_(cols), groups_(cols / group_size) {
  std::vector<Joined> sources = join(stored, rows, cols, groups_, cluster);
  blocks_.resize(sources.size());
  const size_t steps = steps_of(cols);
  for (size_t b = 0; b < sources.size(); ++b) {
    const BlockSource& source = sources[b].source;
    Block& block = blocks_[b];
    const size_t row_blocks = blocks_of(source.rows), padded = row_blocks * kTile;
    const size_t width = source.bits > 4 ? 8 : source.bits;

    block.codes.grow(row_blocks * steps * 32 * width);
    if (source.bytes && width == 4)
      lay_out_narrow_bytes(source.bytes, source.rows, cols, block.codes.data());
    else if (source.bytes)
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
    block.outputs = std::move(sources[b].outputs);
    const Packed packed = {block.codes.data(),
                           block.scale.data(),
                           block.zero.data(),
                           block.levels.data(),
                           block.alphas.data(),
                           source.rows,
                           steps,
                           groups_,
                           static_cast<int>(width)};
    parts_.push_back({packed, block.outputs.empty() ? nullptr : block.outputs.data()});
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
