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
// oneDNN's int8 convolutions and poolings keep (N, H, W, C) in memory. mx.library's interface (lib_api) hands over copies
// reordered to (N, C, H, W), and back, which takes ten times as long as the attention itself. So lib_api only registers
// the operator here, and its computation is put into nnvm's table, as that of mxnet's own operators is. That relies on
// the binary interface of mxnet 1.9's wheels: initialize() refuses where its functions have other names.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "mxnet/ndarray.h"
#include "mxnet/op_attr_types.h"
#include "nnvm/op.h"
// Last: it defines dlpack again unless it is there.
#include "mxnet/lib_api.h"
#include "split_attention_int8.h"

namespace {

using mxnet::NDArray;
using mxnet::TShape;
using namespace mxnet::ext;
using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;

constexpr const char* NAME = "split_attention_int8";

MXReturnValue refuse(const std::string& message) {
  MX_ERROR_MSG << NAME << ": " << message;
  return MX_FAIL;
}

struct Param {
  int64_t radix = 0, cardinality = 1;
  float range = 0;
  bool scaled = false;

  explicit Param(const Attributes& attributes) {
    for (const auto& item : attributes) {
      if (item.first == "radix") radix = std::atoll(item.second.c_str());
      if (item.first == "cardinality") cardinality = std::atoll(item.second.c_str());
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
    return refuse("needs the attributes radix and cardinality, 1 or more, and range, above 0");
  return MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  const int type = (*in)[0];
  if (type != kUint8 && type != kInt8) return refuse("x must be uint8 or int8");
  for (size_t i = 1; i < in->size(); ++i) {
    if ((*in)[i] == -1) (*in)[i] = kFloat32;
    if ((*in)[i] != kFloat32) return refuse("all inputs but x are float32");
  }
  *out = {type, kFloat32, kFloat32};
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, std::vector<Shape>* in, std::vector<Shape>* out) {
  const Param param(attributes);
  const Shape &x = (*in)[0], &fc1 = (*in)[3];
  if (x.size() != 4 || x[1] % (param.radix * param.cardinality))
    return refuse("x must be (N, radix * C, H, W) with channels for each group");
  if (fc1.size() != 4 || fc1[0] % param.cardinality) return refuse("fc1_weight must be (I, C / cardinality, 1, 1)");
  const unsigned int channels = x[1] / param.radix, groups = param.cardinality, inner = fc1[0];
  const Shape wanted[] = {x, {1}, {1}, {inner, channels / groups, 1, 1}, {inner}, {x[1], inner / groups, 1, 1}, {x[1]},
                          {1, x[1], 1, 1}};
  for (size_t i = 0; i < in->size(); ++i) {
    if ((*in)[i].empty()) (*in)[i] = wanted[i];
    if ((*in)[i] != wanted[i]) return refuse("input " + std::to_string(i) + " does not fit x and fc1_weight");
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

// In the plain layout: oneDNN may have stored weights in one of its own.
NDArray plain(const NDArray& array) { return array.IsMKLDNNData() ? array.Reorder2Default() : array; }

// The values of x as (N, H, W, C): where they lie, or copied into copy.
template <typename T>
const T* read(const NDArray& x, std::vector<T>* copy) {
  if (x.IsMKLDNNData() && x.GetMKLDNNData(channels_last(x.shape(), x.dtype())))
    return static_cast<const T*>(x.storage_handle().dptr);
  const NDArray array = plain(x);
  const T* from = static_cast<const T*>(array.data().dptr_);
  const int64_t channels = x.shape()[1], size = x.shape()[2] * x.shape()[3], rows = x.shape()[0] * channels;
  copy->resize(x.shape().Size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < size; ++i)
      (*copy)[(row / channels * size + i) * channels + row % channels] = from[row * size + i];
  return copy->data();
}

template <typename T>
void attend(const Param& param, const std::vector<NDArray>& in, const std::vector<NDArray>& out) {
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
  const float limit = std::max(std::fabs(*in[1].data().dptr<float>()), std::fabs(*in[2].data().dptr<float>()));
  std::vector<T> copy;
  const T* x = read(in[0], &copy);
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
  const_cast<NDArray&>(out[0]).CreateMKLDNNData(channels_last(out[0].shape(), out[0].dtype()));
  attention.add(x, weights, static_cast<T*>(out[0].storage_handle().dptr));
  *out[1].data().dptr<float>() = std::is_signed<T>::value ? -param.range : 0;
  *out[2].data().dptr<float>() = param.range;
}

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const std::vector<NDArray>& in,
             const std::vector<mxnet::OpReqType>&, const std::vector<NDArray>& out) {
  const Param param(attrs.dict);
  if (in[0].dtype() == kUint8) attend<uint8_t>(param, in, out);
  else attend<int8_t>(param, in, out);
}

MXReturnValue unreachable(const Attributes&, std::vector<MXTensor>*, std::vector<MXTensor>*, const OpResource&) {
  return refuse("runs inside the int8 networks that resnest makes, and has no gradient");
}

// nnvm::Op::UpdateAttrMap inside mxnet, whose compiler passed the pointer that a std::function takes by value.
using Update = void (*)(const std::string&, std::function<void(dmlc::any&)>);

Update theirs() {
  void* mxnet = dlopen("libmxnet.so", RTLD_LAZY | RTLD_NOLOAD);
  return mxnet ? reinterpret_cast<Update>(dlsym(mxnet, "_ZN4nnvm2Op13UpdateAttrMapERKSsSt8functionIFvPN4dmlc3anyEEE"))
               : nullptr;
}

}  // namespace

// What Op::set_attr, a template that is compiled here, calls.
void nnvm::Op::UpdateAttrMap(const std::string& key, std::function<void(dmlc::any*)> update) {
  theirs()(key, [&update](dmlc::any& map) { update(&map); });
}

REGISTER_OP(split_attention_int8)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(infer_type)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (version != 10901 || !theirs()) return refuse("needs the wheel of MXNet 1.9.1");
  // lib_api sets its attributes later, at levels 10 and 11.
  dmlc::Registry<nnvm::Op>::Get()->__REGISTER_OR_GET__(NAME)
      .set_attr<mxnet::FComputeEx>("FComputeEx<cpu>", forward, 20)
      .set_attr<bool>("TIsMKLDNN", true, 20);
  return MX_SUCCESS;
}
