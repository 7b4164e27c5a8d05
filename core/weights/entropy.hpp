// Codes of a block in as many bits as they are worth: rANS with static probabilities (Duda 2013, arXiv:1311.2540;
// interleaved as Giesen 2014, arXiv:1402.3392). docs/format.md has the bytes. Lossless, and the same on every CPU.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "platform/fault.hpp"
#include "platform/threads.hpp"

namespace subbyte {

// A block of codes [rows, cols] of some bits, and where they lie: as BlockSource has them, bit planes
// [bits, rows, ceil(cols / 8)] of 1 to 7 bits, or levels [rows, cols] of 8.
struct CodeShape {
  size_t bits = 0, rows = 0, cols = 0;

  size_t row_bytes() const { return bits == 8 ? cols : (cols + 7) / 8; }
  size_t bytes() const { return (bits == 8 ? 1 : bits) * rows * row_bytes(); }
};

// The codes of a block, coded; empty where that takes no fewer bytes, or so few that a reader would refuse them.
std::vector<uint8_t> encode_codes(const CodeShape& shape, const uint8_t* codes, Threads& threads);

// A coded block whose table, lengths and states were found to be possible: decoding allocates no more than `shape`
// says, which is at most 128 codes for each byte of the file. The bytes are borrowed.
class CodedBlock {
 public:
  static Result<CodedBlock> of(const CodeShape& shape, const uint8_t* bytes, size_t size);

  const CodeShape& shape() const { return shape_; }
  size_t chunks() const { return starts_.size() - 1; }

  // What a worker needs while it decodes chunks, used again for every chunk.
  struct Scratch {
    const CodedBlock* block = nullptr;  // whose table it holds
    std::vector<uint8_t> symbols, symbol_of;
  };
  // Writes the rows of one chunk to the codes of the block. No two chunks touch the same bytes.
  Fault decode(size_t chunk, Scratch& scratch, uint8_t* codes) const;

 private:
  CodeShape shape_;
  std::vector<uint16_t> frequency_, first_;  // [256] of each symbol, of 2^14; the sum of those before it
  std::vector<const uint8_t*> starts_;       // of the chunks, and the end
};

// Decodes blocks, the chunks of all of them side by side. codes: where each goes, of its shape's bytes. The fault of
// each.
std::vector<Fault> decode_blocks(const std::vector<const CodedBlock*>& blocks, const std::vector<uint8_t*>& codes,
                                 Threads& threads);

}  // namespace subbyte
