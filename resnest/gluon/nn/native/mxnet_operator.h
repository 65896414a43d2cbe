// What the native operators share: how they come into mxnet's table of operators.
//
// mx.library's interface (lib_api, version 11) hides two things that an operator must know: the request for each output
// (write, add, nothing; https://github.com/apache/mxnet/blob/1.9.1/include/mxnet/op_attr_types.h) and the layout in
// memory. So lib_api only registers the operators here, with their shapes and types, and their computation is put into
// nnvm's table, as that of mxnet's own operators is. That relies on the binary interface of mxnet 1.9.1's wheels:
// initialize() must refuse to load where ready() is false.
#pragma once
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mxnet/ndarray.h"
#include "mxnet/op_attr_types.h"
#include "nnvm/op.h"
// Last: it defines dlpack again unless it is there.
#include "mxnet/lib_api.h"
#include "numbers.h"

using namespace mxnet::ext;
using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;
using Types = std::vector<int>;
using Arrays = std::vector<mxnet::NDArray>;
using Requests = std::vector<mxnet::OpReqType>;

inline MXReturnValue refuse(const std::string& message) {
  MX_ERROR_MSG << message;
  return MX_FAIL;
}

inline std::string text(const Shape& shape) {
  std::string joined;
  for (unsigned int side : shape) joined += (joined.empty() ? "" : ", ") + std::to_string(side);
  return "(" + joined + ")";
}

// An attribute as a number, or 0 where it is absent or not a positive number.
inline int64_t positive(const Attributes& attributes, const std::string& name) {
  auto found = attributes.find(name);
  return found == attributes.end() ? 0 : std::max(0L, std::strtol(found->second.c_str(), nullptr, 10));
}

// For lib_api's setForward and setBackward, which it wants although mxnet calls what compute() registers.
inline MXReturnValue unreachable(const Attributes&, std::vector<MXTensor>*, std::vector<MXTensor>*, const OpResource&) {
  return refuse("this operator has no such computation");
}

// nnvm::Op::UpdateAttrMap inside mxnet, whose compiler passed the pointer that a std::function takes by value.
using Update = void (*)(const std::string&, std::function<void(dmlc::any&)>);

inline Update theirs() {
  void* mxnet = dlopen("libmxnet.so", RTLD_LAZY | RTLD_NOLOAD);
  return mxnet ? reinterpret_cast<Update>(dlsym(mxnet, "_ZN4nnvm2Op13UpdateAttrMapERKSsSt8functionIFvPN4dmlc3anyEEE"))
               : nullptr;
}

// What Op::set_attr, a template that is compiled here, calls.
inline void nnvm::Op::UpdateAttrMap(const std::string& key, std::function<void(dmlc::any*)> update) {
  theirs()(key, [&update](dmlc::any& map) { update(&map); });
}

inline bool ready(int version) { return version == 10901 && theirs(); }

// In the plain layout, views included: oneDNN may have stored an array, or what it is a view of, in one of its own.
inline mxnet::NDArray plain(const mxnet::NDArray& array) {
  return array.IsMKLDNNData() ? array.Reorder2Default() : array;
}

// Asks for huge pages where memory is large. mxnet takes new memory from the system for each large output: for a map of
// 150 classes at 480 x 480 the faults of its 4 kB pages took five times as long as the resizing.
inline void in_huge_pages(void* memory, size_t bytes) {
  constexpr uintptr_t PAGE = 1 << 21;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + PAGE - 1) / PAGE * PAGE;
  const uintptr_t last = (reinterpret_cast<uintptr_t>(memory) + bytes) / PAGE * PAGE;
  if (first + 4 * PAGE <= last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

// An output's memory, in the plain layout from now on. (Where it is a view of an array in a layout of oneDNN, mxnet has
// dropped that layout before, for its own operators too; or it is an input as well, and mxnet raises an error here.)
template <typename T>
T* place(const mxnet::NDArray& out) {
  if (out.IsMKLDNNData() && !out.IsView()) {
    const mxnet::NDArray before = plain(out);
    const_cast<mxnet::NDArray&>(out).InvalidateMKLDNNData();
    std::copy_n(static_cast<T*>(before.data().dptr_), before.shape().Size(), static_cast<T*>(out.data().dptr_));
  }
  T* values = static_cast<T*>(out.data().dptr_);
  in_huge_pages(values, out.shape().Size() * sizeof(T));
  return values;
}

// Whether an output lies in the memory of an input; views of one array do.
inline bool shared(const mxnet::NDArray& out, const Arrays& in) {
  return std::any_of(in.begin(), in.end(), [&out](const mxnet::NDArray& array) { return array.var() == out.var(); });
}

// Where an operator computes an output: in the output itself where it is to be written; where the values are to
// be added, and where an input lies there, in memory of its own until finish().
template <typename T>
class OutputOf {
 public:
  OutputOf(const mxnet::NDArray& out, mxnet::OpReqType request, const Arrays& in)
      : values_(request == mxnet::kNullOp ? nullptr : place<T>(out)), added_(request == mxnet::kAddTo) {
    if (values_ && (added_ || shared(out, in))) {
      to_ = values_;
      own_.resize(out.shape().Size());
      values_ = own_.data();
    }
  }

  // Null where nothing is asked for.
  T* values() { return values_; }

  void finish() const {
    for (size_t i = 0; i < own_.size(); ++i) put(added_ ? real(to_[i]) + real(own_[i]) : real(own_[i]), to_ + i);
  }

 private:
  T *values_, *to_ = nullptr;
  bool added_;
  std::vector<T> own_;
};

using Output = OutputOf<float>;

// Have mxnet compute an operator by calling function; with onednn, with arrays in whatever layout they are, otherwise
// with inputs in the plain one. (The level is above lib_api's, which registers its own later, at 10 and 11.)
inline void compute(const std::string& name, mxnet::FComputeEx function, bool onednn = false) {
  dmlc::Registry<nnvm::Op>::Get()->__REGISTER_OR_GET__(name)
      .set_attr<mxnet::FComputeEx>("FComputeEx<cpu>", function, 20).set_attr<bool>("TIsMKLDNN", onednn, 20);
}
