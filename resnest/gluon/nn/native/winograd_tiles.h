// Tiles of Winograd's F(4 × 4, 3 × 3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308, section 4.3): where they
// lie in maps, and what they are transformed to. A dilated convolution is D × D plain ones, of every Dth row and column.
#pragma once
#include <algorithm>

#include "lanes.h"

constexpr int PANEL = 16;               // channels side by side in transformed kernels

// Numbers side by side in memory, at any address.
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

inline const Lanes& at(const float* values) { return *reinterpret_cast<const Lanes*>(values); }
inline Lanes& at(float* values) { return *reinterpret_cast<Lanes*>(values); }

// One side of the transformation of a tile of inputs, six to six, and of a tile of outputs, six to four; a step apart.
inline void transform_input(const Lanes* d, int step, Lanes* to) {
  const Lanes d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Lanes even = d4 - 4 * d2, odd = d3 - 4 * d1, far = d4 - d2, near = 2 * (d3 - d1);
  to[0] = 4 * d0 - 5 * d2 + d4;
  to[1] = even + odd;
  to[2] = even - odd;
  to[3] = far + near;
  to[4] = far - near;
  to[5] = 4 * d1 - 5 * d3 + d5;
}

inline void transform_output(const Lanes* m, int step, Lanes* to) {
  const Lanes m0 = m[0], m5 = m[5 * step], even = m[step] + m[2 * step], odd = m[step] - m[2 * step],
               far = m[3 * step] + m[4 * step], near = m[3 * step] - m[4 * step];
  to[0] = m0 + even + far;
  to[1] = odd + 2 * near;
  to[2] = even + 4 * far;
  to[3] = odd + 8 * near + m5;
}

// A (images, channels, height * width = size) array whose channels lie side by side by `width`: a block or all of them.
struct Place {
  int64_t channels, size, width;

  int64_t position(int64_t image, int64_t position) const { return image * channels * size + position * width; }
  int64_t channel(int64_t channel) const { return channel / width * width * size + channel % width; }
};

// Where a tile lies: its first output, among every `dilation`th row and column of an image, from `top` and `left` on.
struct Tile {
  int64_t image, top, left, line, column;
};

struct Tiles {
  int64_t images, height, width, dilation;

  int64_t along(int64_t side) const { return ((side + dilation - 1) / dilation + 3) / 4; }
  int64_t count() const { return images * dilation * dilation * along(height) * along(width); }

  Tile find(int64_t tile) const {
    const int64_t down = along(height), across = along(width), phase = tile / across / down % (dilation * dilation);
    return {tile / across / down / (dilation * dilation), phase / dilation, phase % dilation, tile / across % down * 4,
            tile % across * 4};
  }

  // The places of SIDE × SIDE values of a map, from `before` in front of a tile's first output on; null outside.
  template <int SIDE>
  void places(const float* map, const Place& of, int64_t tile, int64_t before, const float** to) const {
    const Tile at_tile = find(tile);
    for (int64_t i = 0; i < SIDE * SIDE; ++i) {
      const int64_t h = (at_tile.line - before + i / SIDE) * dilation + at_tile.top;
      const int64_t w = (at_tile.column - before + i % SIDE) * dilation + at_tile.left;
      const bool inside = h >= 0 && h < height && w >= 0 && w < width;
      to[i] = inside ? map + of.position(at_tile.image, h * width + w) : nullptr;
    }
  }
};

// From `count` channels, from `first` on, of a tile of a map to its 36 values, `step` apart, in panels that lie `panel`
// apart. SIDE is 6 for inputs; transform(values, step, to) is one side of the transformation, SIDE to six.
template <int SIDE, void (*transform)(const Lanes*, int, Lanes*)>
void transform_tile(const float* const* places, const Place& of, int64_t first, int64_t count, float* to, int64_t step,
                    int64_t panel) {
  static const float ZEROS[LANES] = {0};
  for (int64_t channel = 0; channel < count; channel += LANES) {
    const int64_t offset = of.channel(first + channel);
    Lanes d[SIDE * SIDE], half[6 * SIDE], row[6];
    for (int i = 0; i < SIDE * SIDE; ++i) d[i] = at(places[i] ? places[i] + offset : ZEROS);
    for (int j = 0; j < SIDE; ++j) {
      transform(d + j, SIDE, row);
      for (int i = 0; i < 6; ++i) half[i * SIDE + j] = row[i];
    }
    float* made = to + channel / PANEL * panel + channel % PANEL;
    for (int i = 0; i < 6; ++i) {
      transform(half + i * SIDE, 1, row);
      for (int j = 0; j < 6; ++j) at(made + (i * 6 + j) * step) = row[j];
    }
  }
}
