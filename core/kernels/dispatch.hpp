// Which kernels this build holds, and which of them this machine can run.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace subbyte {

struct Isa {
  const Kernels* kernels;
  bool (*supported)();  // asked of the CPU and of the operating system
};

// Best first; the last one, the reference, always runs.
const std::vector<Isa>& isas();

// The kernels of that name, or the best ones for "best". Throws std::invalid_argument naming what there is.
const Kernels& kernels_for(const std::string& name);

}  // namespace subbyte
