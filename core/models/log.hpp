// A logarithm of our own, so that scores do not depend on the C library.
#pragma once

namespace subbyte {

// ln(x) for finite x > 0, to about 1e-16 relative.
double log_of(double x);

}  // namespace subbyte
