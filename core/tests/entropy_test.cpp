// Codes come out of their coded bytes as they went in; bytes that cannot be are faults, and nothing is written past.
#include <string>

#include "tests/check.hpp"
#include "tests/random.hpp"
#include "weights/entropy.hpp"

namespace subbyte::tests {
namespace {

// Codes that lie around the middle, as those of weights do; row-long blocks and several chunks among the shapes.
struct Codes {
  CodeShape shape;
  std::vector<uint8_t> bytes;

  Codes(Random& random, size_t bits, size_t rows, size_t cols) : shape{bits, rows, cols}, bytes(shape.bytes()) {
    const uint32_t half = 1u << (bits - 1);
    for (size_t row = 0; row < rows; ++row)
      for (size_t col = 0; col < cols; ++col) {
        uint32_t code = bits > 1 ? half : 0;  // 1 bit: one in four is set
        if (bits == 1) code = random.below(4) == 0;
        for (int step = 0; step < 3 && bits > 1; ++step) code += random.below(half / 2 + 1) - half / 4;
        code = code > 2 * half - 1 ? half : code;
        if (bits == 8)
          bytes[row * cols + col] = static_cast<uint8_t>((code ? code : 1) ^ 0x80);
        else
          for (size_t k = 0; k < bits; ++k)
            bytes[(k * rows + row) * shape.row_bytes() + col / 8] |= static_cast<uint8_t>((code >> k & 1) << (col % 8));
      }
  }
};

std::string fault_of(const CodeShape& shape, const std::vector<uint8_t>& coded, std::vector<uint8_t>& codes) {
  const auto block = CodedBlock::of(shape, coded.data(), coded.size());
  if (!block) return block.fault().text();
  codes.assign(shape.bytes(), 0xaa);
  Threads threads(2);
  return decode_blocks({&*block}, {codes.data()}, threads)[0].text();
}

}  // namespace

TEST(codes_come_back_in_fewer_bytes) {
  Random random(5);
  Threads threads(2);
  for (size_t bits = 1; bits <= 8; ++bits)
    for (auto [rows, cols] : {std::pair<size_t, size_t>{64, 64}, {5, 1003}, {130, 1000}, {3, 70000}, {9000, 13}}) {
      const Codes given(random, bits, rows, cols);
      const std::vector<uint8_t> coded = encode_codes(given.shape, given.bytes.data(), threads);
      CHECK(!coded.empty() && coded.size() < given.bytes.size());
      std::vector<uint8_t> codes;
      CHECK(fault_of(given.shape, coded, codes).empty());
      CHECK(codes == given.bytes);
    }
}

TEST(codes_worth_their_bits_stay_as_they_are) {
  Random random(6);
  Threads threads(1);
  const CodeShape shape = {4, 64, 256};
  const std::vector<uint8_t> even = random.bytes<uint8_t>(shape.bytes()), none(shape.bytes());
  CHECK(encode_codes(shape, even.data(), threads).empty());
  CHECK(encode_codes(shape, none.data(), threads).empty());  // one code only: a byte would stand for too many
  std::vector<uint8_t> rare = none;
  rare[0] = 1;
  CHECK(encode_codes(shape, rare.data(), threads).empty());
}

TEST(every_truncation_of_coded_codes_is_a_fault) {
  Random random(7);
  Threads threads(1);
  const Codes given(random, 3, 40, 40);
  const std::vector<uint8_t> coded = encode_codes(given.shape, given.bytes.data(), threads);
  for (size_t size = 0; size < coded.size(); ++size) {
    std::vector<uint8_t> codes;
    CHECK(!fault_of(given.shape, std::vector<uint8_t>(coded.begin(), coded.begin() + size), codes).empty());
  }
}

TEST(whatever_changes_in_coded_codes_is_a_fault_or_other_codes) {
  Random random(8);
  Threads threads(1);
  const Codes given(random, 8, 30, 50);
  const std::vector<uint8_t> coded = encode_codes(given.shape, given.bytes.data(), threads);
  size_t faults = 0;
  for (size_t at = 0; at < coded.size(); ++at)
    for (uint8_t change : {1, 0x80, 0xff}) {
      std::vector<uint8_t> changed = coded, codes;
      changed[at] ^= change;
      const bool fault = !fault_of(given.shape, changed, codes).empty();
      faults += fault;
      CHECK(fault || codes.size() == given.bytes.size());
      for (uint8_t code : codes) CHECK(fault || code != 0x80);  // no level of -128
    }
  CHECK(faults == 3 * coded.size());  // a state that is off stays off to the end
}

TEST(shapes_that_coded_codes_cannot_have_are_faults) {
  Random random(9);
  Threads threads(1);
  const Codes given(random, 4, 40, 64);
  const std::vector<uint8_t> coded = encode_codes(given.shape, given.bytes.data(), threads);
  std::vector<uint8_t> codes;
  const size_t large = size_t{1} << 40, wrapping = size_t{1} << 63;
  for (const CodeShape& shape : {CodeShape{4, 0, 64},
                                 {4, 40, 0},
                                 {0, 40, 64},
                                 {9, 40, 64},
                                 {4, large, 64},
                                 {4, 40, large},
                                 {4, wrapping, 2},
                                 {4, 41, 64},
                                 {4, 40, 63},
                                 {3, 40, 64}})
    CHECK(!fault_of(shape, coded, codes).empty());
}

}  // namespace subbyte::tests
