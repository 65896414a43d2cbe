// Fused split-attention operators for the CPU, float32, in training and inference.
//
//   split_attention_sum(x, weights, radix=R)   (N, R*C, H, W), (N, R*C, 1, 1) -> (N, C, H, W)   sum_r weights_r * x_r
//   split_attention_pool(x, radix=R)           (N, R*C, H, W) -> (N, C, 1, 1)                   sum_r mean(x_r)
//
// Channels are radix-major, [split][channel] (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, appendix A), and
// every array comes in the plain layout. A row is the H*W values of one channel of one image. Each row is
// summed by one thread, so results do not depend on the number of threads, which is that of the calling engine thread
// (mxnet sets it from OMP_NUM_THREADS).
#include "mxnet_operator.h"

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

// How the rows of x, (N, R*C, H, W), belong to the N*C rows of an output.
struct Rows {
  int64_t radix, channels, count, size;

  Rows(const mxnet::NDArray& x, const nnvm::NodeAttrs& attributes)
      : radix(radix_of(attributes.dict)), channels(x.shape()[1] / radix), count(x.shape()[0] * channels),
        size(x.shape()[2] * x.shape()[3]) {}

  // The row of x that is split r of an output's row.
  int64_t split(int64_t row, int64_t r) const { return (row / channels * radix + r) * channels + row % channels; }
};

void sum_forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                 const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const float* x = in[0].data().dptr<float>();
  const float* weights = in[1].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* sums = output.values();
  if (!sums) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    float* sum = sums + row * rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r);
      const float weight = weights[split];
      const float* value = x + split * rows.size;
      if (r == 0) {
#pragma omp simd
        for (int64_t i = 0; i < rows.size; ++i) sum[i] = weight * value[i];
      } else {
#pragma omp simd
        for (int64_t i = 0; i < rows.size; ++i) sum[i] += weight * value[i];
      }
    }
  }
  output.finish();
}

// From (d_sum, x, weights, sum): d_x = weights * d_sum, d_weights = sum over H, W of d_sum * x.
void sum_backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                  const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const float* d_sums = in[0].data().dptr<float>();
  const float* x = in[1].data().dptr<float>();
  const float* weights = in[2].data().dptr<float>();
  Output x_output(out[0], requests[0], in), weights_output(out[1], requests[1], in);
  float* d_x = x_output.values();
  float* d_weights = weights_output.values();
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const float* d_sum = d_sums + row * rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r);
      if (d_weights) {
        const float* value = x + split * rows.size;
        float product = 0;
#pragma omp simd reduction(+ : product)
        for (int64_t i = 0; i < rows.size; ++i) product += d_sum[i] * value[i];
        d_weights[split] = product;
      }
      if (d_x) {
        const float weight = weights[split];
        float* d_value = d_x + split * rows.size;
#pragma omp simd
        for (int64_t i = 0; i < rows.size; ++i) d_value[i] = weight * d_sum[i];
      }
    }
  }
  x_output.finish();
  weights_output.finish();
}

void pool_forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                  const Requests& requests, const Arrays& out) {
  const Rows rows(in[0], attributes);
  const float* x = in[0].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* pooled = output.values();
  if (!pooled) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    float total = 0;
    for (int64_t r = 0; r < rows.radix; ++r) {
      const float* value = x + rows.split(row, r) * rows.size;
#pragma omp simd reduction(+ : total)
      for (int64_t i = 0; i < rows.size; ++i) total += value[i];
    }
    pooled[row] = total / rows.size;
  }
  output.finish();
}

// From (d_pooled, x, pooled): every value of a row has had the share 1 / (H*W).
void pool_backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in,
                   const Requests& requests, const Arrays& out) {
  const Rows rows(in[1], attributes);
  const float* d_pooled = in[0].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* d_x = output.values();
  if (!d_x) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const float share = d_pooled[row] / rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) {
      float* d_value = d_x + rows.split(row, r) * rows.size;
#pragma omp simd
      for (int64_t i = 0; i < rows.size; ++i) d_value[i] = share;
    }
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
  compute("split_attention_sum", sum_forward);
  compute("_backward_split_attention_sum", sum_backward);
  compute("split_attention_pool", pool_forward);
  compute("_backward_split_attention_pool", pool_backward);
  return MX_SUCCESS;
}
