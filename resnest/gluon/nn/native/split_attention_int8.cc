// Split attention inside an int8 network, for the CPU: dequantize, pool, fully connected layers, softmax, weight, add
// and quantize in one operator (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, section 3.1 and appendix A).
//
//   split_attention_int8(x, min, max, fc1_weight, fc1_bias, fc2_weight, fc2_bias[, scale],
//                        radix=R, cardinality=G, range=M, scaled=0 or 1)
//       -> y (N, C, H, W) of x's type, its min (1,) and its max (1,)
//
// x (N, R*C, H, W) is uint8 or int8 and stands for x * max(|min|, |max|) / 255.5 or 127.5, as in mxnet's quantized
// operators; y likewise, with -M or 0 and M as min and max. The layers' weights, (I, C/G, 1, 1) and (R*C, I/G, 1, 1),
// are float32 with the normalization folded in. scale, (1, R*C, 1, 1), multiplies x.
//
// oneDNN's int8 convolutions and poolings keep (N, H, W, C) in memory. In the plain layout, (N, C, H, W), mxnet would
// hand over copies, and reorder what comes back, which takes ten times as long as the attention itself. So the operator
// takes and leaves mxnet's arrays in the layout of oneDNN.
#include <cmath>
#include <cstring>

#include "mxnet_operator.h"
#include "split_attention_int8.h"

namespace {

using mxnet::NDArray;
using mxnet::TShape;

constexpr const char* NAME = "split_attention_int8";

MXReturnValue wrong(const std::string& message) { return refuse(NAME + (": " + message)); }

struct Param {
  int64_t radix, cardinality;
  float range = 0;
  bool scaled = false;

  explicit Param(const Attributes& attributes)
      : radix(positive(attributes, "radix")), cardinality(positive(attributes, "cardinality")) {
    for (const auto& item : attributes) {
      if (item.first == "scaled") scaled = item.second == "1";
      if (item.first == "range") range = std::atof(item.second.c_str());
    }
  }
};

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  const Param param(attributes);
  *inputs = param.scaled ? 8 : 7;
  *outputs = 3;
  if (param.radix < 1 || param.cardinality < 1 || !(param.range > 0))
    return wrong("needs the attributes radix and cardinality, 1 or more, and range, above 0");
  return MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, Types* in, Types* out) {
  const int type = (*in)[0];
  if (type != kUint8 && type != kInt8) return wrong("x must be uint8 or int8");
  for (size_t i = 1; i < in->size(); ++i) {
    if ((*in)[i] == -1) (*in)[i] = kFloat32;
    if ((*in)[i] != kFloat32) return wrong("all inputs but x are float32");
  }
  *out = {type, kFloat32, kFloat32};
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Param param(attributes);
  const Shape &x = (*in)[0], &fc1 = (*in)[3];
  if (x.size() != 4 || x[1] % param.radix || x[1] / param.radix % param.cardinality)
    return wrong("x must be (N, radix * C, H, W) with channels for each group");
  if (fc1.size() != 4 || fc1[0] % param.cardinality) return wrong("fc1_weight must be (I, C / cardinality, 1, 1)");
  const auto part = [&](unsigned int whole) { return static_cast<unsigned int>(whole / param.cardinality); };
  const unsigned int channels = x[1] / param.radix, inner = fc1[0];
  const Shape wanted[] = {x, {1}, {1}, {inner, part(channels), 1, 1}, {inner}, {x[1], part(inner), 1, 1}, {x[1]},
                          {1, x[1], 1, 1}};
  for (size_t i = 0; i < in->size(); ++i) {
    if ((*in)[i].empty()) (*in)[i] = wanted[i];
    if ((*in)[i] != wanted[i]) return wrong("input " + std::to_string(i) + " does not fit x and fc1_weight");
  }
  *out = {{x[0], channels, x[2], x[3]}, {1}, {1}};
  return MX_SUCCESS;
}

// (N, C, H, W) that lies in memory as (N, H, W, C).
mkldnn::memory::desc channels_last(const TShape& shape, int type) {
  mkldnn::memory::desc desc;
  dnnl_memory_desc_t& data = desc.data;
  std::memset(&data, 0, sizeof data);
  data.ndims = 4;
  data.data_type = type == kUint8 ? dnnl_u8 : dnnl_s8;
  data.format_kind = dnnl_blocked;
  for (int i = 0; i < 4; ++i) data.dims[i] = data.padded_dims[i] = shape[i];
  dnnl_dim_t* strides = data.format_desc.blocking.strides;
  strides[1] = 1;
  strides[3] = shape[1];
  strides[2] = shape[1] * shape[3];
  strides[0] = shape[1] * shape[3] * shape[2];
  return desc;
}

