// 3 × 3 convolutions with stride 1, dilation D and D rows of zeros around the map, for the CPU, float32, in inference:
// Winograd's F(4 × 4, 3 × 3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308, section 4.3), a quarter of the
// products. A dilated one is D × D plain ones, of every Dth row and column.
//
//   winograd_convolution(x, weight, bias, groups=G, relu=0 or 1[, dilation=D])   (N, C, H, W) -> (N, K, H, W)
//
// weight (36, K / 16, C / G, 16) holds the transformed kernels, G g G', of 16 output channels side by side. x and y lie
// in memory as oneDNN's convolutions have them.
#include <omp.h>

#include <memory>

#include "layouts.h"

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16, PANELS = 4;   // what fills the registers
#else
constexpr int LANES = 8, PANELS = 1;
#endif
constexpr int PANEL = 16, ROWS = 6;     // output channels side by side in weight, tiles at once
// Numbers side by side in memory, at any address.
typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
struct alignas(64) Line {       // of the cache
  float values[16];
};

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

inline const Vector& at(const float* values) { return *reinterpret_cast<const Vector*>(values); }
inline Vector& at(float* values) { return *reinterpret_cast<Vector*>(values); }

// One side of the transformation of a tile of inputs, six to six, and of a tile of outputs, six to four; a step apart.
inline void transform_input(const Vector* d, int step, Vector* to) {
  const Vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
  const Vector even = d4 - 4 * d2, odd = d3 - 4 * d1, far = d4 - d2, near = 2 * (d3 - d1);
  to[0] = 4 * d0 - 5 * d2 + d4;
  to[1] = even + odd;
  to[2] = even - odd;
  to[3] = far + near;
  to[4] = far - near;
  to[5] = 4 * d1 - 5 * d3 + d5;
}

inline void transform_output(const Vector* m, int step, Vector* to) {
  const Vector m0 = m[0], m5 = m[5 * step], even = m[step] + m[2 * step], odd = m[step] - m[2 * step],
               far = m[3 * step] + m[4 * step], near = m[3 * step] - m[4 * step];
  to[0] = m0 + even + far;
  to[1] = odd + 2 * near;
  to[2] = even + 4 * far;
  to[3] = odd + 8 * near + m5;
}

// The product of (rows, inner) and (inner, WIDE panels of 16): (rows, 16 * WIDE).
template <int COUNT, int WIDE>
void multiply(const float* left, const float* right, int64_t inner, float* to, int64_t step) {
  constexpr int VECTORS = WIDE * PANEL / LANES, EACH = PANEL / LANES;
  Vector sum[COUNT][VECTORS] = {};
  for (int64_t i = 0; i < inner; ++i) {
    Vector factor[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) factor[v] = at(right + (v / EACH * inner + i) * PANEL + v % EACH * LANES);
#pragma GCC unroll 6
    for (int row = 0; row < COUNT; ++row) {
      const float value = left[row * inner + i];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sum[row][v] += value * factor[v];
    }
  }
#pragma GCC unroll 6
  for (int row = 0; row < COUNT; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) at(to + row * step + v * LANES) = sum[row][v];
  }
}

template <int WIDE>
void multiply_rows(const float* left, const float* right, int64_t inner, float* to, int64_t step, int64_t rows) {
  int64_t row = 0;
  for (; row + ROWS <= rows; row += ROWS) multiply<ROWS, WIDE>(left + row * inner, right, inner, to + row * step, step);
  const auto rest = rows - row == 1   ? multiply<1, WIDE>
                    : rows - row == 2 ? multiply<2, WIDE>
                    : rows - row == 3 ? multiply<3, WIDE>
                    : rows - row == 4 ? multiply<4, WIDE>
                                      : multiply<5, WIDE>;
  if (row < rows) rest(left + row * inner, right, inner, to + row * step, step);
}

// A (images, channels, height * width = size) array whose channels lie side by side by `width`: a block or all of them.
struct Place {
  int64_t channels, size, width;

  int64_t position(int64_t image, int64_t position) const { return image * channels * size + position * width; }
  int64_t channel(int64_t channel) const { return channel / width * width * size + channel % width; }
};

// Where a tile lies: its first output, among every `dilation`th row and column of an image, from `top` and `left` on.
struct Tile {
  int64_t image, top, left, line, column;
};

struct Convolution {
  int64_t images, height, width, groups, dilation;
  Place in, out;
  bool relu;

  int64_t inner() const { return in.channels / groups; }
  int64_t outer() const { return out.channels / groups; }
  int64_t along(int64_t side) const { return ((side + dilation - 1) / dilation + 3) / 4; }
  int64_t tiles() const { return images * dilation * dilation * along(height) * along(width); }

  // Tiles at a time: few, so that what is between stays in the cache, or many where the weights are what does not; and
  // no more than leave work for every thread.
  int64_t together() const {
    const int64_t most = inner() * outer() > 1 << 16 ? 96 : 12, threads = omp_get_max_threads();
    const int64_t each = std::min(most, (tiles() * groups + threads - 1) / threads);
    return (each + ROWS - 1) / ROWS * ROWS;
  }

