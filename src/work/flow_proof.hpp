// What the parts of the proof share, private to work/: flow_check.cpp has the rules, flow_check_types.cpp what schemas say.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "work/flow_check.hpp"
#include "work/flow_types.hpp"

namespace ballast::work {

struct Proof {
  FlowFindings findings;
  void error(const Flow& flow, const Place& at, const std::string& message) { add(findings.errors, flow, at, message); }
  void warning(const Flow& flow, const Place& at, const std::string& message) { add(findings.warnings, flow, at, message); }
  void note(const Flow& flow, const Place& at, const std::string& message) { add(findings.notes, flow, at, message); }

 private:
  static void add(std::vector<ConfigMistake>& into, const Flow& flow, const Place& at, const std::string& message) {
    into.push_back({flow.source().file, at.line, at.column, at.field, flow.secrets().hide(message)});
  }
};

// Every stage with the graph it is part of.
void each_stage(const Stages& stages, const std::function<void(const Stage&, const Stages&)>& f);
const Flow* flow_named(std::span<const FlowPtr> flows, std::string_view name);

// Members and types, as far as the schemas say.
void check_types(const Flow& flow, std::span<const FlowPtr> flows, Proof& out);
// Whether what it does reads that stage's output (or `skipped`, or another member of what is seen of a stage).
bool reads_stage(const Stage& stage, std::string_view name, std::string_view member = "output");

}  // namespace ballast::work
