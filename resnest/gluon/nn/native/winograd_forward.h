// Winograd's convolution of maps and transformed kernels (36, K / 16, C / G, 16), 16 output channels side by side, whose
// values are summed in an order that does not depend on the number of threads.
#pragma once
#include <omp.h>

#include <memory>

#include "winograd_tiles.h"

constexpr int PANELS = LANES == 16 ? 4 : 1;     // what fills the registers
constexpr int ROWS = 6;                         // tiles at once

// Memory for `count` numbers, in huge pages, which this thread keeps for its next call: the system fills new pages with
// zeros, which took a tenth of a step. PLACE tells apart what is in use at the same time.
template <int PLACE>
float* memory_of(int64_t count) {
  thread_local std::unique_ptr<float, decltype(&std::free)> kept(nullptr, std::free);
  thread_local int64_t size = 0;
  if (size < count) {
    const size_t page = 1 << 21, bytes = (count * sizeof(float) + page - 1) / page * page;
    kept.reset();
    size = 0;
    kept.reset(static_cast<float*>(std::aligned_alloc(page, bytes)));
    CHECK(kept) << "winograd: no memory";
    in_huge_pages(kept.get(), bytes);
    size = count;
  }
  return kept.get();
}

constexpr int PRODUCTS = 0, KERNELS = 1;        // places

// The product of (rows, inner) and (inner, WIDE panels of 16): (rows, 16 * WIDE).
template <int COUNT, int WIDE>
void multiply(const float* left, const float* right, int64_t inner, float* to, int64_t step) {
  constexpr int VECTORS = WIDE * PANEL / LANES, EACH = PANEL / LANES;
  Lanes sum[COUNT][VECTORS] = {};
  for (int64_t i = 0; i < inner; ++i) {
    Lanes factor[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) factor[v] = at(right + (v / EACH * inner + i) * PANEL + v % EACH * LANES);
#pragma GCC unroll 6
    for (int row = 0; row < COUNT; ++row) {
      const float value = left[row * inner + i];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sum[row][v] += value * factor[v];
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < COUNT; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) at(to + row * step + v * LANES) = sum[row][v];
  }
}

template <int WIDE>
void multiply_rows(const float* left, const float* right, int64_t inner, float* to, int64_t step, int64_t rows) {
  int64_t row = 0;
  for (; row + ROWS <= rows; row += ROWS) multiply<ROWS, WIDE>(left + row * inner, right, inner, to + row * step, step);
  const auto rest = rows - row == 1   ? multiply<1, WIDE>
                    : rows - row == 2 ? multiply<2, WIDE>
                    : rows - row == 3 ? multiply<3, WIDE>
                    : rows - row == 4 ? multiply<4, WIDE>
                                      : multiply<5, WIDE>;
  if (row < rows) rest(left + row * inner, right, inner, to + row * step, step);
}

struct Convolution {
  Tiles tiles;
  int64_t groups;
  Place in, out;
  bool relu;

  int64_t inner() const { return in.channels / groups; }
  int64_t outer() const { return out.channels / groups; }
  // Tiles at a time: few, so that what is between stays in the cache, or many where the weights are what does not; and
  // no more than leave work for every thread.
  int64_t together() const {
    const int64_t most = inner() * outer() > 1 << 16 ? 96 : 12, threads = omp_get_max_threads();
    const int64_t each = std::max<int64_t>(1, std::min(most, (tiles.count() * groups + threads - 1) / threads));
    return (each + ROWS - 1) / ROWS * ROWS;
  }

  // bias and ReLU may be left out: null, false.
  void operator()(const float* x, const float* weight, const float* bias, float* y) const {
    const int64_t step = together(), blocks = (tiles.count() + step - 1) / step;
    // From one of the 36 matrices to the next; a line more, for not all of them in the same few places of the cache.
    const int64_t from = step * inner() + PANEL, to = step * outer() + PANEL;
#pragma omp parallel
    {
      float *left = memory_of<PRODUCTS>(36 * (from + to)), *made = left + 36 * from;
#pragma omp for schedule(static)
      for (int64_t part = 0; part < groups * blocks; ++part) {
        const int64_t group = part / blocks, first = part % blocks * step, rows = std::min(step, tiles.count() - first);
        for (int64_t row = 0; row < rows; ++row) {
          const float* places[36];
          tiles.places<6>(x, in, first + row, 1, places);
          transform_tile<6, transform_input>(places, in, group * inner(), inner(), left + row * inner(), from, PANEL);
        }
        for (int64_t each = 0; each < 36; ++each) {
          const float* factors = weight + (each * groups + group) * outer() * inner();
          for (int64_t filter = 0, wide; filter < outer(); filter += wide * PANEL) {
            wide = std::min<int64_t>((outer() - filter) / PANEL, PANELS);
            wide = wide == 3 ? 2 : wide;
            const auto product = wide == 4 ? multiply_rows<4> : wide == 2 ? multiply_rows<2> : multiply_rows<1>;
            product(left + each * from, factors + filter * inner(), inner(), made + each * to + filter, outer(), rows);
          }
        }
        for (int64_t row = 0; row < rows; ++row)
          write(made + row * outer(), to, first + row, group * outer(), bias ? bias + group * outer() : nullptr, y);
      }
    }
  }

  void write(const float* from, int64_t step, int64_t tile, int64_t first, const float* bias, float* y) const {
    const Tile at_tile = tiles.find(tile);
    for (int64_t filter = 0; filter < outer(); filter += LANES) {
      Lanes m[36], half[24], made[4];
      const Lanes shift = bias ? at(bias + filter) : Lanes{};
      for (int i = 0; i < 36; ++i) m[i] = at(from + i * step + filter);
      for (int j = 0; j < 6; ++j) {
        transform_output(m + j, 6, made);
        for (int i = 0; i < 4; ++i) half[i * 6 + j] = made[i];
      }
      float* to = y + out.channel(first + filter);
      for (int i = 0; i < 4; ++i) {
        const int64_t h = (at_tile.line + i) * tiles.dilation + at_tile.top;
        if (h >= tiles.height) break;
        transform_output(half + i * 6, 1, made);
        for (int j = 0; j < 4; ++j) {
          const int64_t w = (at_tile.column + j) * tiles.dilation + at_tile.left;
          if (w >= tiles.width) break;
          const Lanes sum = made[j] + shift;
          at(to + out.position(at_tile.image, h * tiles.width + w)) = relu ? (sum > 0 ? sum : Lanes{}) : sum;
        }
      }
    }
  }
};
