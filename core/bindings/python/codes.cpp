// Codes of blocks, coded and back, as runs of bytes.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <variant>

#include "bindings/python/bindings.hpp"
#include "platform/threads.hpp"
#include "weights/entropy.hpp"

namespace subbyte::bindings {
namespace {

using Given = std::tuple<size_t, size_t, size_t, In<uint8_t, 1>>;  // bits, rows, cols, coded bytes
using Made = std::variant<Out<uint8_t>, std::string>;

std::optional<Out<uint8_t>> encoded(size_t bits, size_t rows, size_t cols, In<uint8_t, 1> codes, size_t threads) {
  require(bits >= 1 && bits <= 8 && rows > 0 && cols > 0, "a block has 1 to 8 bits, rows and columns");
  const CodeShape shape = {bits, rows, cols};
  require(codes.shape(0) == shape.bytes(), "codes: must be all bytes of the block");
  std::vector<uint8_t> bytes;
  {
    nb::gil_scoped_release release;
    Threads pool(threads);
    bytes = encode_codes(shape, codes.data(), pool);
  }
  if (bytes.empty()) return std::nullopt;
  const size_t size = bytes.size();
  return to_numpy(std::move(bytes), {size});
}

std::vector<Made> decoded(const std::vector<Given>& given, size_t threads) {
  std::vector<Result<CodedBlock>> checked;
  std::vector<std::unique_ptr<uint8_t[]>> made(given.size());
  std::vector<Fault> faults;
  std::vector<const CodedBlock*> blocks;
  std::vector<uint8_t*> codes;
  {
    nb::gil_scoped_release release;
    for (const auto& [bits, rows, cols, coded] : given)
      checked.push_back(CodedBlock::of({bits, rows, cols}, coded.data(), coded.shape(0)));
    for (size_t i = 0; i < given.size(); ++i) {
      if (!checked[i]) continue;
      made[i].reset(new uint8_t[checked[i]->shape().bytes()]);  // every byte is written, by whoever decodes it
      blocks.push_back(&*checked[i]);
      codes.push_back(made[i].get());
    }
    Threads pool(threads);
    faults = decode_blocks(blocks, codes, pool);
  }
  std::vector<Made> out;
  size_t at = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    if (!checked[i]) {
      out.emplace_back(checked[i].fault().text());
    } else if (const Fault& fault = faults[at++]) {
      out.emplace_back(fault.text());
    } else {
      const size_t size = checked[i]->shape().bytes();
      uint8_t* bytes = made[i].release();
      nb::capsule owner(bytes, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
      out.emplace_back(Out<uint8_t>(bytes, {size}, owner));
    }
  }
  return out;
}

}  // namespace

void define_codes(nb::module_& m) {
  m.def("encode_codes", encoded, "bits"_a, "rows"_a, "cols"_a, "codes"_a, nb::kw_only(), "threads"_a = 1,
        "The bytes of a block's codes, coded; None where that takes no fewer.");
  m.def("decode_codes", decoded, "blocks"_a, nb::kw_only(), "threads"_a = 1,
        "The bytes of the codes of blocks (bits, rows, cols, coded bytes), or of each that cannot be, why. All are "
        "checked before anything is decoded.");
}

}  // namespace subbyte::bindings
