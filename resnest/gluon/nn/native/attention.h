// The arithmetic of split attention in inference, for split_attention_float.cc and split_attention_int8.cc, on arrays
// in the layouts of oneDNN.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "numbers.h"

inline float real(uint8_t value) { return value; }
inline float real(int8_t value) { return value; }

// To the nearest, halves away from zero, and clipped.
template <typename T>
inline std::enable_if_t<std::is_integral<T>::value> put(float value, T* to) {
  const float low = std::is_signed<T>::value ? -128 : 0, high = std::is_signed<T>::value ? 127 : 255;
  value = std::min(std::max(value, low), high);
  *to = static_cast<T>(static_cast<int32_t>(value + (value < 0 ? -0.5f : 0.5f)));
}

// Where the numbers of (images, splits, channels, positions) lie: steps from one to the next of each kind, with `width`
// channels of a split side by side, which are a block.
struct Layout {
  int64_t width, block, position, split, image;

  // block is 0 for channels last, (images, positions, splits, channels), and else divides the channels, and the array
  // is (images, splits, channels / block, positions, block).
  Layout(int64_t block, int64_t radix, int64_t channels, int64_t size)
      : width(block ? block : channels), block(width * size), position(block ? block : radix * channels),
        split(block ? channels * size : channels), image(radix * channels * size) {}
};

// A fully connected layer in groups: weight (outputs, inputs / groups), bias (outputs,).
struct Layer {
  const float *weight, *bias;
  int64_t inputs, outputs, groups;

  // y (images, outputs) from x (images, inputs).
  void operator()(const std::vector<float>& x, std::vector<float>* y, int64_t images, bool relu) const {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < outputs; ++row) {
      const int64_t width = inputs / groups;
      const float* factor = weight + row * width;
      for (int64_t image = 0; image < images; ++image) {
        const float* value = x.data() + image * inputs + row / (outputs / groups) * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < width; ++i) sum += factor[i] * value[i];
        sum += bias[row];
        (*y)[image * outputs + row] = relu ? std::max(sum, 0.0f) : sum;
      }
    }
  }
};

// The sums of `count` channels, at most BLOCK, over a line of positions. WIDTH is the count, or 0 for any.
constexpr int64_t BLOCK = 64;   // channels that stay in registers

template <typename T, int WIDTH>
void sum_line(const T* x, int64_t step, int64_t positions, int64_t count, float* sum) {
  std::conditional_t<std::is_integral<T>::value, int32_t, float> total[WIDTH ? WIDTH : BLOCK] = {0};
  const int64_t width = WIDTH ? WIDTH : count;
  for (const T* end = x + positions * step; x != end; x += step) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      if constexpr (std::is_integral<T>::value) total[i] += x[i];
      else total[i] += real(x[i]);
    }
  }
  for (int64_t i = 0; i < width; ++i) sum[i] += total[i];
}

// The weighted sums of the splits at a line of positions: put, or added to what is there, which is float. RADIX and
// WIDTH are the radix and the channels, or 0 for any.
template <typename T, typename Y, int RADIX, int WIDTH>
void weigh_line(const T* x, const Layout& from, const float* weight, int64_t channels, int64_t radix, Y* y,
                int64_t step, int64_t positions, bool added) {
  const int64_t width = WIDTH ? WIDTH : from.width, splits = RADIX ? RADIX : radix;
  const int64_t split = from.split, next = from.position;
  for (int64_t position = 0; position < positions; ++position, x += next, y += step) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) {
      float sum = 0;
      for (int64_t r = 0; r < splits; ++r) sum += weight[r * channels + i] * real(x[r * split + i]);
      if constexpr (std::is_same<Y, float>::value) sum += added ? y[i] : 0;
      put(sum, y + i);
    }
  }
}

template <typename T, typename Y>
auto line_weigher(int64_t radix, int64_t width) {
  return radix == 2 && width == 16  ? weigh_line<T, Y, 2, 16>
         : radix == 2 && width == 8 ? weigh_line<T, Y, 2, 8>
         : radix == 1               ? weigh_line<T, Y, 1, 0>
         : radix == 2               ? weigh_line<T, Y, 2, 0>
         : radix == 4               ? weigh_line<T, Y, 4, 0>
                                    : weigh_line<T, Y, 0, 0>;
}

constexpr int64_t CACHE = 1 << 20;

// x (images, radix, channels, height, width) in, (images, channels, height, width) out, in the layouts of `block`; or
// pooled: means of 3 × 3 positions, zeros around the map, with the stride `pooling`, which is 0 for none.
struct Attention {
  int64_t images, radix, channels, height, width, groups, block, pooling;

  int64_t shrunk(int64_t side) const { return pooling ? (side - 1) / pooling + 1 : side; }
  Layout from() const { return Layout(block, radix, channels, height * width); }
  Layout to() const { return Layout(block, 1, channels, shrunk(height) * shrunk(width)); }

