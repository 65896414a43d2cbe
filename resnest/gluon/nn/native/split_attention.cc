// Fused split-attention operators for the CPU, float32, in training and inference.
//
//   split_attention_sum(x, weights, radix=R)   (N, R*C, H, W), (N, R*C, 1, 1) -> (N, C, H, W)   sum_r weights_r * x_r
//   split_attention_pool(x, radix=R)           (N, R*C, H, W) -> (N, C, 1, 1)                   sum_r mean(x_r)
//
// Channels are radix-major, [split][channel] (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, appendix A), and
// maps stay in the layout in which oneDNN left x, (N, R*C / block, H, W, block), or in the plain one, whose block is 1. A
// row is the H*W values of a block of channels of one image. Each row is summed by one thread, so results do not depend
// on the number of threads, which is that of the calling engine thread (mxnet sets it from OMP_NUM_THREADS).
#include "layouts.h"

namespace {

int64_t radix_of(const Attributes& attributes) { return positive(attributes, "radix"); }

template <int INPUTS>
MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = INPUTS;
  *outputs = 1;
  return radix_of(attributes) ? MX_SUCCESS : refuse("split attention needs the attribute radix, 1 or more");
}

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("split attention: the native operators take float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

MXReturnValue check_input(const Shape& x, int64_t radix) {
  if (x.size() != 4) return refuse("split attention takes (N, radix * C, H, W), got " + text(x));
  if (x[1] % radix)
    return refuse("split attention: " + text(x) + " has no multiple of radix " + std::to_string(radix) + " channels");
  return MX_SUCCESS;
}

MXReturnValue sum_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const int64_t radix = radix_of(attributes);
  const Shape& x = (*in)[0];
  if (!check_input(x, radix)) return MX_FAIL;
  const Shape wanted = {x[0], x[1], 1, 1};
  Shape& weights = (*in)[1];
  if (weights.empty()) weights = wanted;
  if (weights != wanted)
    return refuse("split attention: weights of " + text(x) + " are " + text(wanted) + ", got " + text(weights));
  (*out)[0] = {x[0], static_cast<unsigned int>(x[1] / radix), x[2], x[3]};
  return MX_SUCCESS;
}

MXReturnValue pool_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const int64_t radix = radix_of(attributes);
  const Shape& x = (*in)[0];
  if (!check_input(x, radix)) return MX_FAIL;
  (*out)[0] = {x[0], static_cast<unsigned int>(x[1] / radix), 1, 1};
  return MX_SUCCESS;
}

constexpr int64_t WIDEST = 16;

// How the rows of x, (N, R*C, H, W), belong to the rows of an output, N*C / block.
struct Rows {
  int64_t radix, block, blocks, count, size;

  Rows(const mxnet::NDArray& x, const nnvm::NodeAttrs& attributes)
      : radix(radix_of(attributes.dict)), block(block_of(x, radix)), blocks(x.shape()[1] / radix / block),
        count(x.shape()[0] * blocks), size(x.shape()[2] * x.shape()[3]) {}

  // The row of x that is split r of an output's row.
  int64_t split(int64_t row, int64_t r) const { return (row / blocks * radix + r) * blocks + row % blocks; }
  int64_t values() const { return size * block; }
};

// A function of a row, made for the blocks that there are.
template <template <int> class Function>
auto for_block(int64_t block) {
  return block == 16 ? Function<16>::run : block == 8 ? Function<8>::run : Function<1>::run;
}

// y = (added ? y : 0) + factor * x, with a factor for each channel of the block.
template <int BLOCK>
struct Scale {
  static void run(const float* x, const float* factor, int64_t size, bool added, float* y) {
    if (BLOCK == 1) {
      const float only = factor[0];
      if (added) {
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) y[i] += only * x[i];
      } else {
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) y[i] = only * x[i];
      }
      return;
    }
    for (int64_t i = 0; i < size; ++i, x += BLOCK, y += BLOCK) {
#pragma omp simd
      for (int64_t j = 0; j < BLOCK; ++j) y[j] = (added ? y[j] : 0) + factor[j] * x[j];
    }
  }
};

