// The gradients of deformable_convolution, CHUNK positions at a time; included by deformable_convolution.cc.

// Of a chunk of an image's positions: the samples and their gradients, (positions, all columns), and where they are from.
struct Chunk {
  int64_t n, first, count;
  std::vector<float> samples, gradients;
  std::vector<Sample> sources;          // (positions, taps, deformable groups)
};

// The gradients of offsets and modulation at a position. For each corner, product is the sum over channels of the
// sample's gradient and the map there.
void offset_gradients(const Layer& layer, const Chunk& chunk, int64_t position, const float* map, float* d_offsets,
                      float* d_modulation) {
  const float* gradients = chunk.gradients.data() + position * layer.own.groups * layer.depth;
  const Sample* source = chunk.sources.data() + position * layer.taps * layer.own.deformable_groups;
  const int64_t side = layer.channels / layer.own.deformable_groups, p = chunk.first + position;
  for (int64_t t = 0; t < layer.taps; ++t) {
    for (int64_t d = 0; d < layer.own.deformable_groups; ++d, ++source) {
      float products[4] = {};
      for (int corner = 0; corner < 4; ++corner) {
        if (!source->inside[corner]) continue;
        for (int64_t c = d * side, end; c < (d + 1) * side; c = end) {
          end = layer.part_end(c, (d + 1) * side);
          const float *values = map + source->place[corner] * layer.channels + c, *gradient = gradients + layer.column(t, c);
          float product = 0;
#pragma omp simd reduction(+ : product)
          for (int64_t i = 0; i < end - c; ++i) product += values[i] * gradient[i];
          products[corner] += product;
        }
      }
      const float down = source->down, right = source->right;
      if (d_offsets) {
        float* to = d_offsets + layer.offset_at(chunk.n, d, t, p);
        to[0] = source->modulation * ((1 - right) * (products[2] - products[0]) + right * (products[3] - products[1]));
        to[layer.positions] =
            source->modulation * ((1 - down) * (products[1] - products[0]) + down * (products[3] - products[2]));
      }
      if (d_modulation) {
        float total = 0;
        for (int corner = 0; corner < 4; ++corner) total += source->share[corner] * products[corner];
        d_modulation[layer.modulation_at(chunk.n, d, t, p)] = total;
      }
    }
  }
}

// Add the gradients of the samples to those of some channels of the map that they are from.
void scatter(const Layer& layer, const Chunk& chunk, int64_t first, int64_t last, float* d_map) {
  const int64_t all = layer.own.groups * layer.depth;
  for (int64_t position = 0; position < chunk.count; ++position) {
    for (int64_t t = 0; t < layer.taps; ++t) {
      const Sample* sources = chunk.sources.data() + (position * layer.taps + t) * layer.own.deformable_groups;
      for (int64_t c = first, end; c < last; c = end) {
        end = layer.part_end(c, last);
        const Sample& source = sources[layer.deformable_group(c)];
        const float* gradient = chunk.gradients.data() + position * all + layer.column(t, c);
        for (int corner = 0; corner < 4; ++corner) {
          const float factor = source.share[corner] * source.modulation;
          float* to = d_map + source.place[corner] * layer.channels + c;
          if (factor == 0) continue;
#pragma omp simd
          for (int64_t i = 0; i < end - c; ++i) to[i] += factor * gradient[i];
        }
      }
    }
  }
}

