// What a deformable convolution samples: its settings, its arrays, and where each sample comes from.
#pragma once
#include <cmath>
#include <cstdio>

#include "mxnet_operator.h"

namespace {

constexpr int64_t MOST = 1 << 20;           // of an attribute

struct Pair {
  int64_t y = -1, x = -1;
};

// Two numbers as "(1, 2)", or -1 where they are absent or out of range.
Pair pair_of(const Attributes& attributes, const std::string& name, int64_t least) {
  auto found = attributes.find(name);
  long y, x;
  if (found == attributes.end() || std::sscanf(found->second.c_str(), "(%ld , %ld )", &y, &x) != 2) return {};
  return std::min(y, x) < least || std::max(y, x) > MOST ? Pair() : Pair{y, x};
}

struct Settings {
  Pair stride, pad, dilate;
  int64_t groups, deformable_groups;
  bool modulated;

  explicit Settings(const Attributes& given)
      : stride(pair_of(given, "stride", 1)), pad(pair_of(given, "pad", 0)), dilate(pair_of(given, "dilate", 1)),
        groups(positive(given, "groups")), deformable_groups(positive(given, "deformable_groups")),
        modulated(positive(given, "modulated")) {}

  bool sound() const { return std::min({stride.y, pad.y, dilate.y}) >= 0 && groups && deformable_groups; }
};

// Where a sample comes from: the four positions around it (one that is outside stands at 0 and has no share), and their
// shares before the modulation.
struct Sample {
  int64_t place[4];
  float share[4], down, right, modulation;
  bool inside[4];
};

struct Layer {
  Settings own;
  int64_t batch, channels, height, width, filters, taps_x, taps, out_width, positions;
  int64_t group_in, group_out, depth;       // channels of a group; columns of its samples
  const float *x, *offsets, *modulation, *weight;

  Layer(const nnvm::NodeAttrs& attributes, const Arrays& in, size_t first, const mxnet::NDArray& result)
      : own(attributes.dict) {
    const auto &shape = in[first].shape(), &filter = in[first + (own.modulated ? 3 : 2)].shape();
    batch = shape[0], channels = shape[1], height = shape[2], width = shape[3];
    filters = filter[0], taps_x = filter[3], taps = filter[2] * filter[3];
    out_width = result.shape()[3], positions = result.shape()[2] * out_width;
    group_in = channels / own.groups, group_out = filters / own.groups, depth = taps * group_in;
    x = in[first].data().dptr<float>();
    offsets = in[first + 1].data().dptr<float>();
    modulation = own.modulated ? in[first + 2].data().dptr<float>() : nullptr;
    weight = in[first + (own.modulated ? 3 : 2)].data().dptr<float>();
  }

  int64_t deformable_group(int64_t channel) const { return channel / (channels / own.deformable_groups); }

  // Up to where the channels from one on, but not beyond the last, are of one group of both kinds.
  int64_t part_end(int64_t channel, int64_t last) const {
    const int64_t side = channels / own.deformable_groups;
    return std::min({last, (channel / side + 1) * side, (channel / group_in + 1) * group_in});
  }

  // The column of a channel and tap among the samples of a position for all groups.
  int64_t column(int64_t t, int64_t channel) const {
    return channel / group_in * depth + t * group_in + channel % group_in;
  }

  // The place of the weight for a column of a group's samples and one of its filters.
  int64_t weight_at(int64_t group, int64_t column, int64_t filter) const {
    return ((group * group_out + filter) * group_in + column % group_in) * taps + column / group_in;
  }

  // The place of the down-offset of an image, deformable group, tap and position; of its modulation.
  int64_t offset_at(int64_t n, int64_t d, int64_t t, int64_t p) const {
    return ((n * own.deformable_groups + d) * taps + t) * 2 * positions + p;
  }
  int64_t modulation_at(int64_t n, int64_t d, int64_t t, int64_t p) const {
    return ((n * own.deformable_groups + d) * taps + t) * positions + p;
  }

  Sample sample(int64_t n, int64_t d, int64_t t, int64_t p) const {
    Sample found = {};
    const float* offset = offsets + offset_at(n, d, t, p);
    const float y = p / out_width * own.stride.y - own.pad.y + t / taps_x * own.dilate.y + offset[0];
    const float x = p % out_width * own.stride.x - own.pad.x + t % taps_x * own.dilate.x + offset[positions];
    found.modulation = modulation ? modulation[modulation_at(n, d, t, p)] : 1;
    if (y > -1 && y < height && x > -1 && x < width) {
      const int64_t top = std::floor(y), left = std::floor(x);
      found.down = y - top, found.right = x - left;
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t row = top + corner / 2, column = left + corner % 2;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        found.inside[corner] = true;
        found.place[corner] = row * width + column;
        found.share[corner] = (corner / 2 ? found.down : 1 - found.down) * (corner % 2 ? found.right : 1 - found.right);
      }
    } else if (std::isnan(y) || std::isnan(x)) {
      found.share[0] = NAN;     // to be seen, as everywhere else
    }
    return found;
  }
};

}  // namespace
