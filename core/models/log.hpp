// A logarithm and an exponential of our own, so that scores and draws do not depend on the C library.
#pragma once

namespace subbyte {

// ln(x) for finite x > 0, to about 1e-16 relative.
double log_of(double x);

// e^x, to about 1e-15 relative; 0 below -700.
double exp_of(double x);

}  // namespace subbyte
