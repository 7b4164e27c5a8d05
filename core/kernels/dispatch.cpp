#include "kernels/dispatch.hpp"

#include <algorithm>

#include "platform/cpu.hpp"

namespace subbyte {

using Overwrite = void(Kernels&);
Overwrite reference_kernels, avx2_kernels, avx512_vnni_kernels, amx_kernels;

namespace {

struct Entry {
  const char *name, *cpuinfo;
  bool (*runs)();
  Overwrite* overwrite;
};

#if defined(__x86_64__)
// GCC and Clang read XCR0 behind these names, so they also say that the operating system saves the registers.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512_vnni() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

// Weakest first: each one starts from the table of those before it.
constexpr Entry kEntries[] = {
    {"reference", "", [] { return true; }, reference_kernels},
#if defined(__x86_64__)
    {"avx2", "avx2", has_avx2, avx2_kernels},
    {"avx512_vnni", "avx512_vnni", has_avx512_vnni, avx512_vnni_kernels},
#if defined(__linux__)
    {"amx", "amx_int8", [] { return has_avx512_vnni() && cpu_lends_tiles(); }, amx_kernels},
#endif
#endif
};

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = [] {
    std::vector<Isa> made;
    Kernels table = {};
    for (const Entry& entry : kEntries) {
      const bool runs = entry.runs();
      if (runs) entry.overwrite(table);
      table.isa = entry.name;
      made.push_back({entry.name, entry.cpuinfo, runs, table});
    }
    std::reverse(made.begin(), made.end());
    return made;
  }();
  return list;
}

Result<const Kernels*> kernels_for(const std::string& name) {
  std::string runnable;
  for (const Isa& isa : isas()) {
    if (!isa.runs) continue;
    if (name == "best" || name == isa.name) return &isa.kernels;
    runnable += (runnable.empty() ? "" : ", ") + std::string(isa.name);
  }
  return Fault("instruction set \"" + name + "\" cannot run here; this machine runs: " + runnable);
}

}  // namespace subbyte
