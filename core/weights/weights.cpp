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

// Rows whose codes mean the same, as one block: rows of several steps are stored apart, but run at one width.
struct Joined {
  BlockSource source;             // how they run; its arrays are those below, or the file's
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

// Codes that are levels, counted from the lowest: of 2 and 4 bits, and of 8, where a code is the level itself. Rows run
// with the narrowest of these widths that has nearly all their levels; the others are exceptions. (3 bits save memory
// too, but take longer to unpack.)
constexpr size_t kWidths[] = {2, 4, 8};
constexpr size_t kWidest = 2;  // of kWidths
constexpr int8_t kLevels[] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
constexpr size_t kFewExceptions = 128;  // one weight in so many of a row; each costs as much time as 64 bytes
constexpr size_t kFewBeyond = 5;        // one row in so many

constexpr int lowest(size_t bits) { return -(1 << (bits - 1)); }
const int8_t* levels_of(size_t bits) { return kLevels + 8 + lowest(bits); }

// The place in kWidths of a block whose codes are levels; kWidest + 1 of others.
size_t width_of(const BlockSource& source) {
  if (source.bits == 8) return kWidest;
  for (size_t width = 0; width < kWidest && source.levels; ++width)
    if (source.bits == kWidths[width] &&
        std::equal(source.levels, source.levels + (1 << source.bits), levels_of(source.bits)))
      return width;
  return kWidest + 1;
}

bool alike(const BlockSource& a, const BlockSource& b) {
  if (a.bits != b.bits || a.alphas || b.alphas || !a.zero != !b.zero) return false;
  return a.bits == 8 || std::equal(a.levels, a.levels + (size_t{1} << a.bits), b.levels);
}

// The place in kWidths of the narrowest that has nearly all levels of a row, `most` if that is none before it.
size_t narrowest(const BlockSource& source, size_t row, size_t cols, size_t most) {
  constexpr size_t kPiece = 64;  // most rows that stay are known after one
  int8_t piece[kPiece];
  size_t found = 0, beyond[kWidest] = {};
  for (size_t begin = 0; begin < cols && found < most; begin += kPiece) {
    const size_t count = std::min(kPiece, cols - begin);
    const int8_t* levels = source.bytes ? source.bytes + row * cols + begin : piece;
    if (!source.bytes)
      unpack_levels(source.planes, source.bits, source.rows, cols, source.levels, row, begin, count, piece);
    for (size_t width = found; width < most; ++width) {
      const int low = lowest(kWidths[width]);
      uint8_t far = 0;
      for (size_t i = 0; i < count; ++i)
        far = static_cast<uint8_t>(far + (static_cast<uint8_t>(levels[i] - low) >> kWidths[width] != 0));
      beyond[width] += far;
    }
    while (found < most && beyond[found] > cols / kFewExceptions) ++found;
  }
  return found;
}

// Copies the rows that it has into arrays of its own, in the order of the matrix: int8 levels, or the planes of a file.
// Rows of levels that are wider than the block stay blank.
void fill(Joined& joined, const std::vector<BlockSource>& sources, size_t cols, size_t groups, const Places& places,
          const std::vector<uint8_t>& width) {
  BlockSource& own = joined.source;
  const bool zero = own.zero, bytes = width_of(own) <= kWidest;
  const size_t rows = joined.outputs.size(), planes = bytes ? 1 : own.bits, row_bytes = bytes ? cols : (cols + 7) / 8;
  joined.codes.resize(planes * rows * row_bytes);
  joined.scale.resize(rows * groups);
  if (zero) joined.zero.resize(rows * groups);
  for (size_t row = 0; row < rows; ++row) {
    const size_t at = places.at[joined.outputs[row]];
    const BlockSource& from = sources[places.block(joined.outputs[row])];
    uint8_t* to = joined.codes.data() + row * row_bytes;
    if (bytes && kWidths[width[joined.outputs[row]]] > own.bits)
      std::memset(to, 0, cols);
    else if (bytes && !from.bytes)
      unpack_levels(from.planes, from.bits, from.rows, cols, from.levels, at, 0, cols, reinterpret_cast<int8_t*>(to));
    else if (bytes)
      std::memcpy(to, from.bytes + at * cols, cols);
    else
      for (size_t plane = 0; plane < planes; ++plane)
        std::memcpy(to + plane * rows * row_bytes, from.planes + (plane * from.rows + at) * row_bytes, row_bytes);
    for (size_t group = 0; group < groups; ++group) {
      const size_t one = from.per_tensor ? 0 : at * groups + group;
      joined.scale[row * groups + group] = from.scale[one];
      if (zero) joined.zero[row * groups + group] = from.zero[one];
    }
  }
  own.rows = rows;
  own.planes = bytes ? nullptr : joined.codes.data();
  own.bytes = bytes ? reinterpret_cast<const int8_t*>(joined.codes.data()) : nullptr;
  own.scale = joined.scale.data();
  own.zero = zero ? joined.zero.data() : nullptr;
  own.per_tensor = false;
}

// Rows of codes that are levels, as one block of the narrowest width that is enough for most, with blank rows in the
// place of the others: these follow in blocks of their own. So the rows of the first one are where products want them.
// width: of each row of the matrix, in kWidths.
void by_width(const std::vector<uint32_t>& rows, const std::vector<uint8_t>& width, const BlockSource& source,
              std::vector<Joined>& found) {
  std::vector<uint32_t> beyond[kWidest + 1];
  for (uint32_t row : rows) beyond[width[row]].push_back(row);
  size_t best = 0;
  for (size_t enough = beyond[0].size(); (rows.size() - enough) * kFewBeyond > rows.size();)
    enough += beyond[++best].size();
  for (size_t own = best; own <= kWidest; ++own) {
    if (own != best && beyond[own].empty()) continue;
    found.push_back({source, own == best ? rows : std::move(beyond[own]), {}, {}, {}});
    found.back().source.bits = kWidths[own];
    found.back().source.levels = own < kWidest ? levels_of(kWidths[own]) : nullptr;
  }
}

std::vector<Joined> join(const std::vector<BlockSource>& sources, size_t rows, size_t cols, size_t groups,
                         const uint8_t* cluster) {
  const Places places(cluster, rows);
  std::vector<Joined> found;
  std::vector<uint32_t> of_levels[2];  // rows without zeros and with them
  std::vector<uint8_t> width(rows);
  std::vector<size_t> place(sources.size()), widest(sources.size());
  const BlockSource* first[2] = {};
  for (size_t b = 0; b < sources.size(); ++b) {
    widest[b] = width_of(sources[b]);
    if (widest[b] <= kWidest) {
      first[sources[b].zero != nullptr] = &sources[b];
      continue;
    }
    for (place[b] = 0; place[b] < found.size(); ++place[b])
      if (alike(found[place[b]].source, sources[b])) break;
    if (place[b] == found.size()) found.push_back({sources[b], {}, {}, {}, {}});
  }
  for (size_t row = 0; row < rows; ++row) {
    const size_t b = places.block(row);
    if (widest[b] <= kWidest) width[row] = static_cast<uint8_t>(narrowest(sources[b], places.at[row], cols, widest[b]));
    std::vector<uint32_t>& outputs =
        widest[b] > kWidest ? found[place[b]].outputs : of_levels[sources[b].zero != nullptr];
    outputs.push_back(static_cast<uint32_t>(row));
  }
  for (int zero = 0; zero < 2; ++zero)
    if (first[zero]) by_width(of_levels[zero], width, *first[zero], found);
  for (Joined& joined : found) {
    const size_t b = places.block(joined.outputs[0]);
    const bool whole =
        std::all_of(joined.outputs.begin(), joined.outputs.end(), [&](uint32_t row) { return places.block(row) == b; });
    if (!whole || joined.outputs.size() != sources[b].rows || joined.source.bits != sources[b].bits)
      fill(joined, sources, cols, groups, places, width);
    if (joined.outputs.size() == rows) joined.outputs.clear();
  }
  return found;
}

// Whether a row has the last of all codes: its bit is set in every plane.
bool has_last(const BlockSource& source, size_t cols) {
  const size_t size = source.rows * ((cols + 7) / 8);
  uint8_t last = 0;
  for (size_t at = 0; at < size; ++at) {
    uint8_t set = 255;
    for (size_t bit = 0; bit < source.bits; ++bit) set &= source.planes[bit * size + at];
    last |= set;
  }
  return last != 0;
}

// What each level is above that of the code before, if that is the same for all; of symmetric levels the last code may
// be left over. Else 0.
int spacing_of(const BlockSource& source, size_t cols) {
  if (!source.levels || source.bits < 2 || source.bits > 4) return 0;
  const int last = (1 << source.bits) - 1, spacing = source.levels[1] - source.levels[0];
  for (int code = 1; code < last; ++code)
    if (source.levels[code] != source.levels[0] + spacing * code) return 0;
  const bool even = source.levels[last] == source.levels[0] + spacing * last;
  return even || (source.planes && !has_last(source, cols)) ? spacing : 0;
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
    if (source.bytes && width < 8)
      block.exceptions = lay_out_levels(source.bytes, source.bits, source.rows, cols, block.codes.data(),
                                        block.first_exception.grow(row_blocks + 1));
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
                           static_cast<int>(width),
                           spacing_of(source, cols),
                           block.exceptions.empty() ? nullptr : block.exceptions.data(),
                           block.first_exception.data()};
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
  for_exceptions(w, row / kTile, [&](const Exception& one) {
    if (one.row != row % kTile) return;
    const size_t group = one.col / group_size;
    const int level = level_of(w, row, group, codes[one.col]) + one.more;
    out[one.col] = static_cast<float>(level - zero_at(w, row, group)) * scale_at(w, row, group);
  });
}

size_t Matrix::bytes() const {
  size_t total = dense_.bytes();
  for (const Block& block : blocks_)
    total += block.codes.bytes() + block.alphas.bytes() + block.scale.bytes() + block.zero.bytes() +
             block.levels.bytes() + block.outputs.size() * sizeof(uint32_t) + block.first_exception.bytes() +
             block.exceptions.size() * sizeof(Exception);
  return total;
}

void Matrix::row(size_t index, float* out) const {
  if (dense()) {
    std::memcpy(out, dense_.data() + index * stride_, cols_ * sizeof(float));
    return;
  }
  for (auto place = parts_.rbegin(); place != parts_.rend(); ++place) {  // the last that has it
    const Part& part = *place;
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
