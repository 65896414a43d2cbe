// 3 × 3 convolutions with stride 1, dilation D and D rows of zeros around the map, for the CPU, float32, in training, by
// Winograd's F(4 × 4, 3 × 3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308, section 4.3): a quarter of the
// products in the forward pass, in the gradient of the data, which is such a convolution too, and in that of the kernels.
//
//   winograd_training(x, weight, groups=G, dilation=D)   (N, C, H, W), (K, C / G, 3, 3) -> (N, K, H, W)
//
// C / G and K / G are multiples of 16. Maps lie in memory as oneDNN's convolutions have them. Each value is summed in an
// order that does not depend on the number of threads.
#include "layouts.h"
#include "winograd_gradient.h"

namespace {

constexpr const char* NAME = "winograd_training";

MXReturnValue wrong(const std::string& message) { return refuse(NAME + (": " + message)); }

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = 2;
  *outputs = 1;
  const bool sound = positive(attributes, "groups") && positive(attributes, "dilation");
  return sound ? MX_SUCCESS : wrong("groups and dilation must be 1 or more");
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
  if (weight.size() != 4 || weight[0] % (groups * PANEL) || weight[1] != x[1] / groups || weight[2] != 3 ||
      weight[3] != 3)
    return wrong("weight must be (K, C / groups, 3, 3) with 16 filters in a group, got " + text(weight));
  (*out)[0] = {x[0], weight[0], x[2], x[3]};
  return MX_SUCCESS;
}

struct Layer {
  Tiles tiles;
  Kernels kernels;
  Place in, out;

  Layer(const nnvm::NodeAttrs& attributes, const mxnet::TShape& x, const mxnet::TShape& weight, int64_t in_block,
        int64_t out_block)
      : tiles{x[0], x[2], x[3], positive(attributes.dict, "dilation")} {
    const int64_t groups = positive(attributes.dict, "groups"), size = x[2] * x[3];
    kernels = {groups, weight[0] / groups, weight[1]};
    in = {x[1], size, in_block ? in_block : x[1]};
    out = {weight[0], size, out_block ? out_block : weight[0]};
  }

  int64_t transformed() const { return 36 * kernels.groups * kernels.filters * kernels.inner; }
};

void forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  const int64_t groups = positive(attributes.dict, "groups");
  const Source<float> x(in[0], groups, LANES);
  const mxnet::NDArray weight = plain(in[1]);
  BlockedOutput<float> output(out[0], requests[0], in, x.block);
  if (!output.values()) return;
  const Layer layer(attributes, in[0].shape(), weight.shape(), x.block, x.block);
  float* kernels = memory_of<KERNELS>(layer.transformed());
  layer.kernels.transform(weight.data().dptr<float>(), kernels);
  Convolution{layer.tiles, groups, layer.in, layer.out, false}(x.values, kernels, nullptr, output.values());
  output.finish();
}

// From (d_y, x, weight, y).
void backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
              const Arrays& out) {
  const int64_t groups = positive(attributes.dict, "groups");
  const Source<float> d_y(in[0], groups, LANES), x(in[1], groups, LANES);
  const mxnet::NDArray weight = plain(in[2]);
  const Layer layer(attributes, in[1].shape(), weight.shape(), x.block, d_y.block);
  BlockedOutput<float> x_output(out[0], requests[0], in, x.block);
  OutputOf<float> weight_output(out[1], requests[1], in);
  if (x_output.values()) {
    float* kernels = memory_of<KERNELS>(layer.transformed());
    layer.kernels.transform_turned(weight.data().dptr<float>(), kernels);
    Convolution{layer.tiles, groups, layer.out, layer.in, false}(d_y.values, kernels, nullptr, x_output.values());
    x_output.finish();
  }
  if (!weight_output.values()) return;
  WeightGradient{layer.tiles, layer.kernels, layer.in, layer.out}(x.values, d_y.values, weight_output.values());
  weight_output.finish();
}

}  // namespace

REGISTER_OP(winograd_training)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(only_float32)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return wrong("needs the wheel of MXNet 1.9.1");
  compute(NAME, forward, true);
  compute("_backward_winograd_training", backward, true);
  return MX_SUCCESS;
}
