// Fused split-attention operators for the CPU, float32, loaded with mx.library.load (lib_api, version 11).
//
//   split_attention_sum(x, weights, radix=R)   (N, R*C, H, W), (N, R*C, 1, 1) -> (N, C, H, W)   sum_r weights_r * x_r
//   split_attention_pool(x, radix=R)           (N, R*C, H, W) -> (N, C, 1, 1)                   sum_r mean(x_r)
//
// Channels are radix-major, [split][channel] (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, appendix A), and
// mxnet hands every tensor over in the plain layout. A row is the H*W values of one channel of one image. Each row is
// summed by one thread, so results do not depend on the number of threads, which is that of the calling engine thread
// (mxnet sets it from OMP_NUM_THREADS).
//
// lib_api does not say whether a gradient is to be written or added: these are written. So a leaf with grad_req='add'
// must not be an input itself; in a network no leaf is.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <vector>

#include "mxnet/lib_api.h"

namespace {

using namespace mxnet::ext;
using Attributes = std::unordered_map<std::string, std::string>;
using Tensors = std::vector<MXTensor>;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;

MXReturnValue refuse(const std::string& message) {
  MX_ERROR_MSG << message;
  return MX_FAIL;
}

std::string text(const Shape& shape) {
  std::string joined;
  for (unsigned int side : shape) joined += (joined.empty() ? "" : ", ") + std::to_string(side);
  return "(" + joined + ")";
}

// The attribute radix as a number, or 0 where it is absent or not a positive number.
int64_t radix_of(const Attributes& attributes) {
  auto found = attributes.find("radix");
  return found == attributes.end() ? 0 : std::max(0L, std::strtol(found->second.c_str(), nullptr, 10));
}

template <int INPUTS>
MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = INPUTS;
  *outputs = 1;
  return radix_of(attributes) ? MX_SUCCESS : refuse("split attention needs the attribute radix, 1 or more");
}

MXReturnValue only_float32(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
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

  Rows(const MXTensor& x, int64_t radix)
      : radix(radix), channels(x.shape[1] / radix), count(x.shape[0] * channels), size(x.shape[2] * x.shape[3]) {}

  // The row of x that is split r of an output's row.
  int64_t split(int64_t row, int64_t r) const { return (row / channels * radix + r) * channels + row % channels; }
};

MXReturnValue sum_forward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const Rows rows((*in)[0], radix_of(attributes));
  const float* x = (*in)[0].data<float>();
  const float* weights = (*in)[1].data<float>();
  float* sums = (*out)[0].data<float>();
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
  return MX_SUCCESS;
}

// From (dout, x, weights, out): d_x = weights * dout, d_weights = sum over H, W of dout * x.
MXReturnValue sum_backward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const Rows rows((*in)[1], radix_of(attributes));
  const float* d_sums = (*in)[0].data<float>();
  const float* x = (*in)[1].data<float>();
  const float* weights = (*in)[2].data<float>();
  float* d_x = (*out)[0].data<float>();
  float* d_weights = (*out)[1].data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const float* d_sum = d_sums + row * rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) {
      const int64_t split = rows.split(row, r);
      const float weight = weights[split];
      const float* value = x + split * rows.size;
      float* d_value = d_x + split * rows.size;
      float product = 0;
#pragma omp simd reduction(+ : product)
      for (int64_t i = 0; i < rows.size; ++i) {
        product += d_sum[i] * value[i];
        d_value[i] = weight * d_sum[i];
      }
      d_weights[split] = product;
    }
  }
  return MX_SUCCESS;
}

MXReturnValue pool_forward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const Rows rows((*in)[0], radix_of(attributes));
  const float* x = (*in)[0].data<float>();
  float* pooled = (*out)[0].data<float>();
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
  return MX_SUCCESS;
}

// From (d_pooled, x, pooled): every value of a row has had the share 1 / (H*W).
MXReturnValue pool_backward(const Attributes& attributes, Tensors* in, Tensors* out, const OpResource&) {
  const Rows rows((*in)[1], radix_of(attributes));
  const float* d_pooled = (*in)[0].data<float>();
  float* d_x = (*out)[0].data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows.count; ++row) {
    const float share = d_pooled[row] / rows.size;
    for (int64_t r = 0; r < rows.radix; ++r) {
      float* d_value = d_x + rows.split(row, r) * rows.size;
#pragma omp simd
      for (int64_t i = 0; i < rows.size; ++i) d_value[i] = share;
    }
  }
  return MX_SUCCESS;
}

}  // namespace

REGISTER_OP(split_attention_sum)
    .setForward(sum_forward, "cpu")
    .setBackward(sum_backward, "cpu")
    .setParseAttrs(count<2>)
    .setInferType(only_float32)
    .setInferShape(sum_shape);

REGISTER_OP(split_attention_pool)
    .setForward(pool_forward, "cpu")
    .setBackward(pool_backward, "cpu")
    .setParseAttrs(count<1>)
    .setInferType(only_float32)
    .setInferShape(pool_shape);

MXReturnValue initialize(int version) {
  return version >= 10900 ? MX_SUCCESS : refuse("split attention needs MXNet 1.9 or newer");
}