// The values of x as (N, H, W, C): where they lie, or copied into copy.
template <typename T>
const T* read(const NDArray& x, std::vector<T>* copy) {
  if (x.IsMKLDNNData() && !x.IsView() && x.GetMKLDNNData(channels_last(x.shape(), x.dtype())))
    return static_cast<const T*>(x.storage_handle().dptr);
  const NDArray array = plain(x);
  const T* from = array.data().dptr<T>();
  const int64_t channels = x.shape()[1], size = x.shape()[2] * x.shape()[3], rows = x.shape()[0] * channels;
  copy->resize(x.shape().Size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < size; ++i)
      (*copy)[(row / channels * size + i) * channels + row % channels] = from[row * size + i];
  return copy->data();
}

float number(const NDArray& array) { return *plain(array).data().dptr<float>(); }

// y (N, H, W, C) of x (N, R*C, H, W).
template <typename T>
void attend(const Param& param, const Arrays& in, const T* x, T* y) {
  const float steps = std::is_signed<T>::value ? 127.5f : 255.5f;
  const TShape& shape = in[0].shape();
  const int64_t radix = param.radix, channels = shape[1] / radix, size = shape[2] * shape[3];
  const Attention attention{shape[0], size, radix, channels, param.cardinality};
  std::vector<NDArray> layers;
  for (int i = 3; i < 7; ++i) layers.push_back(plain(in[i]));
  const auto layer = [&](int i) {
    const TShape& shape = layers[i].shape();
    return Layer{layers[i].data().dptr<float>(), layers[i + 1].data().dptr<float>(), shape[1] * param.cardinality,
                 shape[0], param.cardinality};
  };
  const Layer fc1 = layer(0), fc2 = layer(2);
  const float limit = std::max(std::fabs(number(in[1])), std::fabs(number(in[2])));
  std::vector<float> pooled(shape[0] * channels), hidden(shape[0] * fc1.outputs), logits(shape[0] * fc2.outputs),
      weights(logits.size());
  std::vector<float> scale(shape[1], 1.0f);
  if (param.scaled) {
    const NDArray array = plain(in[7]);
    std::copy_n(array.data().dptr<float>(), scale.size(), scale.begin());
  }
  attention.pool(x, scale, &pooled, limit / steps / size);
  fc1(pooled, &hidden, shape[0], true);
  fc2(hidden, &logits, shape[0], false);
  attention.weigh(logits, scale, &weights, limit / param.range);
  attention.add(x, weights, y);
}

// Into y, in the layout of oneDNN. Where y is a view or shares memory with an input, the values are computed elsewhere
// first, and y is left in the plain layout.
template <typename T>
void write(const Param& param, const Arrays& in, const NDArray& y) {
  std::vector<T> copy;
  const T* x = read(in[0], &copy);
  if (!y.IsView() && !shared(y, in)) {
    const_cast<NDArray&>(y).CreateMKLDNNData(channels_last(y.shape(), y.dtype()));
    return attend(param, in, x, static_cast<T*>(y.storage_handle().dptr));
  }
  const int64_t channels = y.shape()[1], size = y.shape()[2] * y.shape()[3], rows = y.shape()[0] * channels;
  std::vector<T> values(y.shape().Size());
  attend(param, in, x, values.data());
  T* to = place<T>(y);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < size; ++i)
      to[row * size + i] = values[(row / channels * size + i) * channels + row % channels];
}

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const Arrays& in,
             const Requests& requests, const Arrays& out) {
  const Param param(attrs.dict);
  const bool is_unsigned = in[0].dtype() == kUint8;
  for (mxnet::OpReqType request : requests)
    CHECK_NE(request, mxnet::kAddTo) << NAME << ": numbers of different ranges cannot be added";
  if (requests[0] != mxnet::kNullOp) (is_unsigned ? write<uint8_t> : write<int8_t>)(param, in, out[0]);
  if (requests[1] != mxnet::kNullOp) *place<float>(out[1]) = is_unsigned ? 0 : -param.range;
  if (requests[2] != mxnet::kNullOp) *place<float>(out[2]) = param.range;
}

}  // namespace

REGISTER_OP(split_attention_int8)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(infer_type)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return wrong("needs the wheel of MXNet 1.9.1");
  compute(NAME, forward, true);
  return MX_SUCCESS;
}
