#include "kernels/dispatch.hpp"

#include <stdexcept>

#include "platform/cpu.hpp"

namespace subbyte {

const std::vector<Isa>& isas() {
  static const std::vector<Isa> list = {
#if defined(__x86_64__)
#if defined(__linux__)
      {&kAmx, cpu_has_amx},
#endif
      {&kAvx512Vnni, cpu_has_avx512_vnni},
      {&kAvx2, cpu_has_avx2},
#endif
      {&kReference, [] { return true; }},
  };
  return list;
}

const Kernels& kernels_for(const std::string& name) {
  std::string runnable;
  for (const Isa& isa : isas()) {
    if (!isa.supported()) continue;
    if (name == "best" || name == isa.kernels->isa) return *isa.kernels;
    runnable += (runnable.empty() ? "" : ", ") + std::string(isa.kernels->isa);
  }
  throw std::invalid_argument("instruction set \"" + name + "\" cannot run here; this machine runs: " + runnable);
}

}  // namespace subbyte
