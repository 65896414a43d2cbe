// What a rank computes of batch norm over all ranks, for the CPU, float32: each operator goes once over its arrays.
//
//   sync_norm_sums(x)                                    -> (3C,) float64: count, sum and sum of squares
//   sync_norm_apply(x, gamma, beta, sums of all ranks, running_mean, running_var; eps, momentum, fix_gamma)
//                                    -> y, (3, C): mean, variance and count, the new running_mean and running_var
//   sync_norm_grad_sums(dy, x, statistics; eps, fix_gamma)
//                                    -> (2C,): sum of dy * x^ and of dy, which are d_gamma and d_beta too
//   sync_norm_grad(dy, x, gamma, statistics, sums of all ranks; eps, fix_gamma)                         -> dx
//
// x is (N, C, ...), x^ is x normalized. Nothing here has a gradient of its own: resnest.gluon.nn.synchronized calls
// these in its forward and backward pass, with the exchange between two of them. A channel is computed by one thread, so
// results do not depend on the number of threads.
#include <cmath>

#include "mxnet_operator.h"

namespace {

// What the operators take and return, as nothing but numbers of arrays and their kinds.
enum Kind { DATA, CHANNEL, SUMS, STATISTICS, GRADIENT_SUMS };
template <Kind...> struct List {};

// Of an array of a kind, where x is (N, C, ...).
Shape shape_of(Kind kind, const Shape& x) {
  const unsigned int channels = x[1];
  switch (kind) {
    case DATA: return x;
    case CHANNEL: return {channels};
    case SUMS: return {3 * channels};
    case STATISTICS: return {3, channels};
    default: return {2 * channels};
  }
}

template <typename In, typename Out> struct Signature;
template <Kind... in, Kind... out> struct Signature<List<in...>, List<out...>> {
  static MXReturnValue count(const Attributes&, int* inputs, int* outputs) {
    *inputs = sizeof...(in);
    *outputs = sizeof...(out);
    return MX_SUCCESS;
  }

  static MXReturnValue types(const Attributes&, Types* inputs, Types* outputs) {
    const Types wanted = {(in == SUMS ? kFloat64 : kFloat32)...};
    for (size_t i = 0; i < wanted.size(); ++i) {
      if ((*inputs)[i] == -1) (*inputs)[i] = wanted[i];
      if ((*inputs)[i] != wanted[i]) return refuse("native batch norm takes float32, and sums as float64");
    }
    *outputs = {(out == SUMS ? kFloat64 : kFloat32)...};
    return MX_SUCCESS;
  }

  static MXReturnValue shapes(const Attributes&, Shapes* inputs, Shapes* outputs) {
    const Shape x = (*inputs)[0];
    if (x.size() < 2) return refuse("native batch norm takes (N, C, ...), got " + text(x));
    const Shapes wanted = {shape_of(in, x)...};
    for (size_t i = 0; i < wanted.size(); ++i) {
      if ((*inputs)[i].empty()) (*inputs)[i] = wanted[i];
      if ((*inputs)[i] != wanted[i]) return refuse("native batch norm: " + text((*inputs)[i]) + " beside " + text(x));
    }
    *outputs = {shape_of(out, x)...};
    return MX_SUCCESS;
  }
};

using Sums = Signature<List<DATA>, List<SUMS>>;
using Apply = Signature<List<DATA, CHANNEL, CHANNEL, SUMS, CHANNEL, CHANNEL>, List<DATA, STATISTICS, CHANNEL, CHANNEL>>;
using GradSums = Signature<List<DATA, DATA, STATISTICS>, List<GRADIENT_SUMS>>;
using Grad = Signature<List<DATA, DATA, CHANNEL, STATISTICS, GRADIENT_SUMS>, List<DATA>>;

// Where the values of each channel lie.
struct Layout {
  explicit Layout(const mxnet::NDArray& x) : images(x.shape()[0]), channels(x.shape()[1]) {
    size = x.shape().Size() / std::max<int64_t>(images * channels, 1);
  }
  // Calls work(first value of a row) for each image's row of a channel.
  template <typename Work>
  void rows(int64_t channel, Work work) const {
    for (int64_t image = 0; image < images; ++image) work((image * channels + channel) * size);
  }
  int64_t images, channels, size;
};

template <typename T> const T* values(const mxnet::NDArray& array) { return array.data().dptr<T>(); }

double number(const nnvm::NodeAttrs& attributes, const std::string& name) {
  return std::strtod(attributes.dict.at(name).c_str(), nullptr);
}

bool fixed(const nnvm::NodeAttrs& attributes) { return attributes.dict.at("fix_gamma") == "True"; }

void sums(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests&, const Arrays& out) {
  const Layout layout(in[0]);
  const float* x = values<float>(in[0]);
  double* packed = place<double>(out[0]);
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < layout.channels; ++c) {
    double total = 0, squares = 0;
    layout.rows(c, [&](int64_t first) {
      const float* row = x + first;
#pragma omp simd reduction(+ : total, squares)
      for (int64_t i = 0; i < layout.size; ++i) {
        const double value = row[i];
        total += value;
        squares += value * value;
      }
    });
    packed[c] = static_cast<double>(layout.images * layout.size);
    packed[layout.channels + c] = total;
    packed[2 * layout.channels + c] = squares;
  }
}

