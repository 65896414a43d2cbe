// The colours of pixels by a 3 x 4 matrix, bit for bit as Pillow's image.convert("RGB", matrix) has them, whose branches on
// each value take seven times as long. No operator of mxnet: Python calls it by ctypes, without its lock.
//
// Sums are rounded after each product and each addition, as by the compilers of Pillow's wheels: hence no fused ones.
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif
#include <algorithm>
#include <cstdint>

// From `count` pixels, red, green and blue side by side, to as many in `to`.
extern "C" void colour_matrix(const uint8_t* from, int64_t count, const float* matrix, uint8_t* to) {
  constexpr int64_t SOME = 256;     // colour by colour, in the first cache
  float colours[3][SOME];
  uint8_t found[3][SOME];
  for (int64_t first = 0; first < count; first += SOME, from += 3 * SOME, to += 3 * SOME) {
    const int64_t size = std::min(SOME, count - first);
    for (int64_t i = 0; i < size; ++i)
      for (int j = 0; j < 3; ++j) colours[j][i] = from[3 * i + j];
    for (int j = 0; j < 3; ++j) {
      const float *row = matrix + 4 * j, red = row[0], green = row[1], blue = row[2], offset = row[3];
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) {
        const float sum = red * colours[0][i] + green * colours[1][i] + blue * colours[2][i] + offset + 0.5f;
        found[j][i] = static_cast<uint8_t>(static_cast<int>(std::min(std::max(sum, 0.0f), 255.0f)));
      }
    }
    for (int64_t i = 0; i < size; ++i)
      for (int j = 0; j < 3; ++j) to[3 * i + j] = found[j][i];
  }
}
