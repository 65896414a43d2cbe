// Deformable convolution (Dai et al., 2017; version 2, with modulation, Zhu et al., 2018, https://arxiv.org/abs/1811.11168)
// for the CPU, float32, in training and inference.
//
//   deformable_convolution(x, offsets, [modulation,] weight, stride=, pad=, dilate=, groups=, deformable_groups=,
//                          modulated=)
//   (N, C, H, W), (N, 2*D*T, H', W'), (N, D*T, H', W'), (O, C/G, h, w) -> (N, O, H', W')
//
// T = h*w taps, row by row. A channel of the d-th of D deformable groups is sampled for tap t, bilinearly, at the tap's
// place plus (offsets 2*(d*T + t), 2*(d*T + t) + 1) = (down, right), times modulation d*T + t. Everything outside of the
// map is zero. The samples of a position are the row of a matrix, with a column for each tap and channel, so that the
// rest is a matrix product. Each value is summed by one thread, in an order that does not depend on the number of threads.
#include <omp.h>

#include "deformable_sampling.h"
#include "matrix_product.h"

namespace {

constexpr int64_t TILE = 4 * ROWS;          // positions that a thread samples at a time
constexpr int64_t CHUNK = 8 * TILE;         // positions whose samples are kept for the gradients

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  const Settings settings(attributes);
  *inputs = settings.modulated ? 4 : 3;
  *outputs = 1;
  return settings.sound() ? MX_SUCCESS : refuse("deformable convolution needs stride, pad, dilate as pairs of numbers, "
                                                "groups and deformable_groups");
}

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("deformable convolution: the native operator takes float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

int64_t positions_of(int64_t side, int64_t kernel, int64_t stride, int64_t pad, int64_t dilate) {
  const int64_t room = side + 2 * pad - dilate * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Settings own(attributes);
  const Shape &x = in->front(), &weight = in->back();
  if (x.size() != 4 || weight.size() != 4)
    return refuse("deformable convolution takes (N, C, H, W) and weights (O, C / groups, h, w), got " + text(x) + " and " +
                  text(weight));
  if (x[1] % own.groups || x[1] % own.deformable_groups || weight[0] % own.groups || weight[1] != x[1] / own.groups)
    return refuse("deformable convolution: " + text(x) + " and weights of " + text(weight) +
                  " do not fit into the groups");
  const unsigned int height = positions_of(x[2], weight[2], own.stride.y, own.pad.y, own.dilate.y);
  const unsigned int width = positions_of(x[3], weight[3], own.stride.x, own.pad.x, own.dilate.x);
  if (!height || !width) return refuse("deformable convolution: " + text(x) + " is smaller than the kernel");
  for (size_t i = 1; i + 1 < in->size(); ++i) {
    const int64_t channels = (i == 1 ? 2 : 1) * own.deformable_groups * weight[2] * weight[3];
    const Shape wanted = {x[0], static_cast<unsigned int>(channels), height, width};
    if ((*in)[i].empty()) (*in)[i] = wanted;
    if ((*in)[i] != wanted)
      return refuse("deformable convolution: offsets (or modulation) of " + text(x) + " are " + text(wanted) + ", got " +
                    text((*in)[i]));
  }
  (*out)[0] = {x[0], weight[0], height, width};
  return MX_SUCCESS;
}

// An image's map as (positions, channels), or back.
void transpose(const float* from, float* to, int64_t rows, int64_t columns) {
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < columns; first += LANES) {
    const int64_t last = std::min<int64_t>(first + LANES, columns);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = first; column < last; ++column) to[column * rows + row] = from[row * columns + column];
  }
}

// The samples of one position for a group: the row (taps, channels of the group) of its matrix.
void sample_row(const Layer& layer, int64_t n, int64_t group, int64_t p, const float* map, float* row) {
  const int64_t first = group * layer.group_in, last = first + layer.group_in;
  for (int64_t t = 0; t < layer.taps; ++t) {
    for (int64_t c = first, end; c < last; c = end) {
      end = layer.part_end(c, last);
      const Sample sample = layer.sample(n, layer.deformable_group(c), t, p);
      float factor[4];
      const float* from[4];
      for (int corner = 0; corner < 4; ++corner) {
        factor[corner] = sample.share[corner] * sample.modulation;
        from[corner] = map + sample.place[corner] * layer.channels + c;
      }
      float* to = row + t * layer.group_in + c - first;
#pragma omp simd
      for (int64_t i = 0; i < end - c; ++i)
        to[i] = factor[0] * from[0][i] + factor[1] * from[1][i] + factor[2] * from[2][i] + factor[3] * from[3][i];
    }
  }
}

void forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  const Layer layer(attributes, in, 0, out[0]);
  Output output(out[0], requests[0], in);
  if (!output.values()) return;
  std::vector<Packed> weights(layer.own.groups, Packed(layer.depth, layer.group_out));
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t g = 0; g < layer.own.groups; ++g)
    for (int64_t panel = 0; panel < weights[0].panels(); ++panel)
      weights[g].fill(panel, [&](int64_t k, int64_t o) { return layer.weight[layer.weight_at(g, k, o)]; });
  std::vector<float> map(layer.height * layer.width * layer.channels);
  std::vector<float> samples(omp_get_max_threads() * TILE * layer.depth);
  for (int64_t n = 0; n < layer.batch; ++n) {
    transpose(layer.x + n * map.size(), map.data(), layer.channels, layer.height * layer.width);
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < layer.positions; first += TILE) {
      const int64_t rows = std::min(TILE, layer.positions - first);
      float* mine = samples.data() + omp_get_thread_num() * TILE * layer.depth;
      for (int64_t g = 0; g < layer.own.groups; ++g) {
        for (int64_t row = 0; row < rows; ++row)
          sample_row(layer, n, g, first + row, map.data(), mine + row * layer.depth);
        float* to = output.values() + (n * layer.filters + g * layer.group_out) * layer.positions + first;
        for (int64_t panel = 0; panel < weights[g].panels(); ++panel)
          panel_product({mine, layer.depth, 1}, rows, weights[g], panel, layer.depth,
                        [&](int64_t row, int64_t o, const float* sums, int64_t columns) {
                          for (int64_t j = 0; j < columns; ++j) to[(o + j) * layer.positions + row] = sums[j];
                        });
      }
    }
  }
  output.finish();
}

#include "deformable_gradients.h"

}  // namespace

REGISTER_OP(deformable_convolution)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(only_float32)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("deformable convolution needs the wheel of MXNet 1.9.1");
  compute("deformable_convolution", forward);
  compute("_backward_deformable_convolution", backward);
  return MX_SUCCESS;
}
