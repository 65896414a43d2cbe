// Maps resized bilinearly with aligned corners, for the CPU, float32, in training and inference.
//
//   resize_map(x, like)                (N, C, h, w), (., ., H, W) -> (N, C, H, W)
//   resize_map(x, height=H, width=W)   (N, C, h, w) -> (N, C, H, W)
//
// Every array comes in the plain layout. A map is computed by one thread, so results do not depend on the number of
// threads.
#include "mxnet_operator.h"

namespace {

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("resize_map takes float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

MXReturnValue resize_count(const Attributes& attributes, int* inputs, int* outputs) {
  const bool height = positive(attributes, "height"), width = positive(attributes, "width");
  *inputs = height ? 1 : 2;
  *outputs = 1;
  return height == width ? MX_SUCCESS : refuse("resize_map needs height and width, or neither");
}

MXReturnValue resize_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape& x = (*in)[0];
  Shape sides = {0, 0, static_cast<unsigned int>(positive(attributes, "height")),
                 static_cast<unsigned int>(positive(attributes, "width"))};
  if (in->size() == 2) sides = (*in)[1];
  if (x.size() != 4 || sides.size() != 4)
    return refuse("resize_map takes (N, C, h, w) and (., ., H, W), got " + text(x) + " and " + text(sides));
  (*out)[0] = {x[0], x[1], sides[2], sides[3]};
  return MX_SUCCESS;
}

// Where the positions of one side lie between those of another, whose corners they share.
struct Places {
  std::vector<int64_t> low, high;
  std::vector<float> share;       // of the higher one

  Places(int64_t from, int64_t to) : low(to), high(to), share(to) {
    for (int64_t i = 0; i < to; ++i) {
      const double place = static_cast<double>(i) * (from - 1) / std::max<int64_t>(to - 1, 1);
      low[i] = std::min(static_cast<int64_t>(place), std::max<int64_t>(from - 2, 0));
      high[i] = std::min(low[i] + 1, from - 1);
      share[i] = static_cast<float>(place - low[i]);
    }
  }
};

struct Sizes {
  int64_t count, height, width, to_height, to_width;
  Places rows, columns;

  Sizes(const mxnet::NDArray& x, const mxnet::NDArray& out)
      : count(x.shape()[0] * x.shape()[1]), height(x.shape()[2]), width(x.shape()[3]), to_height(out.shape()[2]),
        to_width(out.shape()[3]), rows(height, to_height), columns(width, to_width) {}
};

// Each row is made wide first, which costs most and is done for the small map's rows alone.
void resize_forward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
                    const Arrays& out) {
  const Sizes sizes(in[0], out[0]);
  const float* x = in[0].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* made = output.values();
  if (!made) return;
#pragma omp parallel
  {
    std::vector<float> wide(sizes.height * sizes.to_width);
#pragma omp for schedule(static)
    for (int64_t map = 0; map < sizes.count; ++map) {
      for (int64_t row = 0; row < sizes.height; ++row) {
        const float* from = x + (map * sizes.height + row) * sizes.width;
        float* to = wide.data() + row * sizes.to_width;
        for (int64_t j = 0; j < sizes.to_width; ++j) {
          const float share = sizes.columns.share[j];
          to[j] = (1 - share) * from[sizes.columns.low[j]] + share * from[sizes.columns.high[j]];
        }
      }
      for (int64_t i = 0; i < sizes.to_height; ++i) {
        const float share = sizes.rows.share[i];
        const float* low = wide.data() + sizes.rows.low[i] * sizes.to_width;
        const float* high = wide.data() + sizes.rows.high[i] * sizes.to_width;
        float* to = made + (map * sizes.to_height + i) * sizes.to_width;
#pragma omp simd
        for (int64_t j = 0; j < sizes.to_width; ++j) to[j] = (1 - share) * low[j] + share * high[j];
      }
    }
  }
  output.finish();
}

// From (d_out, x[, like], out): d_x, and zeros for like, of which only the sides matter.
void resize_backward(const nnvm::NodeAttrs&, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
                     const Arrays& out) {
  const Sizes sizes(in[1], in[0]);
  const float* d_out = in[0].data().dptr<float>();
  Output output(out[0], requests[0], in);
  float* d_x = output.values();
  if (d_x) {
#pragma omp parallel
    {
      std::vector<float> wide(sizes.height * sizes.to_width);
#pragma omp for schedule(static)
      for (int64_t map = 0; map < sizes.count; ++map) {
        std::fill(wide.begin(), wide.end(), 0.0f);
        for (int64_t i = 0; i < sizes.to_height; ++i) {
          const float share = sizes.rows.share[i];
          float* low = wide.data() + sizes.rows.low[i] * sizes.to_width;
          float* high = wide.data() + sizes.rows.high[i] * sizes.to_width;
          const float* from = d_out + (map * sizes.to_height + i) * sizes.to_width;
#pragma omp simd
          for (int64_t j = 0; j < sizes.to_width; ++j) low[j] += (1 - share) * from[j];
#pragma omp simd
          for (int64_t j = 0; j < sizes.to_width; ++j) high[j] += share * from[j];
        }
        for (int64_t row = 0; row < sizes.height; ++row) {
          const float* from = wide.data() + row * sizes.to_width;
          float* to = d_x + (map * sizes.height + row) * sizes.width;
          std::fill(to, to + sizes.width, 0.0f);
          for (int64_t j = 0; j < sizes.to_width; ++j) {
            to[sizes.columns.low[j]] += (1 - sizes.columns.share[j]) * from[j];
            to[sizes.columns.high[j]] += sizes.columns.share[j] * from[j];
          }
        }
      }
    }
    output.finish();
  }
  if (out.size() > 1) {
    Output like(out[1], requests[1], in);
    if (like.values()) std::fill_n(like.values(), out[1].shape().Size(), 0.0f);
    like.finish();
  }
}

}  // namespace

REGISTER_OP(resize_map)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(resize_count)
    .setInferType(only_float32)
    .setInferShape(resize_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("resize_map needs the wheel of MXNet 1.9.1");
  compute("resize_map", resize_forward);
  compute("_backward_resize_map", resize_backward);
  return MX_SUCCESS;
}
