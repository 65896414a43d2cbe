// Aligned RoIAlign (He et al., 2017, https://arxiv.org/abs/1703.06870, section 3) from all levels of a pyramid at once,
// for the CPU, float32, in training and inference.
//
//   roi_align(maps_0, ..., maps_n, regions, size=, scales=, sampling_ratio=)
//   (N, C, H_0, W_0), ..., (R, 5 or 6) -> (R, C, size, size)
//
// A region is (image, x0, y0, x1, y1[, level]), the box in pixels of the picture, of which a level shows scales[level].
// Samples lie in a grid, so that a bin is sum over rows and columns of row share * column share * value: the shares are
// added up for each row and each column once, rows of a region are made narrow first, and columns short then, always 16
// channels at a time. Maps are read in oneDNN's layout of 16 channels as they are, others are brought into it.
// What is no region gives zeros, as nn/roi_align.py says. Each value is summed by one thread, in an order that does not
// depend on the number of threads.
#include <omp.h>

#include <tuple>

#include "roi_regions.h"

namespace {

typedef float Block __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

MXReturnValue count(const Attributes& attributes, int* inputs, int* outputs) {
  const Settings settings(attributes);
  *inputs = settings.scales.size() + 1;
  *outputs = 1;
  return settings.sound() ? MX_SUCCESS : refuse("roi_align needs a size, and the scale of each level");
}

MXReturnValue only_float32(const Attributes&, Types* in, Types* out) {
  for (int& type : *in) {
    if (type == -1) type = kFloat32;
    if (type != kFloat32) return refuse("roi_align: the native operator takes float32 only");
  }
  (*out)[0] = kFloat32;
  return MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape &first = in->front(), &regions = in->back();
  for (size_t i = 0; i + 1 < in->size(); ++i) {
    const Shape& maps = (*in)[i];
    if (maps.size() != 4 || maps[0] != first[0] || maps[1] != first[1] || !maps[0] || !maps[1] || !maps[2] || !maps[3])
      return refuse("roi_align takes maps (N, C, H, W) of one N and C, got " + text(first) + " and " + text(maps));
  }
  if (regions.size() != 2 || !regions[0] || regions[1] < (in->size() > 2 ? 6u : 5u) || regions[1] > 6)
    return refuse("roi_align takes regions (R, 5), or (R, 6) with levels, got " + text(regions));
  const unsigned int size = positive(attributes, "size");
  (*out)[0] = {regions[0], first[1], size, size};
  return MX_SUCCESS;
}

// The bins (size, size, LANES) of a region in a block; narrow has room for (rows, size, LANES).
void pool(const Region& region, const float* map, int64_t width, int64_t size, float* narrow, float* bins) {
  const Axis &rows = *region.rows, &columns = *region.columns;
  for (int64_t row = rows.first; row < rows.last; ++row) {
    for (int64_t b = 0; b < size; ++b) {
      const float* from = map + (row * width + columns.begin[b]) * LANES;
      Block sum = {};
      for (float share : columns.share[b]) sum += share * *reinterpret_cast<const Block*>(from), from += LANES;
      *reinterpret_cast<Block*>(narrow + ((row - rows.first) * size + b) * LANES) = sum;
    }
  }
  for (int64_t b = 0; b < size; ++b) {
    for (int64_t j = 0; j < size; ++j) {
      const float* from = narrow + ((rows.begin[b] - rows.first) * size + j) * LANES;
      Block sum = {};
      for (float share : rows.share[b]) sum += share * *reinterpret_cast<const Block*>(from), from += size * LANES;
      *reinterpret_cast<Block*>(bins + (b * size + j) * LANES) = sum;
    }
  }
}

// The same backwards: bins are added to the map.
void spread(const Region& region, const float* bins, int64_t width, int64_t size, float* narrow, float* map) {
  const Axis &rows = *region.rows, &columns = *region.columns;
  std::fill(narrow, narrow + (rows.last - rows.first) * size * LANES, 0.0f);
  for (int64_t b = 0; b < size; ++b) {
    for (int64_t j = 0; j < size; ++j) {
      float* to = narrow + ((rows.begin[b] - rows.first) * size + j) * LANES;
      const Block value = *reinterpret_cast<const Block*>(bins + (b * size + j) * LANES);
      for (float share : rows.share[b]) *reinterpret_cast<Block*>(to) += share * value, to += size * LANES;
    }
  }
  for (int64_t row = rows.first; row < rows.last; ++row) {
    for (int64_t b = 0; b < size; ++b) {
      float* to = map + (row * width + columns.begin[b]) * LANES;
      const Block value = *reinterpret_cast<const Block*>(narrow + ((row - rows.first) * size + b) * LANES);
      for (float share : columns.share[b]) *reinterpret_cast<Block*>(to) += share * value, to += LANES;
    }
  }
}

// Where regions are computed one after another: near in memory, and image by image.
std::vector<size_t> in_order(const std::vector<Region>& regions) {
  std::vector<size_t> order;
  for (size_t r = 0; r < regions.size(); ++r)
    if (regions[r].level >= 0) order.push_back(r);
  auto key = [&](size_t r) {
    return std::make_tuple(regions[r].image, regions[r].level, regions[r].rows->first, r);
  };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  return order;
}

// Floats for the narrow rows of any of the regions, and for its bins behind them.
size_t room(const std::vector<Region>& regions, int64_t size) {
  int64_t rows = 0;
  for (const Region& region : regions)
    if (region.level >= 0) rows = std::max(rows, region.rows->last - region.rows->first);
  return (rows + size) * size * LANES;
}

void forward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
             const Arrays& out) {
  Output output(out[0], requests[0], in);
  if (!output.values()) return;
  const Settings settings(attributes.dict);
  const std::vector<Region> regions = read_regions(in.back(), settings, in);
  const std::vector<Level> levels(in.begin(), in.end() - 1);
  const std::vector<size_t> order = in_order(regions);
  const int64_t channels = in[0].shape()[1], blocks = (channels + LANES - 1) / LANES, size = settings.size;
  const size_t needed = room(regions, size);
  for (size_t r = 0; r < regions.size(); ++r)
    if (regions[r].level < 0) std::fill_n(output.values() + r * channels * size * size, channels * size * size, 0.0f);
#pragma omp parallel
  {
    std::vector<float> narrow(needed);
    float* bins = narrow.data() + needed - size * size * LANES;
#pragma omp for collapse(2) schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      for (size_t place = 0; place < order.size(); ++place) {
        const Region& region = regions[order[place]];
        const Level& level = levels[region.level];
        pool(region, level.block(region.image, block), level.width, size, narrow.data(), bins);
        const int64_t first = block * LANES, lanes = std::min(LANES, channels - first);
        float* to = output.values() + (order[place] * channels + first) * size * size;
        for (int64_t c = 0; c < lanes; ++c)
          for (int64_t i = 0; i < size * size; ++i) to[c * size * size + i] = bins[i * LANES + c];
      }
    }
  }
  output.finish();
}

