// Split attention inside a float32 or bfloat16 network, for the CPU, in inference, with the average pooling behind it.
//
//   split_attention_float(x, fc1_weight, fc1_bias, fc2_weight, fc2_bias, radix=R, cardinality=G[, pooling=S])
//       -> y (N, C, H, W) of x's type, or (N, C, (H - 1) / S + 1, (W - 1) / S + 1)
//
// attention_operator.h says what the inputs are. With the attribute pooling, y is pooled: means of 3 × 3 positions with
// the stride S, zeros around the map counted in. What is computed is float32.
#include "attention_operator.h"

namespace {

constexpr const char* NAME = "split_attention_float";

MXReturnValue wrong(const std::string& message) { return refuse(NAME + (": " + message)); }

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  const Param param(attributes);
  *inputs = 5;
  *outputs = 1;
  if (param.radix < 1 || param.cardinality < 1) return wrong("needs the attributes radix and cardinality, 1 or more");
  if (attributes.count("pooling") && !param.pooling) return wrong("pooling is a stride, 1 or more");
  return MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, Types* in, Types* out) {
  int& type = (*in)[0];
  if (type == -1) type = mshadow::kFloat32;
  if (type != mshadow::kFloat32 && type != mshadow::kBfloat16) return wrong("x must be float32 or bfloat16");
  for (size_t i = 1; i < in->size(); ++i) {
    if ((*in)[i] == -1) (*in)[i] = mshadow::kFloat32;
    if ((*in)[i] != mshadow::kFloat32) return wrong("all inputs but x are float32");
  }
  (*out)[0] = type;
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Param param(attributes);
  const std::string message = param.fit(in, 1);
  if (!message.empty()) return wrong(message);
  const Shape& x = (*in)[0];
  const auto shrunk = [&](unsigned int side) {
    return param.pooling && side ? static_cast<unsigned int>((side - 1) / param.pooling + 1) : side;
  };
  (*out)[0] = {x[0], static_cast<unsigned int>(x[1] / param.radix), shrunk(x[2]), shrunk(x[3])};
  return MX_SUCCESS;
}

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  CHECK_NE(requests[0], mxnet::kAddTo) << NAME << ": it has no gradient, and adds to nothing";
  if (requests[0] == mxnet::kNullOp) return;
  (in[0].dtype() == mshadow::kFloat32 ? attend<float> : attend<Bfloat16>)(Param(attrs.dict), in, out[0], 1, {}, 1, 1);
}

}  // namespace

REGISTER_OP(split_attention_float)
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
