// Products of float32 matrices on one thread, as fast as the CPU multiplies: for operators that spread the blocks of a
// product over the threads themselves, so that each value is summed in one order, whatever the number of threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "lanes.h"

constexpr int ROWS = LANES == 16 ? 12 : 6;      // 24 of 32 registers hold sums, or 12 of 16
constexpr int PANEL = 2 * LANES;
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4)));

// The left matrix (rows, depth): value (i, k) lies at i * row_step + k * depth_step.
struct Left {
  const float* values;
  int64_t row_step, depth_step;
};

// The right matrix (depth, columns), packed: for every PANEL columns a (depth, PANEL) matrix, the last filled with zeros.
struct Packed {
  int64_t depth, columns;
  std::vector<float> values;

  Packed(int64_t depth, int64_t columns) : depth(depth), columns(columns), values(panels() * depth * PANEL) {}

  int64_t panels() const { return (columns + PANEL - 1) / PANEL; }
  float* panel(int64_t index) { return values.data() + index * depth * PANEL; }
  const float* panel(int64_t index) const { return values.data() + index * depth * PANEL; }

  // Fill one panel with value(k, column).
  template <typename Value>
  void fill(int64_t index, Value value) {
    const int64_t first = index * PANEL, count = std::min<int64_t>(PANEL, columns - first);
    float* to = panel(index);
    for (int64_t k = 0; k < depth; ++k, to += PANEL)
      for (int64_t j = 0; j < count; ++j) to[j] = value(k, first + j);
  }
};

template <int COUNT>
inline void block_product(const Left& left, const float* panel, int64_t depth, float* tile) {
  Lanes sums[COUNT][2] = {};
  const float* value = left.values;
  for (int64_t k = 0; k < depth; ++k, value += left.depth_step, panel += PANEL) {
    const Lanes first = *reinterpret_cast<const Lanes*>(panel), second = *reinterpret_cast<const Lanes*>(panel + LANES);
#pragma GCC unroll 12
    for (int i = 0; i < COUNT; ++i) {
      const float factor = value[i * left.row_step];
      sums[i][0] += factor * first;
      sums[i][1] += factor * second;
    }
  }
  std::memcpy(tile, sums, sizeof(sums));
}

// The product of the left matrix and one panel of the right one, over its first ``depth`` rows: calls
// store(row, first column, sums, columns) for each row.
template <typename Store>
void panel_product(Left left, int64_t rows, const Packed& right, int64_t panel, int64_t depth, Store store) {
  float tile[ROWS * PANEL];
  const int64_t first = panel * PANEL, columns = std::min<int64_t>(PANEL, right.columns - first);
  for (int64_t row = 0, done; row < rows; row += done, left.values += done * left.row_step) {
    done = rows - row < ROWS ? 1 : ROWS;
    if (done == 1) block_product<1>(left, right.panel(panel), depth, tile);
    else block_product<ROWS>(left, right.panel(panel), depth, tile);
    for (int64_t i = 0; i < done; ++i) store(row + i, first, tile + i * PANEL, columns);
  }
}
