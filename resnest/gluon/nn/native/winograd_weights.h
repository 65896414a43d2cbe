// What Winograd's convolution makes of plain kernels (K, C / G, 3, 3), and the gradient of such kernels.
#pragma once
#include "winograd_forward.h"

// From a step of the kernel to six, G of the points 0, 1, -1, 2, -2 and infinity; and its transpose.
inline void transform_kernel(const Lanes* g, int step, Lanes* to) {
  const Lanes g0 = g[0], g1 = g[step], g2 = g[2 * step];
  const Lanes even = (g0 + g2) / -6, far = g0 / 24 + g2 / 6;
  to[0] = g0 / 4;
  to[1] = even - g1 / 6;
  to[2] = even + g1 / 6;
  to[3] = far + g1 / 12;
  to[4] = far - g1 / 12;
  to[5] = g2;
}

inline void transform_kernel_back(const Lanes* s, int step, Lanes* to) {
  const Lanes near = s[step] + s[2 * step], far = s[3 * step] + s[4 * step];
  to[0] = s[0] / 4 - near / 6 + far / 24;
  to[1] = (s[2 * step] - s[step]) / 6 + (s[3 * step] - s[4 * step]) / 12;
  to[2] = (far - near) / 6 + s[5 * step];
}

// One side of the transposed transformation of a tile of outputs, four to six.
inline void transform_gradient(const Lanes* y, int step, Lanes* to) {
  const Lanes y0 = y[0], y1 = y[step], y2 = y[2 * step], y3 = y[3 * step];
  const Lanes even = y0 + y2, odd = y1 + y3, far = y0 + 4 * y2, near = 2 * y1 + 8 * y3;
  to[0] = y0;
  to[1] = even + odd;
  to[2] = even - odd;
  to[3] = far + near;
  to[4] = far - near;
  to[5] = y3;
}

// Kernels (K, C / G, 3, 3), `filters` and `inner` in each group.
struct Kernels {
  int64_t groups, filters, inner;

  // To (36, K / 16, C / G, 16).
  void transform(const float* weight, float* to) const {
    turn(weight, to, filters, inner, inner * 9, 9, 0);
  }

  // To (36, C / 16, K / G, 16), of the kernels for the gradient of the data: turned round, inputs for outputs.
  void transform_turned(const float* weight, float* to) const {
    turn(weight, to, inner, filters, 9, inner * 9, 8);
  }

  // Back from sums (36, K / 16, C / G, 16).
  void gradient(const float* sums, float* to) const {
    const int64_t step = groups * filters * inner;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < groups * filters / PANEL; ++panel) {
      for (int64_t i = 0; i < inner; ++i) {
        for (int lane = 0; lane < PANEL; lane += LANES) {
          Lanes s[36], half[18], made[3];
          for (int point = 0; point < 36; ++point) s[point] = at(sums + point * step + (panel * inner + i) * PANEL + lane);
          for (int j = 0; j < 6; ++j) {
            transform_kernel_back(s + j, 6, made);
            for (int k = 0; k < 3; ++k) half[k * 6 + j] = made[k];
          }
          for (int k = 0; k < 3; ++k) {
            transform_kernel_back(half + k * 6, 1, made);
            for (int j = 0; j < 3; ++j)
              for (int l = 0; l < LANES; ++l) to[((panel * PANEL + lane + l) * inner + i) * 9 + k * 3 + j] = made[j][l];
          }
        }
      }
    }
  }

 private:
  // `outputs` of each group, `apart` in memory, lie side by side; its `inputs` are `next` to each other; value i is at
  // i ^ 8 of nine where they are turned round, which `last` says.
  void turn(const float* weight, float* to, int64_t outputs, int64_t inputs, int64_t apart, int64_t next,
            int64_t last) const {
    const int64_t panels = outputs / PANEL, step = groups * outputs * inputs;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < groups * panels; ++panel) {
      const float* from = weight + panel / panels * filters * inner * 9 + panel % panels * PANEL * apart;
      for (int64_t i = 0; i < inputs; ++i) {
        for (int lane = 0; lane < PANEL; lane += LANES) {
          Lanes g[9], half[18], row[6];
          for (int k = 0; k < 9; ++k)
            for (int l = 0; l < LANES; ++l) g[k][l] = from[(lane + l) * apart + i * next + (last ? 8 - k : k)];
          for (int j = 0; j < 3; ++j) {
            transform_kernel(g + j, 3, row);
            for (int k = 0; k < 6; ++k) half[k * 3 + j] = row[k];
          }
          for (int k = 0; k < 6; ++k) {
            transform_kernel(half + k * 3, 1, row);
            for (int j = 0; j < 6; ++j) at(to + (k * 6 + j) * step + (panel * inputs + i) * PANEL + lane) = row[j];
          }
        }
      }
    }
  }
};
