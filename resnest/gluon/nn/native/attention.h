// The arithmetic of split attention in inference, for split_attention_float.cc and split_attention_int8.cc, on arrays
// in the layouts of oneDNN.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "lanes.h"

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

constexpr int64_t CACHE = 1 << 19;      // bytes that stay in the cache of a core
constexpr int64_t WORK = 1 << 18;       // products that are worth several threads
constexpr int64_t BLOCK = 2048, LEAST = 64;     // channels that a thread sums up
constexpr int64_t STRIP = 512;          // positions that are summed by themselves: more exact, and within 32 bits

// The scalar product of two vectors.
inline float product(const float* x, const float* y, int64_t count) {
  constexpr int AT_ONCE = 4;      // sums, or each addition would wait for the one before
  Vector<float> sums[AT_ONCE] = {};
  int64_t i = 0;
  for (; i + AT_ONCE * LANES <= count; i += AT_ONCE * LANES)
    for (int each = 0; each < AT_ONCE; ++each) sums[each] += load(x + i + each * LANES) * load(y + i + each * LANES);
  for (; i < count; i += LANES) sums[0] += load<false>(x + i, count - i) * load<false>(y + i, count - i);
  float lanes[LANES], total = 0;
  put((sums[0] + sums[1]) + (sums[2] + sums[3]), lanes);
#pragma omp simd reduction(+ : total)
  for (int lane = 0; lane < LANES; ++lane) total += lanes[lane];
  return total;
}

// A fully connected layer in groups: weight (outputs, inputs / groups), bias (outputs,).
struct Layer {
  const float *weight, *bias;
  int64_t inputs, outputs, groups;

  // y (images, outputs) from x (images, inputs).
  void operator()(const std::vector<float>& x, std::vector<float>* y, int64_t images, bool relu) const {
    const int64_t width = inputs / groups;
#pragma omp parallel for schedule(static) if (!omp_in_parallel() && images * outputs * width >= WORK)
    for (int64_t row = 0; row < outputs; ++row) {
      const float* value = x.data() + row / (outputs / groups) * width;
      for (int64_t image = 0; image < images; ++image) {
        const float sum = product(weight + row * width, value + image * inputs, width) + bias[row];
        (*y)[image * outputs + row] = relu ? std::max(sum, 0.0f) : sum;
      }
    }
  }
};

// The sums of `count` channels, at most BLOCK, over positions that are a step apart, are added to sum, read in
// the order of memory. WHOLE: count is a multiple of LANES.
template <typename T, bool WHOLE>
void sum_positions(const T* x, int64_t step, int64_t positions, int64_t count, float* sum) {
  constexpr int AT_ONCE = 4;
  Vector<Sum<T>> totals[BLOCK / LANES];
  for (int64_t rest = 0; positions > 0; positions -= rest) {
    rest = std::min(positions, STRIP);
    std::fill_n(totals, (count + LANES - 1) / LANES, Vector<Sum<T>>{});
    int64_t done = 0;
    for (; done + AT_ONCE <= rest; done += AT_ONCE, x += AT_ONCE * step) {
      for (int64_t lane = 0; lane < count; lane += LANES) {
        const auto at = [&](int64_t i) { return load<WHOLE>(x + i * step + lane, count - lane); };
        totals[lane / LANES] += (at(0) + at(1)) + (at(2) + at(3));
      }
    }
    for (; done < rest; ++done, x += step)
      for (int64_t lane = 0; lane < count; lane += LANES) totals[lane / LANES] += load<WHOLE>(x + lane, count - lane);
    for (int64_t lane = 0; lane < count; lane += LANES)
      put<WHOLE>(load<WHOLE>(sum + lane, count - lane) + real(totals[lane / LANES]), sum + lane, count - lane);
  }
}

// The weighted sums of the splits at a line of positions, over some lines. WHOLE: the width is a multiple of LANES.
template <bool WHOLE, typename T, typename Y>
void weigh_lines(const T* x, const Layout& from, int64_t lines, int64_t line_step, const float* weight,
                 int64_t channels, int64_t radix, Y* y, int64_t step, int64_t positions) {
  constexpr int AHEAD = 6;      // positions; the CPU foresees one line by itself, and three badly
  for (int64_t position = 0; position < positions; ++position, x += from.position, y += step) {
    for (int64_t lane = 0; lane < from.width; lane += LANES) {
      const int64_t count = from.width - lane;
      Vector<float> sum = {};
      for (int64_t r = 0; r < radix; ++r) {
        const T* value = x + r * from.split + lane;
        auto total = load<WHOLE>(value, count);
        for (int64_t line = 1; line < lines; ++line) {
          total += load<WHOLE>(value + line * line_step, count);
          __builtin_prefetch(value + line * line_step + AHEAD * from.position);
        }
        sum += load<WHOLE>(weight + r * channels + lane, count) * real(total);
      }
      put<WHOLE>(sum, y + lane, count);
    }
  }
}

// x (images, radix, channels, height, width) in, (images, channels, height, width) out, in the layouts of `block`; or
// pooled: means of 3 × 3 positions, zeros around the map, with the stride `pooling`, which is 0 for none.
struct Attention {
  int64_t images, radix, channels, height, width, groups, block, pooling;
  bool spread = false;      // each image over several threads

  int64_t shrunk(int64_t side) const { return pooling ? (side - 1) / pooling + 1 : side; }
  Layout from() const { return Layout(block, radix, channels, height * width); }
  Layout to() const { return Layout(block, 1, channels, shrunk(height) * shrunk(width)); }

