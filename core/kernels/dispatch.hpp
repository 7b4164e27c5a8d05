// Which kernels this build holds, and which of them this machine can run.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.hpp"
#include "platform/fault.hpp"

namespace subbyte {

struct Isa {
  const char* name;
  const char* cpuinfo;  // the flag in Linux's /proc/cpuinfo that a machine with it has; "": every machine
  bool runs;            // what the CPU and the operating system say
  Kernels kernels;      // where it runs
};

// Best first; the last one, the reference, always runs.
const std::vector<Isa>& isas();

// The kernels of that name, or the best ones for "best"; the fault names what there is. They stay where they are.
Result<const Kernels*> kernels_for(const std::string& name);

}  // namespace subbyte
