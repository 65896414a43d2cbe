// The arithmetic of split attention in training, on rows of float32 or bfloat16: the `size` positions of a block of BLOCK
// channels, (size, BLOCK) in memory. What is computed is float32.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "numbers.h"

// A function of a row, made for the blocks that there are.
template <template <typename, int> class Function, typename T>
auto for_block(int64_t block) {
  return block == 16 ? Function<T, 16>::run : block == 8 ? Function<T, 8>::run : Function<T, 1>::run;
}

// y = (added ? y : 0) + factor * x, with a factor for each channel of the block.
template <int BLOCK, typename T, typename Y>
void scale(const T* x, const float* factor, int64_t size, bool added, Y* y) {
  if (BLOCK == 1) {
    const float only = factor[0];
    if (added) {
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) put(real(y[i]) + only * real(x[i]), y + i);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) put(only * real(x[i]), y + i);
    }
    return;
  }
  for (int64_t i = 0; i < size; ++i, x += BLOCK, y += BLOCK) {
#pragma omp simd
    for (int64_t j = 0; j < BLOCK; ++j) put((added ? real(y[j]) : 0) + factor[j] * real(x[j]), y + j);
  }
}

template <typename T, int BLOCK>
struct Scale {
  static void run(const T* x, const float* factor, int64_t size, T* y) { scale<BLOCK>(x, factor, size, false, y); }
};

// y = the sum of factor * x over the splits, which are a step apart; rounded once.
template <typename T, int BLOCK>
struct Weigh {
  static void run(const T* x, int64_t step, const float* factor, int64_t next, int64_t radix, int64_t size, T* y) {
    if constexpr (std::is_same<T, float>::value) {
      for (int64_t r = 0; r < radix; ++r) scale<BLOCK>(x + r * step, factor + r * next, size, r > 0, y);
      return;
    }
    constexpr int64_t LINE = 64;
    float sums[LINE * BLOCK];
    for (int64_t first = 0; first < size; first += LINE, x += LINE * BLOCK, y += LINE * BLOCK) {
      const int64_t count = std::min(LINE, size - first);
      for (int64_t r = 0; r < radix; ++r) scale<BLOCK>(x + r * step, factor + r * next, count, r > 0, sums);
#pragma omp simd
      for (int64_t i = 0; i < count * BLOCK; ++i) put(sums[i], y + i);
    }
  }
};

// The sums over a row of x, or of x * y where y is given, for each channel of the block: added to sum.
template <typename T, int BLOCK>
struct Sum {
  static void run(const T* x, const T* y, int64_t size, float* sum) {
    if (BLOCK == 1) {
      float total = 0;
      if (y) {
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < size; ++i) total += real(x[i]) * real(y[i]);
      } else {
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < size; ++i) total += real(x[i]);
      }
      sum[0] += total;
      return;
    }
    constexpr int LINES = 4;    // sums at once, or each addition would wait for the one before
    float totals[LINES][BLOCK] = {};
    const auto add = [&](int64_t i, float* total) {
#pragma omp simd
      for (int64_t j = 0; j < BLOCK; ++j) total[j] += real(x[i * BLOCK + j]) * (y ? real(y[i * BLOCK + j]) : 1.0f);
    };
    int64_t i = 0;
    for (; i + LINES <= size; i += LINES)
      for (int line = 0; line < LINES; ++line) add(i + line, totals[line]);
    for (; i < size; ++i) add(i, totals[0]);
    for (int j = 0; j < BLOCK; ++j) sum[j] += (totals[0][j] + totals[1][j]) + (totals[2][j] + totals[3][j]);
  }
};

// y = share, with one for each channel of the block.
template <typename T, int BLOCK>
struct Fill {
  static void run(const float* share, int64_t size, T* y) {
    T rounded[BLOCK];
    for (int j = 0; j < BLOCK; ++j) put(share[j], rounded + j);
    for (int64_t i = 0; i < size; ++i, y += BLOCK) std::copy_n(rounded, BLOCK, y);
  }
};
