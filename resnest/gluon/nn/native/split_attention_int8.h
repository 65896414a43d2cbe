// The arithmetic of split_attention_int8.cc, on arrays in the layout (images, positions, splits, channels).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

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

// The weighted sum of the splits at one position, rounded and clipped; RADIX is the radix, or 0 for any. (A function:
// to the compiler y, of bytes, could alias whatever is not local.)
template <typename T, int RADIX>
void add_row(const T* x, const float* weight, T* y, int64_t radix, int64_t channels) {
  const float low = std::is_signed<T>::value ? -128 : 0, high = std::is_signed<T>::value ? 127 : 255;
#pragma omp simd
  for (int64_t i = 0; i < channels; ++i) {
    float sum = 0;
    for (int64_t r = 0; r < (RADIX ? RADIX : radix); ++r) sum += weight[r * channels + i] * x[r * channels + i];
    sum = std::min(std::max(sum, low), high);
    y[i] = static_cast<T>(static_cast<int32_t>(sum + (sum < 0 ? -0.5f : 0.5f)));
  }
}

// x (images, size, radix, channels) in, (images, size, channels) out.
struct Attention {
  int64_t images, size, radix, channels, groups;

  // Sums over positions and splits, times scale (radix, channels) and factor: (images, channels).
  template <typename T>
  void pool(const T* x, const std::vector<float>& scale, std::vector<float>* pooled, float factor) const {
    constexpr int64_t BLOCK = 64;   // channels that stay in registers
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t image = 0; image < images; ++image) {
      for (int64_t first = 0; first < channels; first += BLOCK) {
        const int64_t width = std::min(BLOCK, channels - first), step = radix * channels;
        float sum[BLOCK] = {0};
        for (int64_t r = 0; r < radix; ++r) {
          int32_t total[BLOCK] = {0};
          const T* value = x + image * size * step + r * channels + first;
          for (const T* end = value + size * step; value != end; value += step) {
            if (width == BLOCK) {
#pragma omp simd
              for (int64_t i = 0; i < BLOCK; ++i) total[i] += value[i];
            } else {
              for (int64_t i = 0; i < width; ++i) total[i] += value[i];
            }
          }
          for (int64_t i = 0; i < width; ++i) sum[i] += total[i] * scale[r * channels + first + i];
        }
        for (int64_t i = 0; i < width; ++i) (*pooled)[image * channels + first + i] = sum[i] * factor;
      }
    }
  }

  // From the logits (images, groups, radix, channels / groups) the weights (images, radix, channels), times scale
  // (radix, channels) and factor.
  void weigh(const std::vector<float>& logits, const std::vector<float>& scale, std::vector<float>* weights,
             float factor) const {
    const int64_t width = channels / groups;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < images * channels; ++row) {
      const int64_t image = row / channels * radix * channels, channel = row % channels;
      const float* logit = logits.data() + image + channel / width * radix * width + channel % width;
      float* weight = weights->data() + image + channel;
      float highest = radix > 1 ? logit[0] : 0;     // radix 1: the sigmoid is a softmax against 0
      for (int64_t r = 0; r < radix; ++r) highest = std::max(highest, logit[r * width]);
      float total = radix > 1 ? 0 : std::exp(-highest);
      for (int64_t r = 0; r < radix; ++r) total += weight[r * channels] = std::exp(logit[r * width] - highest);
      for (int64_t r = 0; r < radix; ++r) weight[r * channels] *= scale[r * channels + channel] * factor / total;
    }
  }

  template <typename T>
  void add(const T* x, const std::vector<float>& weights, T* y) const {
    const auto sum = radix == 1   ? add_row<T, 1>
                     : radix == 2 ? add_row<T, 2>
                     : radix == 4 ? add_row<T, 4>
                                  : add_row<T, 0>;
    const int64_t step = radix * channels;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < images * size; ++row)
      sum(x + row * step, weights.data() + row / size * step, y + row * channels, radix, channels);
  }
};
