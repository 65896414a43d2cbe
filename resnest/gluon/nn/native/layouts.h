// Arrays of mxnet in the layouts of oneDNN, read and written where they lie.
//
// oneDNN's convolutions keep (N, H, W, C) in memory, channels last, or blocks of channels, (N, C / block, H, W, block).
// In the plain layout, (N, C, H, W), mxnet would hand over copies, and reorder what comes back, which takes longer than
// split attention itself. So operators that compute() registers with onednn take and leave arrays in those layouts. A
// block of 0 stands for channels last.
#pragma once
#include <cstring>

#include "mxnet_operator.h"

// (N, C, H, W) that lies in memory in such a layout.
inline mkldnn::memory::desc described(const mxnet::TShape& shape, int type, int64_t block) {
  mkldnn::memory::desc desc;
  dnnl_memory_desc_t& data = desc.data;
  std::memset(&data, 0, sizeof data);
  data.ndims = 4;
  data.data_type = type == mshadow::kUint8      ? dnnl_u8
                   : type == mshadow::kInt8     ? dnnl_s8
                   : type == mshadow::kBfloat16 ? dnnl_bf16
                                                : dnnl_f32;
  data.format_kind = dnnl_blocked;
  for (int i = 0; i < 4; ++i) data.dims[i] = data.padded_dims[i] = shape[i];
  const int64_t position = block ? block : shape[1];
  dnnl_dim_t* strides = data.format_desc.blocking.strides;
  strides[0] = shape[1] * shape[2] * shape[3];
  strides[1] = block ? block * shape[2] * shape[3] : 1;
  strides[2] = position * shape[3];
  strides[3] = position;
  if (block) {
    data.format_desc.blocking.inner_nblks = 1;
    data.format_desc.blocking.inner_blks[0] = block;
    data.format_desc.blocking.inner_idxs[0] = 1;
  }
  return desc;
}

// From the plain layout, or BACK into it, to that of `block`.
template <typename T, bool BACK>
void turn(const T* from, T* to, const mxnet::TShape& shape, int64_t block) {
  const int64_t channels = shape[1], size = shape[2] * shape[3], width = block ? block : channels;
  for (int64_t row = 0; row < shape[0] * channels; ++row) {
    for (int64_t i = 0; i < size; ++i) {
      const int64_t place = (row / width * size + i) * width + row % width, first = row * size + i;
      to[BACK ? first : place] = from[BACK ? place : first];
    }
  }
}

// The values of x: where they lie, or copied, channels last. A block divides each of `splits` parts of the channels, and
// is no smaller than `least`.
template <typename T>
class Source {
 public:
  Source(const mxnet::NDArray& x, int64_t splits, int64_t least = 0) {
    if (x.IsMKLDNNData() && !x.IsView()) {
      for (int64_t each : {0, 16, 8}) {
        if (each && (each < least || x.shape()[1] / splits % each)) continue;
        if (!x.GetMKLDNNData(described(x.shape(), x.dtype(), each))) continue;
        values = static_cast<const T*>(x.storage_handle().dptr);
        block = each;
        return;
      }
    }
    const mxnet::NDArray array = plain(x);
    copy_.resize(x.shape().Size());
    turn<T, false>(static_cast<const T*>(array.data().dptr_), copy_.data(), x.shape(), 0);
    values = copy_.data();
  }

  const T* values;
  int64_t block = 0;

 private:
  std::vector<T> copy_;
};

// Have fill(values) compute y in the layout of `block`: where y lies or, where it is a view or shares memory with an
// input, elsewhere, and y is left in the plain layout.
template <typename T, typename Fill>
void write(const mxnet::NDArray& y, const Arrays& in, int64_t block, Fill fill) {
  if (!y.IsView() && !shared(y, in)) {
    const_cast<mxnet::NDArray&>(y).CreateMKLDNNData(described(y.shape(), y.dtype(), block));
    return fill(static_cast<T*>(y.storage_handle().dptr));
  }
  std::vector<T> values(y.shape().Size());
  fill(values.data());
  turn<T, true>(values.data(), place<T>(y), y.shape(), block);
}
