// Constants of the exp and erf polynomials, shared by the reference and the vector code so that both round alike.
#pragma once

namespace subbyte::constants {

// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln(2) / 2; ln 2 is split so that n * kLn2High is exact.
constexpr float kExpLow = -87.0f;  // below: exp is 0
constexpr float kExpHigh = 88.0f;  // above: clamped
constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440054690583e-4f;
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to the nearest even integer
// Taylor coefficients 1/k! of exp(r), k = 7 .. 0; the remainder is below 1 ulp on |r| <= 0.347.
constexpr float kExp[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};

// erf(x) = 1 - t * (a1 + t * (a2 + ...)) * exp(-x * x), t = 1 / (1 + p * x), x >= 0
// (Abramowitz & Stegun 7.1.26, |error| <= 1.5e-7).
constexpr float kErfP = 0.3275911f;
constexpr float kErf[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
constexpr float kHigh = 1.0f / 255;  // of a 16-bit code, which is 255 * high + low
constexpr float kSqrtHalf = 0.70710678118654752f;

}  // namespace subbyte::constants