void apply(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
           const Arrays& out) {
  const Layout layout(in[0]);
  const int64_t channels = layout.channels;
  const float *x = values<float>(in[0]), *gamma = values<float>(in[1]), *beta = values<float>(in[2]);
  const double* packed = values<double>(in[3]);
  const float *running_mean = values<float>(in[4]), *running_var = values<float>(in[5]);
  const double eps = number(attributes, "eps");
  const float momentum = number(attributes, "momentum");
  const bool fix_gamma = fixed(attributes);
  Output y_output(out[0], requests[0], in);
  float* y = y_output.values();
  float *statistics = place<float>(out[1]), *new_mean = place<float>(out[2]), *new_var = place<float>(out[3]);
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < channels; ++c) {
    const double count = packed[c], exact = packed[channels + c] / count;
    const float mean = exact;
    const float var = std::max(packed[2 * channels + c] / count - exact * exact, 0.0);
    statistics[c] = mean;
    statistics[channels + c] = var;
    statistics[2 * channels + c] = count;
    new_mean[c] = momentum * running_mean[c] + (1 - momentum) * mean;
    new_var[c] = momentum * running_var[c] + (1 - momentum) * var;
    const float scale = (fix_gamma ? 1.0 : gamma[c]) / std::sqrt(var + eps), shift = beta[c];
    if (y) layout.rows(c, [&](int64_t first) {
      const float* row = x + first;
      float* to = y + first;
#pragma omp simd
      for (int64_t i = 0; i < layout.size; ++i) to[i] = (row[i] - mean) * scale + shift;
    });
  }
  y_output.finish();
}

void grad_sums(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests&,
               const Arrays& out) {
  const Layout layout(in[0]);
  const float *dy = values<float>(in[0]), *x = values<float>(in[1]), *statistics = values<float>(in[2]);
  const double eps = number(attributes, "eps");
  float* packed = place<float>(out[0]);
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < layout.channels; ++c) {
    const float mean = statistics[c];
    double product = 0, total = 0;
    layout.rows(c, [&](int64_t first) {
      const float *d_row = dy + first, *row = x + first;
#pragma omp simd reduction(+ : product, total)
      for (int64_t i = 0; i < layout.size; ++i) {
        product += static_cast<double>(d_row[i]) * (row[i] - mean);
        total += d_row[i];
      }
    });
    packed[c] = product / std::sqrt(statistics[layout.channels + c] + eps);
    packed[layout.channels + c] = total;
  }
}

// dx = gamma / sigma * (dy - sum of dy / count - x^ * sum of dy * x^ / count)
void grad(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
          const Arrays& out) {
  const Layout layout(in[0]);
  const int64_t channels = layout.channels;
  const float *dy = values<float>(in[0]), *x = values<float>(in[1]), *gamma = values<float>(in[2]);
  const float *statistics = values<float>(in[3]), *packed = values<float>(in[4]);
  const double eps = number(attributes, "eps");
  const bool fix_gamma = fixed(attributes);
  Output output(out[0], requests[0], in);
  float* dx = output.values();
  if (!dx) return;
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < channels; ++c) {
    const double inverse = 1 / std::sqrt(statistics[channels + c] + eps), count = statistics[2 * channels + c];
    const float mean = statistics[c], scale = (fix_gamma ? 1.0 : gamma[c]) * inverse;
    const float slope = packed[c] / count * inverse, average = packed[channels + c] / count;
    layout.rows(c, [&](int64_t first) {
      const float *d_row = dy + first, *row = x + first;
      float* to = dx + first;
#pragma omp simd
      for (int64_t i = 0; i < layout.size; ++i) to[i] = scale * (d_row[i] - average - (row[i] - mean) * slope);
    });
  }
  output.finish();
}

}  // namespace

#define REGISTER(name, signature)             \
  REGISTER_OP(name)                           \
      .setForward(unreachable, "cpu")         \
      .setParseAttrs(signature::count)        \
      .setInferType(signature::types)         \
      .setInferShape(signature::shapes)

REGISTER(sync_norm_sums, Sums);
REGISTER(sync_norm_apply, Apply);
REGISTER(sync_norm_grad_sums, GradSums);
REGISTER(sync_norm_grad, Grad);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("synchronized batch norm needs the wheel of MXNet 1.9.1");
  compute("sync_norm_sums", sums);
  compute("sync_norm_apply", apply);
  compute("sync_norm_grad_sums", grad_sums);
  compute("sync_norm_grad", grad);
  return MX_SUCCESS;
}
