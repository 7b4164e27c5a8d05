// What the CPU and the operating system allow.
#pragma once

namespace subbyte {

bool cpu_has_avx2();
bool cpu_has_avx512_vnni();

// Denormals are zero and rounding is to nearest while this lives, so that every thread computes alike.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  unsigned long long saved_;
};

}  // namespace subbyte
