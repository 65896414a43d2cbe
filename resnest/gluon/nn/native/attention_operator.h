// What the operators of split attention in inference share: pool, fully connected layers, softmax, weight and add in one
// (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, section 3.1 and appendix A).
//
//   x (N, R*C, H, W), fc1_weight (I, C/G, 1, 1), fc1_bias, fc2_weight (R*C, I/G, 1, 1), fc2_bias, radix=R, cardinality=G
//       -> y (N, C, H, W)
//
// The layers are float32, with the normalization folded in. x and y lie in memory as oneDNN's convolutions have them.
#pragma once
#include "attention.h"
#include "layouts.h"

struct Param {
  int64_t radix, cardinality, pooling;

  explicit Param(const Attributes& attributes)
      : radix(positive(attributes, "radix")), cardinality(positive(attributes, "cardinality")),
        pooling(positive(attributes, "pooling")) {}

  // What is wrong with the shapes of x and of what stands in place `first` and behind it, the layers; those that are
  // not known are filled in. Empty where nothing is.
  std::string fit(Shapes* in, size_t first) const {
    const Shape &x = (*in)[0], &fc1 = (*in)[first];
    if (x.size() != 4 || x[1] % radix || x[1] / radix % cardinality)
      return "x must be (N, radix * C, H, W) with channels for each group";
    if (fc1.size() != 4 || fc1[0] % cardinality) return "fc1_weight must be (I, C / cardinality, 1, 1)";
    const auto part = [&](unsigned int whole) { return static_cast<unsigned int>(whole / cardinality); };
    const unsigned int channels = x[1] / radix, inner = fc1[0];
    const Shape wanted[] = {{inner, part(channels), 1, 1}, {inner}, {x[1], part(inner), 1, 1}, {x[1]},
                            {1, x[1], 1, 1}};
    for (size_t i = first; i < in->size(); ++i) {
      if ((*in)[i].empty()) (*in)[i] = wanted[i - first];
      if ((*in)[i] != wanted[i - first]) return "input " + std::to_string(i) + " does not fit x and fc1_weight";
    }
    return "";
  }
};

// y from x; the layers stand in place `first` of the inputs and behind it. scale (R*C) multiplies x, where it is given;
// factor is what the number 1 stands for in x, gain what it is in y.
template <typename T>
void attend(const Param& param, const Arrays& in, const mxnet::NDArray& y, size_t first = 1,
            std::vector<float> scale = {}, float factor = 1, float gain = 1) {
  const mxnet::TShape& shape = in[0].shape();
  const Source<T> x(in[0], param.radix);
  Arrays layers;
  for (size_t i = first; i < first + 4; ++i) layers.push_back(plain(in[i]));
  const auto layer = [&](int i) {
    const mxnet::TShape& shape = layers[i].shape();
    return Layer{layers[i].data().dptr<float>(), layers[i + 1].data().dptr<float>(), shape[1] * param.cardinality,
                 shape[0], param.cardinality};
  };
  if (scale.empty()) scale.assign(shape[1], 1.0f);
  const Attention attention{shape[0], param.radix, shape[1] / param.radix, shape[2], shape[3], param.cardinality,
                            x.block, param.pooling};
  write<T>(y, in, x.block, [&](T* values) { attention(x.values, values, layer(0), layer(2), scale, factor, gain); });
}
