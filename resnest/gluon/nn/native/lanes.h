// LANES floats at once, as the compiler's vectors, from numbers in memory and back into them, with the results of
// real() and put(). With AVX-512 the conversions are named: gcc 12 makes them one number at a time.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "numbers.h"

#ifdef __AVX512F__
#include <immintrin.h>
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(LANES * sizeof(T)), may_alias));
};
template <typename T>
using Vector = typename VectorOf<T>::type;

// uint8_t, int8_t or uint16_t as int32_t.
template <typename T>
Vector<int32_t> widened(const T* from) {
  Vector<int32_t> found;
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 2)
    found = (Vector<int32_t>)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
  else if constexpr (std::is_signed<T>::value)
    found = (Vector<int32_t>)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from));
  else found = (Vector<int32_t>)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from));
#else
  int32_t numbers[LANES];
  for (int i = 0; i < LANES; ++i) numbers[i] = from[i];
  std::memcpy(&found, numbers, sizeof found);
#endif
  return found;
}

// The lower halves or quarters.
template <typename T>
void narrow(Vector<int32_t> numbers, T* to) {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 2) _mm256_storeu_si256((__m256i*)to, _mm512_cvtepi32_epi16((__m512i)numbers));
  else _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)numbers));
#else
  for (int i = 0; i < LANES; ++i) to[i] = static_cast<T>(numbers[i]);
#endif
}

// What sums of numbers are: whole for whole numbers.
template <typename T>
using Sum = std::conditional_t<std::is_integral<T>::value, int32_t, float>;

inline Vector<float> load(const float* from) {
  Vector<float> found;
  std::memcpy(&found, from, sizeof found);
  return found;
}
inline Vector<float> load(const Bfloat16* from) {
  return (Vector<float>)(widened(reinterpret_cast<const uint16_t*>(from)) << 16);
}
inline Vector<int32_t> load(const uint8_t* from) { return widened(from); }
inline Vector<int32_t> load(const int8_t* from) { return widened(from); }

inline Vector<float> real(Vector<float> value) { return value; }
inline Vector<float> real(Vector<int32_t> value) { return __builtin_convertvector(value, Vector<float>); }

inline void put(Vector<float> value, float* to) { std::memcpy(to, &value, sizeof value); }
inline void put(Vector<float> value, Bfloat16* to) {
  const Vector<uint32_t> bits = (Vector<uint32_t>)value;
  const Vector<uint32_t> rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, none = bits >> 16 | 0x40;
  narrow((Vector<int32_t>)((bits & 0x7fffffff) > 0x7f800000 ? none : rounded), reinterpret_cast<uint16_t*>(to));
}
// Whole numbers: to the nearest, halves away from zero, and clipped.
template <typename T>
std::enable_if_t<std::is_integral<T>::value> put(Vector<float> value, T* to) {
  const Vector<float> zero = {}, low = zero + (std::is_signed<T>::value ? -128 : 0),
                      high = zero + (std::is_signed<T>::value ? 127 : 255);
  value = value < low ? low : value;
  value = value > high ? high : value;
  narrow(__builtin_convertvector(value + (value < zero ? zero - 0.5f : zero + 0.5f), Vector<int32_t>), to);
}

// The same of `count` numbers, with zeros behind them, where WHOLE is false and they are fewer than LANES.
template <bool WHOLE, typename T>
auto load(const T* from, int64_t count) {
  if (WHOLE || count >= LANES) return load(from);
  T some[LANES] = {};
  std::memcpy(some, from, count * sizeof(T));
  return load(some);
}
template <bool WHOLE, typename T>
void put(Vector<float> value, T* to, int64_t count) {
  if (WHOLE || count >= LANES) return put(value, to);
  T some[LANES];
  put(value, some);
  std::memcpy(to, some, count * sizeof(T));
}
