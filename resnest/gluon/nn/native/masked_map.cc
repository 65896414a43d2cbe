// A map times a random mask that all channels share, for the CPU, float32, in the layout in which oneDNN left the map.
//
//   masked_map(x, mask)   (N, C, H, W), (N, 1, H, W) or (N, 1, 1, 1) -> (N, C, H, W)   x * mask; mask has no gradient
//   ones_of_map(x)        (N, C, H, W) -> (N, 1, H, W)                                 ones, of which x only tells the shape
//
// mxnet's own operators would bring x into the plain layout, and what its convolutions then make of it back again.
#include "graph_nodes.h"
#include "layouts.h"

namespace {

template <int INPUTS>
MXReturnValue count(const Attributes&, int* inputs, int* outputs) {
  *inputs = INPUTS;
  *outputs = 1;
  return MX_SUCCESS;
}

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("masked_map and ones_of_map take float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

MXReturnValue masked_shape(const Attributes&, Shapes* in, Shapes* out) {
  const Shape &x = (*in)[0], &mask = (*in)[1];
  if (x.size() != 4) return refuse("masked_map takes (N, C, H, W), got " + text(x));
  if (mask != Shape{x[0], 1, x[2], x[3]} && mask != Shape{x[0], 1, 1, 1})
    return refuse("masked_map: a mask of " + text(x) + " has one channel, got " + text(mask));
  (*out)[0] = x;
  return MX_SUCCESS;
}

MXReturnValue ones_shape(const Attributes&, Shapes* in, Shapes* out) {
  const Shape& x = (*in)[0];
  if (x.size() != 4) return refuse("ones_of_map takes (N, C, H, W), got " + text(x));
  (*out)[0] = {x[0], 1, x[2], x[3]};
  return MX_SUCCESS;
}

// BLOCK channels of an image, side by side at each of its positions; step is 0 where the mask is one number.
template <int BLOCK>
void multiply(const float* x, const float* mask, int64_t step, int64_t size, float* y) {
  for (int64_t i = 0; i < size; ++i, x += BLOCK, y += BLOCK) {
    const float factor = mask[i * step];
#pragma omp simd
    for (int64_t j = 0; j < BLOCK; ++j) y[j] = x[j] * factor;
  }
}

template <>
void multiply<1>(const float* x, const float* mask, int64_t step, int64_t size, float* y) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) y[i] = x[i] * mask[i * step];
}

void masked(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
            const Arrays& out) {
  const mxnet::TShape& shape = in[0].shape();
  const int64_t size = shape[2] * shape[3], block = block_of(in[0]), rows = shape[1] / block;
  const int64_t each = in[1].shape()[2] * in[1].shape()[3];
  const Blocked<float> x(in[0], block), mask(in[1], 1);
  BlockedOutput<float> output(out[0], requests[0], in, block);
  float* y = output.values();
  if (!y) return;
  const auto multiply_row = block == 16 ? multiply<16> : block == 8 ? multiply<8> : multiply<1>;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < shape[0] * rows; ++row) {
    const int64_t first = row * size * block;
    multiply_row(x.values + first, mask.values + row / rows * each, each == size && size > 1 ? 1 : 0, size, y + first);
  }
  output.finish();
}

void ones(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
          const Arrays& out) {
  Output output(out[0], requests[0], in);
  if (output.values()) std::fill_n(output.values(), out[0].shape().Size(), 1.0f);
  output.finish();
}

Entries masked_gradient(const nnvm::ObjectPtr& made, const Entries& d_y) {
  const Entry& mask = inputs_of(made)[1];
  return {node("masked_map", made->attrs.name + "_backward", {d_y[0], mask}),
          node("zeros_like", made->attrs.name + "_backward_mask", {mask})};
}

Entries ones_gradient(const nnvm::ObjectPtr& made, const Entries&) {
  return {node("zeros_like", made->attrs.name + "_backward", {inputs_of(made)[0]})};
}

}  // namespace

REGISTER_OP(masked_map)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<2>)
    .setInferType(only_float32)
    .setInferShape(masked_shape);

REGISTER_OP(ones_of_map)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count<1>)
    .setInferType(only_float32)
    .setInferShape(ones_shape);

MXReturnValue initialize(int version) {
  if (!nodes_ready(version)) return refuse("masked_map needs the wheel of MXNet 1.9.1");
  compute("masked_map", masked, true);
  compute("ones_of_map", ones, true);
  gradient("masked_map", masked_gradient);
  gradient("ones_of_map", ones_gradient);
  return MX_SUCCESS;
}