// From (d_out, x, offsets, [modulation,] weight, out): the gradients of what deformable_convolution takes.
void backward(const nnvm::NodeAttrs& attributes, const mxnet::OpContext&, const Arrays& in, const Requests& requests,
              const Arrays& out) {
  const Layer layer(attributes, in, 1, in[0]);
  const int64_t groups = layer.own.groups, all = groups * layer.depth, area = layer.height * layer.width;
  std::vector<Output> outputs;
  outputs.reserve(out.size());
  for (size_t i = 0; i < out.size(); ++i) outputs.emplace_back(out[i], requests[i], in);
  float *d_x = outputs[0].values(), *d_offsets = outputs[1].values(), *d_weight = outputs.back().values();
  float* d_modulation = layer.own.modulated ? outputs[2].values() : nullptr;
  std::vector<Packed> weights(groups, Packed(layer.group_out, layer.depth));
  std::vector<Packed> heads(groups, Packed(CHUNK, layer.group_out));
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t panel = 0; panel < weights[0].panels(); ++panel)
      weights[g].fill(panel, [&](int64_t o, int64_t k) { return layer.weight[layer.weight_at(g, k, o)]; });
  Chunk chunk;
  chunk.samples.resize(CHUNK * all), chunk.gradients.resize(CHUNK * all);
  chunk.sources.resize(CHUNK * layer.taps * layer.own.deformable_groups);
  std::vector<float> map(area * layer.channels), d_map(map.size()), weight_sums(all * layer.group_out);
  for (chunk.n = 0; chunk.n < layer.batch; ++chunk.n) {
    transpose(layer.x + chunk.n * map.size(), map.data(), layer.channels, area);
    std::fill(d_map.begin(), d_map.end(), 0);
    for (chunk.first = 0; chunk.first < layer.positions; chunk.first += CHUNK) {
      chunk.count = std::min(CHUNK, layer.positions - chunk.first);
      auto head = [&](int64_t g) {
        return in[0].data().dptr<float>() + (chunk.n * layer.filters + g * layer.group_out) * layer.positions + chunk.first;
      };
#pragma omp parallel for schedule(static)
      for (int64_t begin = 0; begin < chunk.count; begin += TILE) {
        const int64_t rows = std::min(TILE, chunk.count - begin);
        for (int64_t g = 0; g < groups; ++g) {
          float* to = chunk.gradients.data() + begin * all + g * layer.depth;
          for (int64_t panel = 0; panel < weights[g].panels(); ++panel)
            panel_product({head(g) + begin, 1, layer.positions}, rows, weights[g], panel, layer.group_out,
                          [&](int64_t row, int64_t column, const float* sums, int64_t columns) {
                            std::copy_n(sums, columns, to + row * all + column);
                          });
        }
        for (int64_t position = begin; position < begin + rows; ++position) {
          const int64_t p = chunk.first + position;
          Sample* source = chunk.sources.data() + position * layer.taps * layer.own.deformable_groups;
          for (int64_t t = 0; t < layer.taps; ++t)
            for (int64_t d = 0; d < layer.own.deformable_groups; ++d) *source++ = layer.sample(chunk.n, d, t, p);
          for (int64_t g = 0; d_weight && g < groups; ++g)
            sample_row(layer, chunk.n, g, p, map.data(), chunk.samples.data() + position * all + g * layer.depth);
          if (d_offsets || d_modulation) offset_gradients(layer, chunk, position, map.data(), d_offsets, d_modulation);
        }
      }
      if (d_x) {
#pragma omp parallel for schedule(static)
        for (int64_t first = 0; first < layer.channels; first += PANEL)
          scatter(layer, chunk, first, std::min<int64_t>(first + PANEL, layer.channels), d_map.data());
      }
      if (!d_weight) continue;
#pragma omp parallel for collapse(2) schedule(static)
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t panel = 0; panel < heads[0].panels(); ++panel)
          heads[g].fill(panel, [&](int64_t k, int64_t o) { return k < chunk.count ? head(g)[o * layer.positions + k] : 0; });
#pragma omp parallel for collapse(2) schedule(static)
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t first = 0; first < layer.depth; first += TILE) {
          float* to = weight_sums.data() + (g * layer.depth + first) * layer.group_out;
          for (int64_t panel = 0; panel < heads[g].panels(); ++panel)
            panel_product({chunk.samples.data() + g * layer.depth + first, 1, all}, std::min(TILE, layer.depth - first),
                          heads[g], panel, chunk.count,
                          [&](int64_t row, int64_t o, const float* sums, int64_t columns) {
                            for (int64_t j = 0; j < columns; ++j) to[row * layer.group_out + o + j] += sums[j];
                          });
        }
      }
    }
    if (d_x) transpose(d_map.data(), d_x + chunk.n * d_map.size(), area, layer.channels);
  }
  if (d_weight) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t k = 0; k < layer.depth; ++k)
        for (int64_t o = 0; o < layer.group_out; ++o)
          d_weight[layer.weight_at(g, k, o)] = weight_sums[(g * layer.depth + k) * layer.group_out + o];
  }
  for (const Output& output : outputs) output.finish();
}
