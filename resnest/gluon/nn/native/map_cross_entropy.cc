// Cross entropy of maps of logits, for the CPU, float32, without the array of all probabilities.
//
//   map_cross_entropy(logits, labels)  (N, C, H, W), (N, H, W) -> (N, H, W)         minus log softmax of the label
//
// A label below 0 counts as 0 and one above C - 1 as C - 1. Every array comes in the plain layout. A pixel is computed
// by one thread, so results do not depend on the number of threads.
#include <cmath>
#include <cstring>

#include "mxnet_operator.h"

namespace {

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("map_cross_entropy takes float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

MXReturnValue entropy_count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 2;
  *outputs = 1;
  return MX_SUCCESS;
}

MXReturnValue entropy_shape(const Attributes&, Shapes* in, Shapes* out) {
  const Shape& logits = (*in)[0];
  if (logits.size() != 4 || !logits[1]) return refuse("map_cross_entropy takes (N, C, H, W), got " + text(logits));
  const Shape wanted = {logits[0], logits[2], logits[3]};
  if ((*in)[1].empty()) (*in)[1] = wanted;
  if ((*in)[1] != wanted)
    return refuse("map_cross_entropy: labels of " + text(logits) + " are " + text(wanted) + ", got " + text((*in)[1]));
  (*out)[0] = wanted;
  return MX_SUCCESS;
}

// e^x for x <= 0, to two units in the last place, without a call, so that loops of it become vectors: 2^n e^r with
// |r| <= ln(2)/2 (the polynomial of Cephes' expf, https://www.netlib.org/cephes/). Below -87 it is e^-87; NaN stays.
inline float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * 1.44269504f + 12582912.0f;        // 1.5 * 2^23: its last bits are the nearest whole n
  const float n = shifted - 12582912.0f;
  const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  bits = (bits - 0x4B400000 + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}

constexpr int64_t BLOCK = 512;      // pixels whose sums stay in the cache

inline int64_t class_of(float label, int64_t classes) {
  return !(label > 0) ? 0 : label >= classes - 1 ? classes - 1 : static_cast<int64_t>(label);
}

// Calls work(first value of the block's pixels in the logits, in the labels, how many) for each block of pixels.
template <typename Work>
void each_block(const mxnet::NDArray& logits, Work work) {
  const int64_t images = logits.shape()[0], classes = logits.shape()[1], size = logits.shape()[2] * logits.shape()[3];
  const int64_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
  for (int64_t number = 0; number < images * blocks; ++number) {
    const int64_t image = number / blocks, start = number % blocks * BLOCK;
    work(image * classes * size + start, image * size + start, std::min(BLOCK, size - start));
  }
}

void entropy_forward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
                     const Arrays& out) {
  const int64_t classes = in[0].shape()[1], size = in[0].shape()[2] * in[0].shape()[3];
  const float* logits = in[0].data().dptr<float>();
  const float* labels = in[1].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* losses = output.values();
  if (!losses) return;
  each_block(in[0], [=](int64_t first, int64_t pixel, int64_t count) {
    float largest[BLOCK], sum[BLOCK];
    std::copy_n(logits + first, count, largest);
    std::fill_n(sum, count, 0.0f);
    for (int64_t c = 1; c < classes; ++c) {
      const float* x = logits + first + c * size;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) largest[i] = x[i] > largest[i] ? x[i] : largest[i];
    }
    for (int64_t c = 0; c < classes; ++c) {
      const float* x = logits + first + c * size;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) sum[i] += exponential(x[i] - largest[i]);
    }
    for (int64_t i = 0; i < count; ++i)
      losses[pixel + i] = std::log(sum[i]) + largest[i] -
                          logits[first + class_of(labels[pixel + i], classes) * size + i];
  });
  output.finish();
}

// From (d_losses, logits, labels, losses): d_logits = d_losses * (softmax - 1 at the label), and zeros for labels.
void entropy_backward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
                      const Arrays& out) {
  const int64_t classes = in[1].shape()[1], size = in[1].shape()[2] * in[1].shape()[3];
  const float* d_losses = in[0].data().dptr<float>();
  const float* logits = in[1].data().dptr<float>();
  const float* labels = in[2].data().dptr<float>();
  const float* losses = in[3].data().dptr<float>();
  Output output(out[0], requests[0], in), labels_output(out[1], requests[1], in);
  float* d_logits = output.values();
  if (d_logits) each_block(in[1], [=](int64_t first, int64_t pixel, int64_t count) {
    float total[BLOCK];     // logarithm of the sum of the exponentials
    const float* d_loss = d_losses + pixel;
    for (int64_t i = 0; i < count; ++i)
      total[i] = losses[pixel + i] + logits[first + class_of(labels[pixel + i], classes) * size + i];
    for (int64_t c = 0; c < classes; ++c) {
      const float* x = logits + first + c * size;
      float* d_x = d_logits + first + c * size;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) d_x[i] = d_loss[i] * exponential(x[i] - total[i]);
    }
    for (int64_t i = 0; i < count; ++i)
      d_logits[first + class_of(labels[pixel + i], classes) * size + i] -= d_loss[i];
  });
  if (labels_output.values()) std::fill_n(labels_output.values(), out[1].shape().Size(), 0.0f);
  output.finish();
  labels_output.finish();
}

}  // namespace

REGISTER_OP(map_cross_entropy)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(entropy_count)
    .setInferType(only_float32)
    .setInferShape(entropy_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("map_cross_entropy needs the wheel of MXNet 1.9.1");
  compute("map_cross_entropy", entropy_forward);
  compute("_backward_map_cross_entropy", entropy_backward);
  return MX_SUCCESS;
}