  // Sums over positions and splits, times scale (radix, channels) and factor: (images, channels).
  template <typename T>
  void pool(const T* x, const std::vector<float>& scale, std::vector<float>* pooled, float factor) const {
    const Layout from = this->from();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t image = 0; image < images; ++image) {
      for (int64_t part = 0; part < channels; part += std::min(BLOCK, from.width)) {
        const int64_t count = std::min({BLOCK, from.width, channels - part});
        const auto sum_up = count == BLOCK ? sum_line<T, BLOCK> : count == 16 ? sum_line<T, 16> : sum_line<T, 0>;
        float sum[BLOCK] = {0};
        for (int64_t r = 0; r < radix; ++r) {
          float total[BLOCK] = {0};
          const T* value = x + image * from.image + r * from.split + part / from.width * from.block +
                           part % from.width;
          for (int64_t line = 0; line < height; ++line, value += width * from.position)
            sum_up(value, from.position, width, count, total);
          for (int64_t i = 0; i < count; ++i) sum[i] += total[i] * scale[r * channels + part + i];
        }
        for (int64_t i = 0; i < count; ++i) (*pooled)[image * channels + part + i] = sum[i] * factor;
      }
    }
  }

  // From the logits (images, groups, radix, channels / groups) the weights (images, radix, channels), times scale
  // (radix, channels) and factor.
  void weigh(const std::vector<float>& logits, const std::vector<float>& scale, std::vector<float>* weights,
             float factor) const {
    const int64_t part = channels / groups;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < images * channels; ++row) {
      const int64_t image = row / channels * radix * channels, channel = row % channels;
      const float* logit = logits.data() + image + channel / part * radix * part + channel % part;
      float* weight = weights->data() + image + channel;
      float highest = radix > 1 ? logit[0] : 0;     // radix 1: the sigmoid is a softmax against 0
      for (int64_t r = 0; r < radix; ++r) highest = std::max(highest, logit[r * part]);
      float total = radix > 1 ? 0 : std::exp(-highest);
      for (int64_t r = 0; r < radix; ++r) total += weight[r * channels] = std::exp(logit[r * part] - highest);
      for (int64_t r = 0; r < radix; ++r) weight[r * channels] *= scale[r * channels + channel] * factor / total;
    }
  }

  template <typename T>
  void add(const T* x, const std::vector<float>& weights, T* y) const {
    const Layout from = this->from(), to = this->to();
    const auto weigh_to = line_weigher<T, T>(radix, from.width);
    const auto weigh_floats = line_weigher<T, float>(radix, from.width);
    const int64_t blocks = channels / from.width, lines = shrunk(height), columns = shrunk(width);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < images * blocks * lines; ++row) {
      const int64_t line = row % lines, block = row / lines % blocks, image = row / lines / blocks;
      const float* weight = weights.data() + image * radix * channels + block * from.width;
      const T* map = x + image * from.image + block * from.block;
      T* made = y + image * to.image + block * to.block + line * columns * to.position;
      if (!pooling) {
        weigh_to(map + line * width * from.position, from, weight, channels, radix, made, to.position, width, false);
        continue;
      }
      std::vector<float> sums((width + 2) * from.width, 0.0f);      // of three lines, with a zero at both ends
      for (int64_t each = std::max<int64_t>(0, line * pooling - 1); each < std::min(height, line * pooling + 2); ++each)
        weigh_floats(map + each * width * from.position, from, weight, channels, radix, sums.data() + from.width,
                     from.width, width, true);
      const int64_t step = from.width;
      for (int64_t column = 0; column < columns; ++column, made += to.position) {
        const float* sum = sums.data() + column * pooling * step;
#pragma omp simd
        for (int64_t i = 0; i < step; ++i) put((sum[i] + sum[i + step] + sum[i + 2 * step]) * (1.0f / 9), made + i);
      }
    }
  }

  // All of it. The sums of x are times factor, the weights times gain.
  template <typename T>
  void operator()(const T* x, T* y, const Layer& fc1, const Layer& fc2, const std::vector<float>& scale, float factor,
                  float gain) const {
    const int64_t bytes = radix * channels * height * width * sizeof(T);
    Attention part = *this;     // some images at a time, which are still in the cache when they are read again
    for (int64_t first = 0; first < images; first += part.images) {
      part.images = std::min(images - first, std::max<int64_t>(1, CACHE / bytes));
      std::vector<float> pooled(part.images * channels), hidden(part.images * fc1.outputs),
          logits(part.images * fc2.outputs), weights(logits.size());
      const T* values = x + first * from().image;
      part.pool(values, scale, &pooled, factor / (height * width));
      fc1(pooled, &hidden, part.images, true);
      fc2(hidden, &logits, part.images, false);
      part.weigh(logits, scale, &weights, gain);
      part.add(values, weights, y + first * to().image);
    }
  }
};
