// The reader of one flow file, private to work/: flow_reader.cpp has the file as a whole, flow_stages_reader.cpp the kinds of
// stages, flow_calls_reader.cpp what goes out, flow_graph.cpp what comes after what.
#pragma once
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "work/flow.hpp"

namespace ballast::work {

class FlowReader {
 public:
  FlowReader(std::string_view text, std::string file, const EnvLookup& environment, const FileLookup& files);
  Result<FlowPtr> read(std::vector<ConfigMistake>* mistakes);

 private:
  // flow_reader.cpp
  bool parse(std::vector<ConfigMistake>& into);
  void head();
  void policy(const ConfigNode& node);
  Stages stages(const ConfigNode& node, const json::value& raw, std::size_t depth);
  Stage stage(const std::string& name, const ConfigNode& node, const json::value& raw, std::size_t depth);
  void common(Stage& stage, const ConfigNode& node);
  Retry retry(const ConfigNode& node, const Stage& stage);
  Fallback fallback(const ConfigNode& node);
  Digest definition(const json::value& raw, const std::set<std::string>& files) const;

  // flow_stages_reader.cpp
  bool does(Stage& stage, std::string_view kind, const ConfigNode& node, const json::value& raw, std::size_t depth);
  ModelStage model(const ConfigNode& node);
  ApproveStage approve(const ConfigNode& node);
  ApproveWhen approve_when(const ConfigNode& node);
  WaitStage wait(const ConfigNode& node, Stage& stage);
  MapStage map(const ConfigNode& node, const json::value& raw, std::size_t depth);
  ChooseStage choose(const ConfigNode& node);
  FlowStage flow(const ConfigNode& node);
  SettleStage settle(const ConfigNode& node);
  WorkerStage worker(const ConfigNode& node);
  QueryStage query(const ConfigNode& node);
  ClassifyStage classify(const ConfigNode& node);

  // flow_calls_reader.cpp
  HttpCall http(const ConfigNode& node);
  HttpCall only_http(const ConfigNode& node);          // {http: …}
  void expect(const ConfigNode& node, HttpCall& call);
  Expr expr(const ConfigNode& node);
  Text text(const ConfigNode& node);                   // a scalar, or {file: NAME}
  Shape shape(const ConfigNode& node);                 // a map, or the name of a file
  const std::string* attached(const ConfigNode& node); // the file that the node names

  std::string file_;
  const EnvLookup& environment_;
  const FileLookup& files_;
  const std::shared_ptr<SecretValues> secrets_;        // grows while the file is read
  bool in_call_ = false;                               // what is read goes out
  ConfigNode root_;
  json::value raw_;                                    // the file with its ${NAME} as they are
  std::set<std::string> used_;                         // files named by the stage being read
  std::size_t count_ = 0;
  std::set<std::string, std::less<>> names_;
  std::shared_ptr<Flow> flow_;
};

// flow_graph.cpp: fills in waits_for, outer, chosen_by and only_fallback of all stages; adds a mistake for every name that leads nowhere,
// every circle, and everything an expression cannot see. The names of the stages that the flow's output reads.
std::vector<std::string> link(Stages& stages, const Expr& output, std::string_view file, std::vector<ConfigMistake>& mistakes);

inline Place place_of(const ConfigNode& node) { return {node.line(), node.column(), node.path()}; }

}  // namespace ballast::work