// The sums over a row of x, or of x * y where y is given, for each channel of the block: added to sum.
template <int BLOCK>
struct Sum {
  static void run(const float* x, const float* y, int64_t size, float* sum) {
    if (BLOCK == 1) {
      float total = 0;
      if (y) {
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < size; ++i) total += x[i] * y[i];
      } else {
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < size; ++i) total += x[i];
      }
      sum[0] += total;
      return;
    }
    constexpr int LINES = 4;    // sums at once, or each addition would wait for the one before
    float totals[LINES][BLOCK] = {};
    const auto add = [&](int64_t i, float* total) {
#pragma omp simd
      for (int64_t j = 0; j < BLOCK; ++j) total[j] += x[i * BLOCK + j] * (y ? y[i * BLOCK + j] : 1.0f);
    };
    int64_t i = 0;
    for (; i + LINES <= size; i += LINES)
      for (int line = 0; line < LINES; ++line) add(i + line, totals[line]);
    for (; i < size; ++i) add(i, totals[0]);
    for (int j = 0; j < BLOCK; ++j) sum[j] += (totals[0][j] + totals[1][j]) + (totals[2][j] + totals[3][j]);
  }
};

// y = share, with one for each channel of the block.
template <int BLOCK>
struct Fill {
  static void run(const float* share, int64_t size, float* y) {
    for (int64_t i = 0; i < size; ++i, y += BLOCK) std::copy_n(share, BLOCK, y);
  }
};

void sum_forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                 const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const Blocked x(in[0], rows.block), weights(in[1], 1);
  BlockedOutput output(out[0], requests[0], in, rows.block);
  float* sums = output.values();
  if (!sums) return;
  const auto scale = for_block<Scale>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r);
      scale(x.values + split * rows.values(), weights.values + split * rows.block, rows.size, r > 0,
            sums + row * rows.values());
    }
  }
  output.finish();
}

// From (d_sum, x, weights, sum): d_x = weights * d_sum, d_weights = sum over H, W of d_sum * x.
void sum_backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                  const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const Blocked d_sums(in[0], rows.block), x(in[1], rows.block), weights(in[2], 1);
  BlockedOutput x_output(out[0], requests[0], in, rows.block), weights_output(out[1], requests[1], in, 1);
  float* d_x = x_output.values();
  float* d_weights = weights_output.values();
  const auto scale = for_block<Scale>(rows.block);
  const auto sum = for_block<Sum>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const float* d_sum = d_sums.values + row * rows.values();
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r), first = split * rows.values(), channel = split * rows.block;
      if (d_weights) {
        std::fill_n(d_weights + channel, rows.block, 0.0f);
        sum(d_sum, x.values + first, rows.size, d_weights + channel);
      }
      if (d_x) scale(d_sum, weights.values + channel, rows.size, false, d_x + first);
    }
  }
  x_output.finish();
  weights_output.finish();
}

void pool_forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                  const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const Blocked x(in[0], rows.block);
  BlockedOutput output(out[0], requests[0], in, 1);
  float* pooled = output.values();
  if (!pooled) return;
  const auto sum = for_block<Sum>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    float total[WIDEST] = {0};
    for (int64_t r = 0; r < rows.radix; ++r)
      sum(x.values + rows.split(row, r) * rows.values(), nullptr, rows.size, total);
    for (int64_t i = 0; i < rows.block; ++i) pooled[row * rows.block + i] = total[i] / rows.size;
  }
  output.finish();
}

// From (d_pooled, x, pooled): every value of a row has had the share 1 / (H*W).
void pool_backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                   const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const Blocked d_pooled(in[0], 1);
  BlockedOutput output(out[0], requests[0], in, rows.block);
  float* d_x = output.values();
  if (!d_x) return;
  const auto fill = for_block<Fill>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    float share[WIDEST];
    for (int64_t i = 0; i < rows.block; ++i) share[i] = d_pooled.values[row * rows.block + i] / rows.size;
    for (int64_t r = 0; r < rows.radix; ++r)
      fill(share, rows.size, d_x + rows.split(row, r) * rows.values());
  }
  output.finish();
}

}  // namespace

REGISTER_OP(split_attention_sum)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<2>)
    .setInferType(only_float32)
    .setInferShape(sum_shape);

REGISTER_OP(split_attention_pool)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<1>)
    .setInferType(only_float32)
    .setInferShape(pool_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("split attention needs the wheel of MXNet 1.9.1");
  compute("split_attention_sum", sum_forward, true);
  compute("_backward_split_attention_sum", sum_backward, true);
  compute("split_attention_pool", pool_forward, true);
  compute("_backward_split_attention_pool", pool_backward, true);
  return MX_SUCCESS;
}
