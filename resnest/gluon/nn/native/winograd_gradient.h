// The gradient of Winograd's convolution with respect to its kernels: G' [sum over tiles of (B' x B) (A dy A')] G, point
// by point, and so 36 products of matrices (C / G, tiles) and (tiles, K / G) for each group.
#pragma once
#include "winograd_weights.h"

constexpr int HIGH = LANES / 2;     // rows of a block of sums, two panels wide

// Add the product of a (depth, HIGH of 16) panel, turned, and WIDE panels (depth, 16) to sums (WIDE, inner, 16). It is
// summed apart, so that each of its values is rounded as finely as its own sum, not as that of all tiles before it.
template <int WIDE>
void add_product(const float* left, const float* right, int64_t depth, int64_t inner, float* sums) {
  constexpr int VECTORS = WIDE * PANEL / LANES, EACH = PANEL / LANES;
  Lanes sum[HIGH][VECTORS] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Lanes factor[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) factor[v] = at(right + (v / EACH * depth + k) * PANEL + v % EACH * LANES);
#pragma GCC unroll 8
    for (int row = 0; row < HIGH; ++row) {
      const float value = left[k * PANEL + row];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sum[row][v] += value * factor[v];
    }
  }
  for (int row = 0; row < HIGH; ++row)
    for (int v = 0; v < VECTORS; ++v) at(sums + (v / EACH * inner + row) * PANEL + v % EACH * LANES) += sum[row][v];
}

struct WeightGradient {
  Tiles tiles;
  Kernels kernels;
  Place in, out;      // of x and of dy

  // Tiles at a time, whatever the number of threads: each sum is added up in one order.
  int64_t together() const {
    return std::min<int64_t>(kernels.inner * kernels.filters > 1 << 14 ? 192 : 48, tiles.count());
  }

  void operator()(const float* x, const float* d_y, float* d_weight) const {
    const int64_t inner = kernels.inner, filters = kernels.filters, step = together();
    // From one of the 36 matrices to the next; a line more, for not all of them in the same few places of the cache.
    const int64_t from = step * inner + PANEL, to = step * filters + PANEL, all = kernels.groups * inner * filters;
    float *left = memory_of<PRODUCTS>(36 * (from + to + all)), *right = left + 36 * from, *sums = right + 36 * to;
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < 36 * all; ++i) sums[i] = 0;
      for (int64_t group = 0; group < kernels.groups; ++group) {
        for (int64_t first = 0, count; first < tiles.count(); first += count) {
          count = std::min(step, tiles.count() - first);
#pragma omp for schedule(static)
          for (int64_t tile = 0; tile < count; ++tile) {
            const float* places[36];
            tiles.places<6>(x, in, first + tile, 1, places);
            transform_tile<6, transform_input>(places, in, group * inner, inner, left + tile * PANEL, from,
                                               count * PANEL);
            tiles.places<4>(d_y, out, first + tile, 0, places);
            transform_tile<4, transform_gradient>(places, out, group * filters, filters, right + tile * PANEL, to,
                                                  count * PANEL);
          }
#pragma omp for schedule(static)
          for (int64_t point = 0; point < 36; ++point) {
            for (int64_t filter = 0; filter < filters; filter += 2 * PANEL) {
              const auto product = filter + PANEL < filters ? add_product<2> : add_product<1>;
              float* of = sums + point * all + (group * filters + filter) * inner;
              for (int64_t i = 0; i < inner; i += HIGH)
                product(left + point * from + i / PANEL * count * PANEL + i % PANEL,
                        right + point * to + filter * count, count, inner, of + i * PANEL);
            }
          }
        }
      }
    }
    kernels.gradient(sums, d_weight);
  }
};
