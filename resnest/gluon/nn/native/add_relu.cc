// The end of a residual block in training, for the CPU, in the layout in which oneDNN left the maps, float32 or bfloat16.
//
//   add_relu(a, b)                            two maps -> max(a + b, 0); what is no number stays none
//   add_relu_gradient(y, d_1 … d_n, count=n)  -> (d_1 + … + d_n) where y > 0, else 0: the gradient of a and of b
//
// The gradients d are those of y's readers, two where the next block begins, which mxnet would add up in a pass of its
// own.
#include "graph_nodes.h"
#include "layouts.h"

namespace {

int64_t count_of(const Attributes& attributes) { return positive(attributes, "count"); }

MXReturnValue count(const Attributes&, int* inputs, int* outputs) {
  *inputs = 2;
  *outputs = 1;
  return MX_SUCCESS;
}

MXReturnValue gradient_count(const Attributes& attributes, int* inputs, int* outputs) {
  *inputs = 1 + count_of(attributes);
  *outputs = 1;
  return *inputs > 1 ? MX_SUCCESS : refuse("add_relu_gradient needs the attribute count, 1 or more");
}

MXReturnValue one_type(const Attributes&, Types* in, Types* out) {
  int known = (*out)[0];
  for (int type : *in) known = known == -1 ? type : known;
  if (known != -1 && known != mshadow::kFloat32 && known != mshadow::kBfloat16)
    return refuse("add_relu: the native operators take float32 and bfloat16 only");
  for (int& type : *in) {
    if (type == -1) type = known;
    if (type != known) return refuse("add_relu takes maps of one type");
  }
  (*out)[0] = known;
  return MX_SUCCESS;
}

MXReturnValue one_shape(const Attributes&, Shapes* in, Shapes* out) {
  Shape known = (*out)[0];
  for (const Shape& shape : *in) known = known.empty() ? shape : known;
  for (Shape& shape : *in) {
    if (shape.empty()) shape = known;
    if (shape != known) return refuse("add_relu takes maps of one shape, got " + text(known) + " and " + text(shape));
  }
  (*out)[0] = known;
  return MX_SUCCESS;
}

constexpr int64_t PART = 2048;      // values, which fit into a cache of the first level

// Has work(first, last) done for parts of the values, by all threads.
template <typename Work>
void in_parts(int64_t size, Work work) {
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < size; first += PART) work(first, std::min(first + PART, size));
}

template <typename T>
void forward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  const int64_t block = widest(in);
  const Blocked<T> a(in[0], block), b(in[1], block);
  BlockedOutput<T> output(out[0], requests[0], in, block);
  T* y = output.values();
  if (!y) return;
  in_parts(out[0].shape().Size(), [&](int64_t first, int64_t last) {
#pragma omp simd
    for (int64_t i = first; i < last; ++i) {
      const float sum = real(a.values[i]) + real(b.values[i]);
      put(sum < 0 ? 0.0f : sum, y + i);
    }
  });
  output.finish();
}

template <typename T>
void backward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
              const Arrays& out) {
  const int64_t block = widest(in);
  std::vector<std::unique_ptr<Blocked<T>>> maps;
  for (const mxnet::NDArray& array : in) maps.emplace_back(new Blocked<T>(array, block));
  BlockedOutput<T> output(out[0], requests[0], in, block);
  T* d = output.values();
  if (!d) return;
  const T* y = maps[0]->values;
  in_parts(out[0].shape().Size(), [&](int64_t first, int64_t last) {
    float sums[PART];
    for (size_t k = 1; k < maps.size(); ++k) {
      const T* d_k = maps[k]->values + first;
#pragma omp simd
      for (int64_t i = 0; i < last - first; ++i) sums[i] = k == 1 ? real(d_k[i]) : sums[i] + real(d_k[i]);
    }
#pragma omp simd
    for (int64_t i = first; i < last; ++i) {
      const float sum = sums[i - first];      // read in any case: without a branch the loop is a vector's
      put(real(y[i]) > 0 ? sum : 0.0f, d + i);
    }
  });
  output.finish();
}

Entries turn_back(const nnvm::ObjectPtr& made, const Entries& d_y) {
  Entries inputs = parts_of(d_y[0]);
  const std::string parts = std::to_string(inputs.size());
  inputs.insert(inputs.begin(), Entry{made, 0, 0});
  const Entry d = node("add_relu_gradient", made->attrs.name + "_backward", inputs, {{"count", parts}});
  return {d, d};
}

}  // namespace

REGISTER_OP(add_relu)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(one_type)
    .setInferShape(one_shape);

REGISTER_OP(add_relu_gradient)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(gradient_count)
    .setInferType(one_type)
    .setInferShape(one_shape);

MXReturnValue initialize(int version) {
  if (!nodes_ready(version)) return refuse("add_relu needs the wheel of MXNet 1.9.1");
  compute_either("add_relu", forward<float>, forward<Bfloat16>);
  compute_either("add_relu_gradient", backward<float>, backward<Bfloat16>);
  gradient("add_relu", turn_back);
  gradient("add_relu_gradient", no_gradient);
  return MX_SUCCESS;
}
