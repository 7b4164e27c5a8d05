#include "weights/entropy.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace subbyte {
namespace {

constexpr size_t kChunk = 65536;     // weights, at most, but for a single row
constexpr size_t kLanes = 8;         // states; symbol i of a chunk belongs to state i mod 8
constexpr uint32_t kTotalBits = 14;  // frequencies sum to 2^14
constexpr uint32_t kTotal = 1u << kTotalBits;
constexpr uint32_t kLow = 1u << 16;  // states are at least this, and below 2^32
constexpr size_t kHead = kLanes * sizeof(uint32_t);
constexpr uint64_t kCodesOfByte = 128;  // a byte of a chunk stands for at most so many: 1/16 bit each

size_t rows_of_chunk(size_t cols) { return std::max<size_t>(1, kChunk / cols); }

uint32_t read32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
         static_cast<uint32_t>(p[3]) << 24;
}

uint32_t read16(const uint8_t* p) { return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8; }

void append(std::vector<uint8_t>& bytes, uint32_t value, size_t count) {
  for (size_t i = 0; i < count; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// Symbols to what lies in memory: bit planes, 8 columns at a time, or levels.
void store_row(const CodeShape& shape, const uint8_t* symbols, size_t row, uint8_t* codes) {
  if (shape.bits == 8) {
    uint8_t* out = codes + row * shape.cols;
    for (size_t col = 0; col < shape.cols; ++col) out[col] = symbols[col] ^ 0x80;
    return;
  }
  const size_t row_bytes = shape.row_bytes(), plane_bytes = shape.rows * row_bytes;
  uint8_t* out = codes + row * row_bytes;
  for (size_t byte = 0; byte < row_bytes; ++byte) {
    uint64_t eight = 0;
    const size_t left = shape.cols - byte * 8;
    for (size_t i = 0; i < 8 && left < 8; ++i)
      eight |= static_cast<uint64_t>(i < left ? symbols[byte * 8 + i] : 0) << 8 * i;
    if (left >= 8) {
      const uint8_t* s = symbols + byte * 8;
      eight = static_cast<uint64_t>(read32(s)) | static_cast<uint64_t>(read32(s + 4)) << 32;
    }
    for (size_t k = 0; k < shape.bits; ++k)  // bit k of each byte, gathered in the top byte of a product
      out[k * plane_bytes + byte] =
          static_cast<uint8_t>((eight >> k & 0x0101010101010101u) * 0x0102040810204080u >> 56);
  }
}

// The other way round.
void load_row(const CodeShape& shape, const uint8_t* codes, size_t row, uint8_t* symbols) {
  if (shape.bits == 8) {
    for (size_t col = 0; col < shape.cols; ++col) symbols[col] = codes[row * shape.cols + col] ^ 0x80;
    return;
  }
  const size_t row_bytes = shape.row_bytes(), plane_bytes = shape.rows * row_bytes;
  for (size_t col = 0; col < shape.cols; ++col) {
    uint8_t symbol = 0;
    for (size_t k = 0; k < shape.bits; ++k)
      symbol |= (codes[k * plane_bytes + row * row_bytes + col / 8] >> (col % 8) & 1) << k;
    symbols[col] = symbol;
  }
}

// Frequencies [256] that sum to kTotal, in proportion to counts, at least 1 where there is any. What rounding leaves is
// given or taken where it changes the size least: a step of f costs about count / f.
std::vector<uint32_t> frequencies_of(const std::vector<uint64_t>& counts, uint64_t total) {
  std::vector<uint32_t> frequency(256);
  uint32_t sum = 0;
  for (size_t s = 0; s < 256; ++s) {
    if (counts[s]) frequency[s] = std::max<uint32_t>(1, static_cast<uint32_t>(counts[s] * kTotal / total));
    sum += frequency[s];
  }
  for (; sum < kTotal; ++sum) {
    size_t best = 0;
    double gain = -1;
    for (size_t s = 0; s < 256; ++s) {
      const double of = static_cast<double>(counts[s]) / (frequency[s] + 0.5);
      if (counts[s] && of > gain) gain = of, best = s;
    }
    ++frequency[best];
  }
  for (; sum > kTotal; --sum) {
    size_t best = 0;
    double loss = 1e300;
    for (size_t s = 0; s < 256; ++s) {
      const double of = static_cast<double>(counts[s]) / (frequency[s] - 0.5);
      if (frequency[s] > 1 && of < loss) loss = of, best = s;
    }
    --frequency[best];
  }
  return frequency;
}

// Symbols from the last to the first, so that they can be read from the first to the last.
std::vector<uint8_t> encode_chunk(const std::vector<uint8_t>& symbols, const std::vector<uint32_t>& frequency,
                                  const std::vector<uint32_t>& first) {
  uint32_t state[kLanes];
  std::fill(state, state + kLanes, kLow);
  std::vector<uint16_t> words;
  for (size_t i = symbols.size(); i-- > 0;) {
    uint32_t& x = state[i % kLanes];
    const uint32_t f = frequency[symbols[i]];
    if (x >= static_cast<uint64_t>(f) << (32 - kTotalBits)) {
      words.push_back(static_cast<uint16_t>(x));
      x >>= 16;
    }
    x = x / f * kTotal + x % f + first[symbols[i]];
  }
  std::vector<uint8_t> bytes;
  bytes.reserve(kHead + 2 * words.size());
  for (uint32_t x : state) append(bytes, x, 4);
  for (size_t i = words.size(); i-- > 0;) append(bytes, words[i], 2);
  return bytes;
}

}  // namespace

std::vector<uint8_t> encode_codes(const CodeShape& shape, const uint8_t* codes, Threads& threads) {
  const size_t step = rows_of_chunk(shape.cols), chunks = (shape.rows + step - 1) / step;
  const auto symbols_of = [&](size_t chunk) {
    const size_t from = chunk * step, rows = std::min(step, shape.rows - from);
    std::vector<uint8_t> symbols(rows * shape.cols);
    for (size_t row = 0; row < rows; ++row) load_row(shape, codes, from + row, symbols.data() + row * shape.cols);
    return symbols;
  };
  std::vector<std::vector<uint64_t>> counted(threads.count(), std::vector<uint64_t>(256));
  threads.run(chunks, [&](size_t chunk, size_t worker) {
    for (uint8_t symbol : symbols_of(chunk)) ++counted[worker][symbol];
  });
  std::vector<uint64_t> counts(256);
  for (const auto& part : counted)
    for (size_t s = 0; s < 256; ++s) counts[s] += part[s];
  size_t low = 0, high = 255;
  while (low < 255 && !counts[low]) ++low;
  while (high > low && !counts[high]) --high;
  if (low == high) return {};

  const std::vector<uint32_t> frequency = frequencies_of(counts, shape.rows * shape.cols);
  std::vector<uint32_t> first(256);
  for (size_t s = 1; s < 256; ++s) first[s] = first[s - 1] + frequency[s - 1];
  std::vector<std::vector<uint8_t>> parts(chunks);
  std::vector<uint8_t> too_short(chunks);
  threads.run(chunks, [&](size_t chunk, size_t) {
    const std::vector<uint8_t> symbols = symbols_of(chunk);
    parts[chunk] = encode_chunk(symbols, frequency, first);
    too_short[chunk] = parts[chunk].size() * kCodesOfByte < symbols.size();
  });

  std::vector<uint8_t> bytes = {static_cast<uint8_t>(low), static_cast<uint8_t>(high)};
  for (size_t s = low; s <= high; ++s) {
    if (frequency[s] >= 0x80) bytes.push_back(static_cast<uint8_t>(0x80 | frequency[s] >> 8));
    bytes.push_back(static_cast<uint8_t>(frequency[s]));
  }
  for (const auto& part : parts) append(bytes, static_cast<uint32_t>(part.size()), 4);
  for (const auto& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
  const bool refused = std::count(too_short.begin(), too_short.end(), 1) > 0;
  return refused || bytes.size() >= shape.bytes() ? std::vector<uint8_t>() : bytes;
}

Result<CodedBlock> CodedBlock::of(const CodeShape& shape, const uint8_t* bytes, size_t size) {
  const auto number = [](uint64_t n) { return std::to_string(n); };
  // Sizes first: a byte stands for at most 128 codes, so a product that passes here cannot have wrapped.
  if (shape.bits < 1 || shape.bits > 8 || shape.rows == 0 || shape.cols == 0) return Fault("codes: not a block");
  if (shape.cols > size * kCodesOfByte || shape.rows > size * kCodesOfByte / shape.cols)
    return Fault(number(size) + " bytes are too few for " + number(shape.rows) + " x " + number(shape.cols) +
                 " codes, of which a byte holds at most " + number(kCodesOfByte));
  CodedBlock block;
  block.shape_ = shape;
  block.frequency_.resize(256);
  block.first_.resize(256);
  const uint8_t *at = bytes, *end = bytes + size;
  if (size < 2) return Fault("the table is cut short");
  const size_t low = *at++, high = *at++;
  const size_t least = shape.bits == 8 ? 1 : 0, most = (size_t{1} << shape.bits) - 1;
  if (low < least || low >= high || high > most)
    return Fault("the table is of symbols " + number(low) + " to " + number(high) + ", should be two or more of " +
                 number(least) + " to " + number(most));
  uint32_t sum = 0;
  for (size_t s = low; s <= high; ++s) {
    if (at == end || (*at >= 0x80 && end - at < 2)) return Fault("the table is cut short");
    uint32_t f = *at++;
    if (f >= 0x80) f = (f & 0x7f) << 8 | *at++;
    if (f >= kTotal) return Fault("symbol " + number(s) + " has a frequency of " + number(f) + " of " + number(kTotal));
    block.frequency_[s] = static_cast<uint16_t>(f);
    block.first_[s] = static_cast<uint16_t>(sum);
    sum += f;
  }
  if (sum != kTotal) return Fault("the frequencies sum to " + number(sum) + ", should be " + number(kTotal));

  const size_t step = rows_of_chunk(shape.cols), chunks = (shape.rows + step - 1) / step;
  if (static_cast<size_t>(end - at) / 4 < chunks) return Fault("the lengths of the chunks are cut short");
  const uint8_t* lengths = at;
  at += 4 * chunks;
  for (size_t chunk = 0; chunk < chunks; ++chunk) {
    const auto fault = [&](const std::string& what) { return Fault("chunk " + number(chunk) + " " + what); };
    const size_t length = read32(lengths + 4 * chunk);
    const size_t symbols = std::min(step, shape.rows - chunk * step) * shape.cols;
    if (length > static_cast<size_t>(end - at)) return fault("ends behind the array");
    if (length < kHead || length % 2 || length * kCodesOfByte < symbols)
      return fault("has " + number(length) + " bytes, too few or an odd number for " + number(symbols) + " codes");
    for (size_t lane = 0; lane < kLanes; ++lane)
      if (read32(at + 4 * lane) < kLow) return fault("begins in a state that cannot be");
    block.starts_.push_back(at);
    at += length;
  }
  if (at != end) return Fault(number(static_cast<size_t>(end - at)) + " bytes are left behind the last chunk");
  block.starts_.push_back(end);
  return block;
}

Fault CodedBlock::decode(size_t chunk, Scratch& scratch, uint8_t* codes) const {
  const size_t step = rows_of_chunk(shape_.cols), from = chunk * step, rows = std::min(step, shape_.rows - from);
  const size_t count = rows * shape_.cols;
  if (scratch.block != this) {
    scratch.block = this;
    scratch.symbol_of.resize(kTotal);
    for (size_t s = 0; s < 256; ++s)
      std::memset(scratch.symbol_of.data() + first_[s], static_cast<int>(s), frequency_[s]);
  }
  scratch.symbols.resize(count);
  const uint8_t *at = starts_[chunk] + kHead, *end = starts_[chunk + 1];
  const uint8_t* symbol_of = scratch.symbol_of.data();
  uint32_t table[256];  // frequency and first symbol's place side by side: one read
  for (size_t s = 0; s < 256; ++s) table[s] = static_cast<uint32_t>(frequency_[s]) << 16 | first_[s];
  uint32_t state[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) state[lane] = read32(starts_[chunk] + 4 * lane);

  uint8_t* symbols = scratch.symbols.data();
  const auto next = [&](uint32_t x, uint8_t& symbol) {  // without the word that may have to follow
    const uint32_t place = x & (kTotal - 1), s = symbol_of[place];
    symbol = static_cast<uint8_t>(s);
    return (table[s] >> 16) * (x >> kTotalBits) + place - (table[s] & 0xffff);
  };
  size_t i = 0;
  // A round of all lanes takes at most one word each.
  for (; i + kLanes <= count && end - at >= static_cast<ptrdiff_t>(2 * kLanes); i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const uint32_t x = next(state[lane], symbols[i + lane]), low = x < kLow;  // no branch: none could be foreseen
      state[lane] = x << 16 * low | (read16(at) & (0 - low));
      at += 2 * low;
    }
  for (; i < count; ++i) {
    uint32_t& x = state[i % kLanes];
    x = next(x, symbols[i]);
    if (x >= kLow) continue;
    if (at == end) return Fault("chunk " + std::to_string(chunk) + " ends before its last code");
    x = x << 16 | read16(at);
    at += 2;
  }
  if (at != end) return Fault("chunk " + std::to_string(chunk) + " goes on behind its last code");
  for (uint32_t x : state)
    if (x != kLow) return Fault("chunk " + std::to_string(chunk) + " does not end in the state it should");
  for (size_t row = 0; row < rows; ++row)
    store_row(shape_, scratch.symbols.data() + row * shape_.cols, from + row, codes);
  return {};
}

std::vector<Fault> decode_blocks(const std::vector<const CodedBlock*>& blocks, const std::vector<uint8_t*>& codes,
                                 Threads& threads) {
  struct Task {
    size_t block, chunk;
  };
  std::vector<Task> tasks;
  for (size_t block = 0; block < blocks.size(); ++block)
    for (size_t chunk = 0; chunk < blocks[block]->chunks(); ++chunk) tasks.push_back({block, chunk});
  std::vector<CodedBlock::Scratch> scratch(threads.count());
  std::vector<Fault> found(tasks.size());
  threads.run(tasks.size(), [&](size_t i, size_t worker) {
    const auto [block, chunk] = tasks[i];
    found[i] = blocks[block]->decode(chunk, scratch[worker], codes[block]);
  });
  std::vector<Fault> faults(blocks.size());
  for (size_t i = tasks.size(); i-- > 0;)  // the first fault of a block is told
    if (found[i]) faults[tasks[i].block] = std::move(found[i]);
  return faults;
}

}  // namespace subbyte