  void operator()(const float* x, const float* weight, const float* bias, float* y) const {
    const int64_t step = together(), blocks = (tiles() + step - 1) / step;
    // From one of the 36 matrices to the next; a line more, for not all of them in the same few places of the cache.
    const int64_t from = step * inner() + PANEL, to = step * outer() + PANEL;
#pragma omp parallel
    {
      const std::unique_ptr<Line[]> memory(new Line[36 * (from + to) / PANEL]);
      float *left = memory[0].values, *made = left + 36 * from;
#pragma omp for schedule(static)
      for (int64_t part = 0; part < groups * blocks; ++part) {
        const int64_t group = part / blocks, first = part % blocks * step, rows = std::min(step, tiles() - first);
        for (int64_t row = 0; row < rows; ++row) read(x, group * inner(), first + row, left + row * inner(), from);
        for (int64_t each = 0; each < 36; ++each) {
          const float* factors = weight + (each * groups + group) * outer() * inner();
          for (int64_t filter = 0, wide; filter < outer(); filter += wide * PANEL) {
            wide = std::min<int64_t>((outer() - filter) / PANEL, PANELS);
            wide = wide == 3 ? 2 : wide;
            const auto product = wide == 4 ? multiply_rows<4> : wide == 2 ? multiply_rows<2> : multiply_rows<1>;
            product(left + each * from, factors + filter * inner(), inner(), made + each * to + filter, outer(), rows);
          }
        }
        for (int64_t row = 0; row < rows; ++row)
          write(made + row * outer(), to, first + row, group * outer(), bias + group * outer(), y);
      }
    }
  }

  Tile find(int64_t tile) const {
    const int64_t down = along(height), across = along(width), phase = tile / across / down % (dilation * dilation);
    return {tile / across / down / (dilation * dilation), phase / dilation, phase % dilation, tile / across % down * 4,
            tile % across * 4};
  }

  void read(const float* x, int64_t first, int64_t tile, float* to, int64_t step) const {
    static const float ZEROS[LANES] = {0};
    const Tile at_tile = find(tile);
    const float* places[36];
    for (int64_t i = 0; i < 36; ++i) {
      const int64_t h = (at_tile.line - 1 + i / 6) * dilation + at_tile.top;
      const int64_t w = (at_tile.column - 1 + i % 6) * dilation + at_tile.left;
      const bool inside = h >= 0 && h < height && w >= 0 && w < width;
      places[i] = inside ? x + in.position(at_tile.image, h * width + w) : nullptr;
    }
    for (int64_t channel = 0; channel < inner(); channel += LANES) {
      const int64_t offset = in.channel(first + channel);
      Vector d[36], half[36], row[6];
      for (int i = 0; i < 36; ++i) d[i] = at(places[i] ? places[i] + offset : ZEROS);
      for (int j = 0; j < 6; ++j) {
        transform_input(d + j, 6, row);
        for (int i = 0; i < 6; ++i) half[i * 6 + j] = row[i];
      }
      for (int i = 0; i < 6; ++i) {
        transform_input(half + i * 6, 1, row);
        for (int j = 0; j < 6; ++j) at(to + (i * 6 + j) * step + channel) = row[j];
      }
    }
  }

  void write(const float* from, int64_t step, int64_t tile, int64_t first, const float* bias, float* y) const {
    const Tile at_tile = find(tile);
    for (int64_t filter = 0; filter < outer(); filter += LANES) {
      Vector m[36], half[24], made[4];
      const Vector shift = at(bias + filter);
      for (int i = 0; i < 36; ++i) m[i] = at(from + i * step + filter);
      for (int j = 0; j < 6; ++j) {
        transform_output(m + j, 6, made);
        for (int i = 0; i < 4; ++i) half[i * 6 + j] = made[i];
      }
      float* to = y + out.channel(first + filter);
      for (int i = 0; i < 4; ++i) {
        const int64_t h = (at_tile.line + i) * dilation + at_tile.top;
        if (h >= height) break;
        transform_output(half + i * 6, 1, made);
        for (int j = 0; j < 4; ++j) {
          const int64_t w = (at_tile.column + j) * dilation + at_tile.left;
          if (w >= width) break;
          const Vector sum = made[j] + shift;
          at(to + out.position(at_tile.image, h * width + w)) = relu ? (sum > 0 ? sum : Vector{}) : sum;
        }
      }
    }
  }
};

void forward(const nnvm::NodeAttrs& attrs, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  CHECK_NE(requests[0], mxnet::kAddTo) << NAME << ": it has no gradient, and adds to nothing";
  if (requests[0] == mxnet::kNullOp) return;
  const mxnet::TShape &shape = in[0].shape(), &made = out[0].shape();
  const int64_t groups = positive(attrs.dict, "groups"), size = shape[2] * shape[3];
  const Source<float> x(in[0], groups, LANES);
  const mxnet::NDArray weight = plain(in[1]), bias = plain(in[2]);
  const auto place = [&](int64_t channels) { return Place{channels, size, x.block ? x.block : channels}; };
  const Convolution convolution{shape[0], shape[2], shape[3], groups, dilation(attrs.dict), place(shape[1]),
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
