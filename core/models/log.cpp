#include "log.hpp"

#include <cmath>

namespace subbyte {

double log_of(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752) {
    m *= 2.0;
    --exponent;
  }
  // ln(m) = 2 atanh(s), |s| <= 0.172: eleven odd terms reach double precision.
  const double s = (m - 1.0) / (m + 1.0), square = s * s;
  double sum = 0.0;
  for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return 2.0 * s * sum + exponent * 0.69314718055994531;
}

}  // namespace subbyte
