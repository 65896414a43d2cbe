// Arrays of mxnet in the layouts of oneDNN, read and written where they lie.
//
// oneDNN's convolutions keep (N, H, W, C) in memory, channels last, or blocks of channels, (N, C / block, H, W, block).
// In the plain layout, (N, C, H, W), mxnet would hand over copies, and reorder what comes back, which takes longer than
// split attention itself. So operators that compute() registers with onednn take and leave arrays in those layouts. A
// block of 0 stands for channels last.
#pragma once
#include <cstring>
#include <memory>

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
#pragma omp parallel for schedule(static)
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

// The block of channels side by side in which x lies, one that divides each of `splits` parts of them: 16, 8, or 1 for
// the plain layout, in which x may have to be brought first.
inline int64_t block_of(const mxnet::NDArray& x, int64_t splits = 1) {
  if (!x.IsMKLDNNData() || x.IsView()) return 1;
  for (int64_t each : {16, 8})
    if (x.shape()[1] / splits % each == 0 && x.GetMKLDNNData(described(x.shape(), x.dtype(), each))) return each;
  return 1;
}

// The widest block in which one of them lies.
inline int64_t widest(const Arrays& maps) {
  int64_t block = 1;
  if (maps[0].shape().ndim() == 4)
    for (const mxnet::NDArray& map : maps) block = std::max(block, block_of(map));
  return block;
}

// The values of x in the layout of a `block`, which may be 1: where they lie, or copied.
template <typename T>
class Blocked {
 public:
  Blocked(const mxnet::NDArray& x, int64_t block) : array_(x) {
    if (block > 1 && block == block_of(x)) {
      values = static_cast<const T*>(x.storage_handle().dptr);
      return;
    }
    array_ = plain(x);
    values = static_cast<const T*>(array_.data().dptr_);
    if (block == 1) return;
    copy_.resize(x.shape().Size());
    turn<T, false>(values, copy_.data(), x.shape(), block);
    values = copy_.data();
  }

  const T* values;

 private:
  mxnet::NDArray array_;
  std::vector<T> copy_;
};

// What Output is for the plain layout, for that of a `block`, which may be 1.
template <typename T>
class BlockedOutput {
 public:
  BlockedOutput(const mxnet::NDArray& out, mxnet::OpReqType request, const Arrays& in, int64_t block)
      : out_(out), request_(request), in_(in), block_(block) {
    if (request == mxnet::kNullOp) return;
    if (block == 1) {
      plain_.reset(new OutputOf<T>(out, request, in));
      values_ = plain_->values();
    } else if (request == mxnet::kAddTo || out.IsView() || shared(out, in)) {
      own_.resize(out.shape().Size());
      values_ = own_.data();
    } else {
      const_cast<mxnet::NDArray&>(out).CreateMKLDNNData(described(out.shape(), out.dtype(), block));
      values_ = static_cast<T*>(out.storage_handle().dptr);
    }
  }

  // Null where nothing is asked for.
  T* values() { return values_; }

  void finish() {
    if (!own_.empty()) {
      plain_.reset(new OutputOf<T>(out_, request_, in_));
      turn<T, true>(own_.data(), plain_->values(), out_.shape(), block_);
    }
    if (plain_) plain_->finish();
  }

 private:
  const mxnet::NDArray& out_;
  const mxnet::OpReqType request_;
  const Arrays& in_;
  const int64_t block_;
  T* values_ = nullptr;
  std::unique_ptr<OutputOf<T>> plain_;
  std::vector<T> own_;
};

// Have mxnet compute an operator whose first input is a map of float32, or of bfloat16, by one of two functions.
template <typename Kernel>
void compute_either(const std::string& name, Kernel single, Kernel low) {
  compute(name, [single, low](const nnvm::NodeAttrs& attributes, const mxnet::OpContext& context, const Arrays& in,
                              const Requests& requests, const Arrays& out) {
    (in[0].dtype() == mshadow::kFloat32 ? single : low)(attributes, context, in, requests, out);
  }, true);
}
