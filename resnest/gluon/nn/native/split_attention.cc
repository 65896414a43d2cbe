// Fused split-attention operators for the CPU, in training and inference.
//
//   split_attention_sum(x, weights, radix=R)   (N, R*C, H, W), (N, R*C, 1, 1) -> (N, C, H, W)   sum_r weights_r * x_r
//   split_attention_pool(x, radix=R)           (N, R*C, H, W) -> (N, C, 1, 1)                   sum_r mean(x_r)
//
// x, the sum and their gradients are float32 or bfloat16; all else is float32, and so is the arithmetic.
//
// Channels are radix-major, [split][channel] (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, appendix A), and
// maps stay in the layout in which oneDNN left x, (N, R*C / block, H, W, block), or in the plain one, whose block is 1. A
// row is the H*W values of a block of channels of one image. Each row is summed by one thread, so results do not depend
// on the number of threads, which is that of the calling engine thread (mxnet sets it from OMP_NUM_THREADS).
#include "attention_rows.h"
#include "layouts.h"

namespace {

int64_t radix_of(const Attributes& attributes) { return positive(attributes, "radix"); }

template <int INPUTS>
MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = INPUTS;
  *outputs = 1;
  return radix_of(attributes) ? MX_SUCCESS : refuse("split attention needs the attribute radix, 1 or more");
}

template <bool SUM>
MXReturnValue infer_type(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = mshadow::kFloat32;
    if (type != mshadow::kFloat32 && (type != mshadow::kBfloat16 || &type != in->data()))
      return refuse("split attention: the native operators take float32, and maps of bfloat16, only");
  }
  (*out)[0] = SUM ? (*in)[0] : static_cast<int>(mshadow::kFloat32);
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

template <typename T>
void sum_forward(const nnvm::NodeAttrs& attributes, const Arrays& in, const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const Blocked<T> x(in[0], rows.block);
  const Blocked<float> weights(in[1], 1);
  BlockedOutput<T> output(out[0], requests[0], in, rows.block);
  T* sums = output.values();
  if (!sums) return;
  const auto weigh = for_block<Weigh, T>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t first = rows.split(row, 0);
    weigh(x.values + first * rows.values(), rows.blocks * rows.values(), weights.values + first * rows.block,
          rows.blocks * rows.block, rows.radix, rows.size, sums + row * rows.values());
  }
  output.finish();
}

// From (d_sum, x, weights, sum): d_x = weights * d_sum, d_weights = sum over H, W of d_sum * x.
template <typename T>
void sum_backward(const nnvm::NodeAttrs& attributes, const Arrays& in, const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const Blocked<T> d_sums(in[0], rows.block), x(in[1], rows.block);
  const Blocked<float> weights(in[2], 1);
  BlockedOutput<T> x_output(out[0], requests[0], in, rows.block);
  BlockedOutput<float> weights_output(out[1], requests[1], in, 1);
  T* d_x = x_output.values();
  float* d_weights = weights_output.values();
  const auto turn_back = for_block<Scale, T>(rows.block);
  const auto sum = for_block<Sum, T>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const T* d_sum = d_sums.values + row * rows.values();
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r), first = split * rows.values(), channel = split * rows.block;
      if (d_weights) {
        std::fill_n(d_weights + channel, rows.block, 0.0f);
        sum(d_sum, x.values + first, rows.size, d_weights + channel);
      }
      if (d_x) turn_back(d_sum, weights.values + channel, rows.size, d_x + first);
    }
  }
  x_output.finish();
  weights_output.finish();
}

template <typename T>
void pool_forward(const nnvm::NodeAttrs& attributes, const Arrays& in, const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const Blocked<T> x(in[0], rows.block);
  BlockedOutput<float> output(out[0], requests[0], in, 1);
  float* pooled = output.values();
  if (!pooled) return;
  const auto sum = for_block<Sum, T>(rows.block);
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
template <typename T>
void pool_backward(const nnvm::NodeAttrs& attributes, const Arrays& in, const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const Blocked<float> d_pooled(in[0], 1);
  BlockedOutput<T> output(out[0], requests[0], in, rows.block);
  T* d_x = output.values();
  if (!d_x) return;
  const auto fill = for_block<Fill, T>(rows.block);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    float share[WIDEST];
    for (int64_t i = 0; i < rows.block; ++i) share[i] = d_pooled.values[row * rows.block + i] / rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) fill(share, rows.size, d_x + rows.split(row, r) * rows.values());
  }
  output.finish();
}

// Registers an operator, whose map is in place MAP of its inputs.
template <int MAP, typename Kernel>
void compute_either(const std::string& name, Kernel single, Kernel low) {
  compute(name, [single, low](const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                              const Requests& requests, const Arrays& out) {
    (in[MAP].dtype() == mshadow::kFloat32 ? single : low)(attributes, in, requests, out);
  }, true);
}

}  // namespace

REGISTER_OP(split_attention_sum)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<2>)
    .setInferType(infer_type<true>)
    .setInferShape(sum_shape);

REGISTER_OP(split_attention_pool)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<1>)
    .setInferType(infer_type<false>)
    .setInferShape(pool_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("split attention needs the wheel of MXNet 1.9.1");
  compute_either<0>("split_attention_sum", sum_forward<float>, sum_forward<Bfloat16>);
  compute_either<1>("_backward_split_attention_sum", sum_backward<float>, sum_backward<Bfloat16>);
  compute_either<0>("split_attention_pool", pool_forward<float>, pool_forward<Bfloat16>);
  compute_either<1>("_backward_split_attention_pool", pool_backward<float>, pool_backward<Bfloat16>);
  return MX_SUCCESS;
}
