// Split attention inside an int8 network, for the CPU: dequantize, attend and quantize in one operator.
//
//   split_attention_int8(x, min, max, fc1_weight, fc1_bias, fc2_weight, fc2_bias[, scale],
//                        radix=R, cardinality=G, range=M, scaled=0 or 1)
//       -> y (N, C, H, W) of x's type, its min (1,) and its max (1,)
//
// x (N, R*C, H, W) is uint8 or int8 and stands for x * max(|min|, |max|) / 255.5 or 127.5, as in mxnet's quantized
// operators; y likewise, with -M or 0 and M as min and max. scale, (1, R*C, 1, 1), multiplies x. attention_operator.h
// says what the layers are.
#include "attention_operator.h"

namespace {

constexpr const char* NAME = "split_attention_int8";

MXReturnValue wrong(const std::string& message) { return refuse(NAME + (": " + message)); }

float range(const Attributes& attributes) {
  const auto found = attributes.find("range");
  return found == attributes.end() ? 0 : std::atof(found->second.c_str());
}

bool scaled(const Attributes& attributes) {
  const auto found = attributes.find("scaled");
  return found != attributes.end() && found->second == "1";
}

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  const Param param(attributes);
  *inputs = scaled(attributes) ? 8 : 7;
  *outputs = 3;
  if (param.radix < 1 || param.cardinality < 1 || !(range(attributes) > 0))
    return wrong("needs the attributes radix and cardinality, 1 or more, and range, above 0");
  return MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, Types* in, Types* out) {
  const int type = (*in)[0];
  if (type != mshadow::kUint8 && type != mshadow::kInt8) return wrong("x must be uint8 or int8");
  for (size_t i = 1; i < in->size(); ++i) {
    if ((*in)[i] == -1) (*in)[i] = mshadow::kFloat32;
    if ((*in)[i] != mshadow::kFloat32) return wrong("all inputs but x are float32");
  }
  *out = {type, mshadow::kFloat32, mshadow::kFloat32};
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Param param(attributes);
  const std::string message = param.fit(in, 3);
  if (!message.empty()) return wrong(message);
  for (size_t i : {1, 2}) {
    if ((*in)[i].empty()) (*in)[i] = {1};
    if ((*in)[i] != Shape{1}) return wrong("min and max are (1,)");
  }
  const Shape& x = (*in)[0];
  *out = {{x[0], static_cast<unsigned int>(x[1] / param.radix), x[2], x[3]}, {1}, {1}};
  return MX_SUCCESS;
}

float number(const mxnet::NDArray& array) { return *plain(array).data().dptr<float>(); }

template <typename T>
void requantize(const Attributes& attributes, const Arrays& in, const mxnet::NDArray& y) {
  const float steps = std::is_signed<T>::value ? 127.5f : 255.5f;
  const float limit = std::max(std::fabs(number(in[1])), std::fabs(number(in[2])));
  std::vector<float> scale;
  if (in.size() == 8) {
    const mxnet::NDArray array = plain(in[7]);
    const float* values = array.data().dptr<float>();
    scale.assign(values, values + array.shape().Size());
  }
  attend<T>(Param(attributes), in, y, 3, scale, limit / steps, limit / range(attributes));
}

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const Arrays& in,
             const Requests& requests, const Arrays& out) {
  const bool is_unsigned = in[0].dtype() == mshadow::kUint8;
  for (mxnet::OpReqType request : requests)
    CHECK_NE(request, mxnet::kAddTo) << NAME << ": numbers of different ranges cannot be added";
  if (requests[0] != mxnet::kNullOp) (is_unsigned ? requantize<uint8_t> : requantize<int8_t>)(attrs.dict, in, out[0]);
  if (requests[1] != mxnet::kNullOp) *place<float>(out[1]) = is_unsigned ? 0 : -range(attrs.dict);
  if (requests[2] != mxnet::kNullOp) *place<float>(out[2]) = range(attrs.dict);
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
