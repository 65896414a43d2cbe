// 3 × 3 convolutions with stride 1, dilation D and D rows of zeros around the map, for the CPU, float32, in inference:
// Winograd's F(4 × 4, 3 × 3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308, section 4.3), a quarter of the
// products. A dilated one is D × D plain ones, of every Dth row and column.
//
//   winograd_convolution(x, weight, bias, groups=G, relu=0 or 1[, dilation=D])   (N, C, H, W) -> (N, K, H, W)
//
// weight (36, K / 16, C / G, 16) holds the transformed kernels, G g G', of 16 output channels side by side. x and y lie
// in memory as oneDNN's convolutions have them.
#include "layouts.h"
#include "winograd_forward.h"

namespace {

constexpr const char* NAME = "winograd_convolution";

MXReturnValue wrong(const std::string& message) { return refuse(NAME + (": " + message)); }

bool has_relu(const Attributes& attributes) {
  const auto found = attributes.find("relu");
  return found != attributes.end() && found->second == "1";
}

int64_t dilation(const Attributes& attributes) {
  return attributes.count("dilation") ? positive(attributes, "dilation") : 1;
}

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = 3;
  *outputs = 1;
  return positive(attributes, "groups") && dilation(attributes) ? MX_SUCCESS
                                                                : wrong("groups and dilation must be 1 or more");
}

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = mshadow::kFloat32;
    if (type != mshadow::kFloat32) return wrong("all inputs are float32");
  }
  (*out)[0] = mshadow::kFloat32;
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const int64_t groups = positive(attributes, "groups");
  const Shape &x = (*in)[0], &weight = (*in)[1];
  if (x.size() != 4 || x[1] % (groups * PANEL)) return wrong("x must be (N, C, H, W) with 16 channels in a group");
  if (weight.size() != 4 || weight[0] != 36 || weight[1] % groups || weight[2] != x[1] / groups || weight[3] != PANEL)
    return wrong("weight must be (36, K / 16, C / groups, 16), got " + text(weight));
  const Shape bias = {weight[1] * PANEL};
  if ((*in)[2].empty()) (*in)[2] = bias;
  if ((*in)[2] != bias) return wrong("bias must be (K,)");
  (*out)[0] = {x[0], bias[0], x[2], x[3]};
  return MX_SUCCESS;
}

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  CHECK_NE(requests[0], mxnet::kAddTo) << NAME << ": it has no gradient, and adds to nothing";
  if (requests[0] == mxnet::kNullOp) return;
  const mxnet::TShape &shape = in[0].shape(), &made = out[0].shape();
  const int64_t groups = positive(attrs.dict, "groups"), size = shape[2] * shape[3];
  const Source<float> x(in[0], groups, LANES);
  const mxnet::NDArray weight = plain(in[1]), bias = plain(in[2]);
  const auto place = [&](int64_t channels) { return Place{channels, size, x.block ? x.block : channels}; };
  const Convolution convolution{{shape[0], shape[2], shape[3], dilation(attrs.dict)}, groups, place(shape[1]),
                                place(made[1]), has_relu(attrs.dict)};
  write<float>(out[0], in, x.block, [&](float* y) {
    convolution(x.values, weight.data().dptr<float>(), bias.data().dptr<float>(), y);
  });
}

}  // namespace

REGISTER_OP(winograd_convolution)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(only_float32)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return wrong("needs the wheel of MXNet 1.9.1");
  compute(NAME, forward, true);
  return MX_SUCCESS;
}
