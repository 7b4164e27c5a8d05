#include "models/log.hpp"

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

double exp_of(double x) {
  if (!(x > -700.0)) return 0.0;
  if (x > 700.0) x = 700.0;
  // exp(x) = 2^n * exp(r), |r| <= 0.347; ln 2 is split so that n * high is exact. Eighteen terms reach double
  // precision.
  const double n = std::nearbyint(x * 1.44269504088896341),
               r = (x - n * 0.693147180369123816) - n * 1.90821492927058770e-10;
  double sum = 1.0;
  for (int k = 17; k >= 1; --k) sum = 1.0 + sum * r / k;
  return std::ldexp(sum, static_cast<int>(n));
}

}  // namespace subbyte