// From (d_out, maps..., regions, out): d_maps, and zeros for the regions. The map of a block belongs to one thread.
void backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
              const Arrays& out) {
  const Settings settings(attributes.dict);
  const int64_t count = settings.scales.size(), size = settings.size;
  const Arrays maps(in.begin() + 1, in.begin() + 1 + count);
  const std::vector<Region> regions = read_regions(in[1 + count], settings, maps);
  const std::vector<size_t> order = in_order(regions);
  const mxnet::NDArray d_out = plain(in[0]);
  const float* d_pooled = d_out.data().dptr<float>();
  const int64_t images = maps[0].shape()[0], channels = maps[0].shape()[1], blocks = (channels + LANES - 1) / LANES;
  const size_t needed = room(regions, size);
  for (int64_t l = 0; l < count; ++l) {
    Output output(out[l], requests[l], in);
    float* d_maps = output.values();
    if (!d_maps) continue;
    const int64_t width = maps[l].shape()[3], positions = maps[l].shape()[2] * width;
#pragma omp parallel
    {
      std::vector<float> narrow(needed), map(positions * LANES);
      float* bins = narrow.data() + needed - size * size * LANES;
#pragma omp for collapse(2) schedule(static)
      for (int64_t image = 0; image < images; ++image) {
        for (int64_t block = 0; block < blocks; ++block) {
          const int64_t first = block * LANES, lanes = std::min(LANES, channels - first);
          std::fill(map.begin(), map.end(), 0.0f);
          for (size_t r : order) {
            if (regions[r].image != image || regions[r].level != l) continue;
            const float* from = d_pooled + (r * channels + first) * size * size;
            for (int64_t c = 0; c < lanes; ++c)
              for (int64_t i = 0; i < size * size; ++i) bins[i * LANES + c] = from[c * size * size + i];
            spread(regions[r], bins, width, size, narrow.data(), map.data());
          }
          float* to = d_maps + (image * channels + first) * positions;
          for (int64_t c = 0; c < lanes; ++c)
            for (int64_t p = 0; p < positions; ++p) to[c * positions + p] = map[p * LANES + c];
        }
      }
    }
    output.finish();
  }
  Output none(out[count], requests[count], in);
  if (none.values()) std::fill_n(none.values(), out[count].shape().Size(), 0.0f);
  none.finish();
}

}  // namespace

REGISTER_OP(roi_align)
    .setForward(unreachable, "cpu")
    .setBackward(unreachable, "cpu")
    .setParseAttrs(count)
    .setInferType(only_float32)
    .setInferShape(infer_shape);

MXReturnValue initialize(int version) {
  if (!ready(version)) return refuse("roi_align needs the wheel of MXNet 1.9.1");
  compute("roi_align", forward, true);
  compute("_backward_roi_align", backward, true);
  return MX_SUCCESS;
}
