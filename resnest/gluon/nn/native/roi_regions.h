// Regions and the maps that they see, for roi_align.cc.
#pragma once
#include <cmath>
#include <cstring>
#include <memory>
#include <sstream>

#include "mxnet_operator.h"

namespace {

constexpr int64_t LANES = 16;       // channels of a block
constexpr float FAR = 2;            // how many sides of the map a region may reach outside

struct Settings {
  int64_t size, sampling_ratio;
  std::vector<float> scales;

  explicit Settings(const Attributes& attributes)
      : size(positive(attributes, "size")), sampling_ratio(positive(attributes, "sampling_ratio")) {
    auto found = attributes.find("scales");
    std::string words = found == attributes.end() ? "" : found->second;
    for (char& letter : words)
      if (std::string("0123456789.e-").find(letter) == std::string::npos) letter = ' ';
    std::istringstream stream(words);
    for (float scale; stream >> scale;) scales.push_back(scale);
  }

  bool sound() const {
    return size && !scales.empty() && std::all_of(scales.begin(), scales.end(), [](float scale) { return scale > 0; });
  }
};

// What the bins of a region take along one axis: bin b the positions from begin[b] on, each its share.
struct Axis {
  std::vector<int64_t> begin, end;    // of each bin; end - begin shares of it
  std::vector<std::vector<float>> share;
  int64_t first = 0, last = 0;        // of all bins

  Axis(float from, float to, int64_t bins, int64_t ratio, int64_t length) : begin(bins), end(bins), share(bins) {
    const float bin = (to - from) / bins;
    const int64_t samples = ratio ? ratio : std::max<int64_t>(1, static_cast<int64_t>(std::ceil(bin)));
    first = length;
    for (int64_t b = 0; b < bins; ++b) {
      for (int64_t i = 0; i < samples; ++i) {
        float place = from + b * bin + (i + 0.5f) * bin / samples;
        if (!(place >= -1 && place <= length)) continue;
        place = std::min(std::max(place, 0.0f), static_cast<float>(length - 1));
        const int64_t low = static_cast<int64_t>(place), high = std::min(low + 1, length - 1);
        if (share[b].empty()) begin[b] = low;
        share[b].resize(high + 1 - begin[b]);
        share[b][low - begin[b]] += (1 - (place - low)) / samples;
        share[b][high - begin[b]] += (place - low) / samples;
      }
      end[b] = begin[b] + static_cast<int64_t>(share[b].size());
      if (!share[b].empty()) first = std::min(first, begin[b]), last = std::max(last, end[b]);
    }
    first = std::min(first, last);
  }
};

struct Region {
  int64_t image = 0, level = -1;      // -1: none
  std::unique_ptr<Axis> rows, columns;

  Region(const float* values, int64_t width, const Settings& settings, const Arrays& maps) {
    const float at = values[0], on = width > 5 ? values[5] : 0;
    if (!(at >= 0 && at < maps[0].shape()[0] && at == std::floor(at)) ||
        !(on >= 0 && on < settings.scales.size() && on == std::floor(on)))
      return;
    const float scale = settings.scales[static_cast<size_t>(on)];
    const mxnet::TShape shape = maps[static_cast<size_t>(on)].shape();
    std::unique_ptr<Axis> found[2];
    for (int axis = 0; axis < 2; ++axis) {      // down, right
      const float given[2] = {values[2 - axis], values[4 - axis]}, limit = shape[2 + axis] / scale;
      // Whatever is compared with a NaN is false.
      const float side = (given[1] * scale - 0.5f) - (given[0] * scale - 0.5f);
      if (!(settings.sampling_ratio ? side >= 0 : side > 0)) return;
      float ends[2];
      for (int i = 0; i < 2; ++i)
        ends[i] = std::min(std::max(given[i], -FAR * limit), (FAR + 1) * limit) * scale - 0.5f;
      found[axis].reset(new Axis(ends[0], ends[1], settings.size, settings.sampling_ratio, shape[2 + axis]));
    }
    image = static_cast<int64_t>(at);
    level = static_cast<int64_t>(on);
    rows = std::move(found[0]);
    columns = std::move(found[1]);
  }
};

std::vector<Region> read_regions(const mxnet::NDArray& array, const Settings& settings, const Arrays& maps) {
  const mxnet::NDArray values = plain(array);
  const int64_t width = array.shape()[1];
  std::vector<Region> regions;
  regions.reserve(array.shape()[0]);
  for (int64_t r = 0; r < array.shape()[0]; ++r)
    regions.emplace_back(values.data().dptr<float>() + r * width, width, settings, maps);
  return regions;
}

// The maps of a level as (N, blocks, H * W, LANES), zeros in the channels that there are not.
class Level {
 public:
  explicit Level(const mxnet::NDArray& maps)
      : blocks_((maps.shape()[1] + LANES - 1) / LANES), size_(maps.shape()[2] * maps.shape()[3]),
        width(maps.shape()[3]) {
    if (maps.IsMKLDNNData() && !maps.IsView() && maps.GetMKLDNNData(blocked(maps.shape())))
      values_ = static_cast<const float*>(maps.storage_handle().dptr);
    else
      bring(maps);
  }

  const float* block(int64_t image, int64_t number) const {
    return values_ + (image * blocks_ + number) * size_ * LANES;
  }

 private:
  mkldnn::memory::desc blocked(const mxnet::TShape& shape) const {
    mkldnn::memory::desc desc;
    dnnl_memory_desc_t& data = desc.data;
    std::memset(&data, 0, sizeof data);
    data.ndims = 4;
    data.data_type = dnnl_f32;
    data.format_kind = dnnl_blocked;
    for (int i = 0; i < 4; ++i) data.dims[i] = data.padded_dims[i] = shape[i];
    data.padded_dims[1] = blocks_ * LANES;
    dnnl_blocking_desc_t& blocking = data.format_desc.blocking;
    const dnnl_dim_t strides[4] = {blocks_ * size_ * LANES, size_ * LANES, shape[3] * LANES, LANES};
    std::copy_n(strides, 4, blocking.strides);
    blocking.inner_nblks = 1;
    blocking.inner_blks[0] = LANES;
    blocking.inner_idxs[0] = 1;
    return desc;
  }

  void bring(const mxnet::NDArray& maps) {
    const mxnet::NDArray array = plain(maps);
    const float* from = array.data().dptr<float>();
    const int64_t channels = maps.shape()[1], count = maps.shape()[0] * blocks_;
    own_.resize(count * size_ * LANES);
#pragma omp parallel for schedule(static)
    for (int64_t number = 0; number < count; ++number) {
      const int64_t first = number % blocks_ * LANES, lanes = std::min(LANES, channels - first);
      const float* mine = from + (number / blocks_ * channels + first) * size_;
      float* to = own_.data() + number * size_ * LANES;
      for (int64_t p = 0; p < size_; ++p)
        for (int64_t c = 0; c < lanes; ++c) to[p * LANES + c] = mine[c * size_ + p];
    }
    values_ = own_.data();
  }

  int64_t blocks_, size_;
  const float* values_ = nullptr;
  std::vector<float> own_;

 public:
  int64_t width;
};

}  // namespace
