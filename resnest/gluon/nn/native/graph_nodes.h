// Gradients as nodes of mxnet's graph, in the place of the one that lib_api makes of each operator.
//
// mxnet's wheel was compiled with an older standard library, whose unordered_map lacks the last 8 bytes: what follows it
// in nnvm::Node is not where today's compiler looks for it, and nodes are made by mxnet itself.
#pragma once
#include "mxnet_operator.h"
#include "nnvm/c_api.h"
#include "nnvm/op_attr_types.h"
#include "nnvm/symbolic.h"

using Entry = nnvm::NodeEntry;
using Entries = std::vector<Entry>;

constexpr size_t INPUTS = offsetof(nnvm::Node, inputs) - sizeof(Attributes) + 48;

inline Entries& inputs_of(const nnvm::ObjectPtr& node) {
  return *reinterpret_cast<Entries*>(reinterpret_cast<char*>(node.get()) + INPUTS);
}

// The first output of an operator, computed from `inputs`. What belongs to `forward`, as mxnet's own `_backward_` nodes
// do, takes shapes from it.
inline Entry node(const std::string& op, const std::string& name, Entries inputs,
                  const std::vector<std::pair<std::string, std::string>>& attributes = {},
                  const nnvm::ObjectPtr& forward = nullptr) {
  std::vector<const char*> keys, values;
  for (const auto& each : attributes) {
    keys.push_back(each.first.c_str());
    values.push_back(each.second.c_str());
  }
  SymbolHandle handle;
  CHECK_EQ(NNSymbolCreateAtomicSymbol(const_cast<nnvm::Op*>(nnvm::Op::Get(op)), keys.size(), keys.data(), values.data(),
                                      &handle), 0) << NNGetLastError();
  const Entry made = static_cast<nnvm::Symbol*>(handle)->outputs[0];
  NNSymbolFree(handle);
  made.node->attrs.name = name;
  inputs_of(made.node) = std::move(inputs);
  auto& controls = *reinterpret_cast<std::vector<nnvm::ObjectPtr>*>(&inputs_of(made.node) + 1);
  if (forward) controls.push_back(forward);
  return made;
}

// Have mxnet build an operator's gradient by calling function.
inline void gradient(const std::string& name, nnvm::FGradient function) {
  dmlc::Registry<nnvm::Op>::Get()->__REGISTER_OR_GET__(name).set_attr<nnvm::FGradient>("FGradient", function, 20);
}