  // Sums over positions and splits, times scale (radix, channels) and factor: (images, channels).
  template <typename T>
  void pool(const T* x, const std::vector<float>& scale, std::vector<float>* pooled, float factor) const {
    const Layout from = this->from();
    const int64_t all = radix * channels, across = block ? block : all, part = std::min(spread ? LEAST : BLOCK, across);
    const int64_t parts = (all + part - 1) / part;
    const auto sum_up = all % LANES || part % LANES ? sum_positions<T, false> : sum_positions<T, true>;
    std::vector<float> sums(images * all);
#pragma omp parallel for schedule(static) if (spread)
    for (int64_t row = 0; row < images * parts; ++row) {
      const int64_t image = row / parts, first = row % parts * part;
      sum_up(x + image * from.image + first / across * from.block + first % across, from.position, height * width,
             std::min(part, all - first), sums.data() + image * all + first);
    }
    for (int64_t image = 0; image < images; ++image) {
      const float* sum = sums.data() + image * all;
      for (int64_t channel = 0; channel < channels; ++channel) {
        float total = 0;
        for (int64_t i = channel; i < all; i += channels) total += sum[i] * scale[i];
        (*pooled)[image * channels + channel] = total * factor;
      }
    }
  }

  // From the logits (images, groups, radix, channels / groups) the weights (images, radix, channels), times scale
  // (radix, channels) and factor.
  void weigh(const std::vector<float>& logits, const std::vector<float>& scale, std::vector<float>* weights,
             float factor) const {
    const int64_t part = channels / groups;
    for (int64_t row = 0; row < images * groups; ++row) {
      const int64_t image = row / groups * radix * channels, first = row % groups * part;
      for (int64_t channel = first; channel < first + part; ++channel) {
        const float* logit = logits.data() + image + first * radix + channel - first;
        float* weight = weights->data() + image + channel;
        float highest = radix > 1 ? logit[0] : 0;     // radix 1: the sigmoid is a softmax against 0
        for (int64_t r = 0; r < radix; ++r) highest = std::max(highest, logit[r * part]);
        float total = radix > 1 ? 0 : std::exp(-highest);
        for (int64_t r = 0; r < radix; ++r) total += weight[r * channels] = std::exp(logit[r * part] - highest);
        for (int64_t r = 0; r < radix; ++r) weight[r * channels] *= scale[r * channels + channel] * factor / total;
      }
    }
  }

  // The weighted sums, pooled or not. WHOLE: the channels side by side are a multiple of LANES.
  template <bool WHOLE, typename T>
  void add(const T* x, const std::vector<float>& weights, T* y) const {
    const Layout from = this->from(), to = this->to();
    const int64_t blocks = channels / from.width, lines = shrunk(height), columns = shrunk(width);
    const int64_t step = from.width, line_step = width * from.position;
#pragma omp parallel if (spread)
    {
      std::vector<float> sums(pooling ? (width + 2) * step : 0);        // of a line, with a zero at both ends
#pragma omp for schedule(static)
      for (int64_t row = 0; row < images * blocks * lines; ++row) {
        const int64_t line = row % lines, block = row / lines % blocks, image = row / lines / blocks;
        const float* weight = weights.data() + image * radix * channels + block * step;
        const T* map = x + image * from.image + block * from.block;
        T* made = y + image * to.image + block * to.block + line * columns * to.position;
        if (!pooling) {
          weigh_lines<WHOLE>(map + line * line_step, from, 1, 0, weight, channels, radix, made, to.position, width);
          continue;
        }
        const int64_t top = std::max<int64_t>(0, line * pooling - 1), bottom = std::min(height, line * pooling + 2);
        weigh_lines<WHOLE>(map + top * line_step, from, bottom - top, line_step, weight, channels, radix,
                           sums.data() + step, step, width);
        for (int64_t column = 0; column < columns; ++column, made += to.position) {
          const float* sum = sums.data() + column * pooling * step;
          for (int64_t lane = 0; lane < step; lane += LANES) {
            const auto at = [&](int64_t i) { return load<WHOLE>(sum + i * step + lane, step - lane); };
            put<WHOLE>((at(0) + at(1) + at(2)) * (1.0f / 9), made + lane, step - lane);
          }
        }
      }
    }
  }

  // All of it. The sums of x are times factor, the weights times gain.
  template <typename T>
  void operator()(const T* x, T* y, const Layer& fc1, const Layer& fc2, const std::vector<float>& scale, float factor,
                  float gain) const {
    // Each thread takes images of its own, some at a time, which are still in its cache when they are read again: to
    // start the threads for each step, or to have one wait for another, takes longer than the step. Threads share an
    // image only where there are few and they are large.
    const int64_t bytes = std::max<int64_t>(1, radix * channels * height * width * sizeof(T));
    const int64_t threads = omp_get_max_threads(), fitting = std::max<int64_t>(1, CACHE / bytes);
    const int64_t rounds = (images - 1) / (threads * fitting) + 1;
    const bool few = images <= std::max<int64_t>(1, threads / 2);
    const int64_t some = few ? std::max<int64_t>(1, images) : (images - 1) / (threads * rounds) + 1;
#pragma omp parallel for schedule(dynamic) if (!few)
    for (int64_t first = 0; first < images; first += some) {
      Attention part = *this;
      part.images = std::min(images - first, some);
      part.spread = few && images * bytes >= CACHE;
      std::vector<float> pooled(part.images * channels), hidden(part.images * fc1.outputs),
          logits(part.images * fc2.outputs), weights(logits.size());
      const T* values = x + first * from().image;
      part.pool(values, scale, &pooled, factor / (height * width));
      fc1(pooled, &hidden, part.images, true);
      fc2(hidden, &logits, part.images, false);
      part.weigh(logits, scale, &weights, gain);
      T* made = y + first * to().image;
      if (from().width % LANES) part.add<false>(values, weights, made);
      else part.add<true>(values, weights, made);
    }
  }
};
