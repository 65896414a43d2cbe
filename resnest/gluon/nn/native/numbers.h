// The floating-point numbers that operators read and write; they compute in float.
#pragma once
#include <cstdint>
#include <cstring>

// The upper half of a float.
struct Bfloat16 {
  uint16_t bits;
};

inline float real(float value) { return value; }
inline float real(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float found;
  std::memcpy(&found, &bits, sizeof found);
  return found;
}

inline void put(float value, float* to) { *to = value; }

// To the nearest, halves to the even one; what is no number stays none.
inline void put(float value, Bfloat16* to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, none = bits >> 16 | 0x40;
  to->bits = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? none : rounded);
}
