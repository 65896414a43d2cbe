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

// Attributes with their values.
using Settings = std::vector<std::pair<std::string, std::string>>;

// An operator, as mxnet makes it.
inline SymbolHandle symbol(const std::string& op, const Settings& settings = {}) {
  std::vector<const char*> keys, values;
  for (const auto& each : settings) {
    keys.push_back(each.first.c_str());
    values.push_back(each.second.c_str());
  }
  SymbolHandle handle;
  CHECK_EQ(NNSymbolCreateAtomicSymbol(const_cast<nnvm::Op*>(nnvm::Op::Get(op)), keys.size(), keys.data(), values.data(),
                                      &handle), 0) << NNGetLastError();
  return handle;
}

inline Entry first_output(SymbolHandle handle) { return static_cast<nnvm::Symbol*>(handle)->outputs[0]; }

// The first output of an operator, computed from `inputs`.
inline Entry node(const std::string& op, const std::string& name, Entries inputs, const Settings& settings = {}) {
  SymbolHandle handle = symbol(op, settings);
  const Entry made = first_output(handle);
  NNSymbolFree(handle);
  made.node->attrs.name = name;
  inputs_of(made.node) = std::move(inputs);
  return made;
}

// Whether the inputs are at their place: those of a node that mxnet has composed itself.
inline bool nodes_ready(int version) {
  if (!ready(version)) return false;
  SymbolHandle variable, handle = symbol("zeros_like");
  CHECK_EQ(NNSymbolCreateVariable("x", &variable), 0) << NNGetLastError();
  CHECK_EQ(NNSymbolCompose(handle, "y", 1, nullptr, &variable), 0) << NNGetLastError();
  const Entry made = first_output(handle);
  const Entries& inputs = inputs_of(made.node);
  const bool found = inputs.size() == 1 && inputs[0].node == first_output(variable).node;
  NNSymbolFree(handle);
  NNSymbolFree(variable);
  return found;
}

// Have mxnet build an operator's gradient by calling function.
inline void gradient(const std::string& name, nnvm::FGradient function) {
  dmlc::Registry<nnvm::Op>::Get()->__REGISTER_OR_GET__(name).set_attr<nnvm::FGradient>("FGradient", function, 20);
}

// What mxnet adds up to the gradient d of an output that is read in several places, or d itself. While it records, it
// asks with no gradient what the backward pass will read.
inline Entries parts_of(const Entry& d) {
  const nnvm::Op* op = d.node ? d.node->attrs.op : nullptr;
  return op && op->name == "add_n" ? inputs_of(d.node) : Entries{d};
}

// For the operators of gradients, whose own gradients are nobody's.
inline Entries no_gradient(const nnvm::ObjectPtr& made, const Entries&) {
  Entries zeros;
  for (const Entry& input : inputs_of(made))
    zeros.push_back(node("zeros_like", made->attrs.name + "_backward", {input}));
  return zeros;
}
