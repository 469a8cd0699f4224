// The walk behind `decide`, private to work/: decide.cpp has the run and the order of stages, decide_stage.cpp what a ready stage does,
// decide_context.cpp what it sees.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "work/decide.hpp"
#include "work/run_node.hpp"

namespace ballast::work {

class DecideRound {
 public:
  DecideRound(RunState& state, WallTime now);
  std::vector<Action> decide();
  std::vector<Action> roll_back();
  void take_stock();

 private:
  // decide.cpp
  void walk(Graph& graph);
  void settle_down();                              // walks until nothing changes
  void visit(Graph& graph, Node& node);
  bool order_allows(Graph& graph, Node& node);     // false: not yet, or skipped just now
  bool active_fallback(Graph& graph, Node& node);
  void fall_back(Graph& graph, Node& node);
  void settle(Node& node, StageState state);
  static bool halted(const Graph& graph);
  static bool running(const Graph& graph);
  static bool all_settled(const Graph& graph);
  static const Node* first_failed(const Graph& graph);
  void end(std::vector<Action>& actions);
  std::optional<Action> undo();
  void done_stages(Graph& graph, std::vector<std::pair<Graph*, Node*>>& out);
  void finish(std::vector<Action>& actions);
  void fail_run(std::vector<Action>& actions, std::string path, Error error);
  void wait_until(WallTime at);

  // decide_stage.cpp
  void answer(Graph& graph, Node& node);
  void take_result(Graph& graph, Node& node, const StageRecord& result);
  void exhausted(Graph& graph, Node& node, Error error);
  void start(Graph& graph, Node& node);
  void perform_outside(Graph& graph, Node& node);
  void transform(Graph& graph, Node& node, const Expr& program);
  void render(Graph& graph, Node& node, const Text& text);
  void choose(Graph& graph, Node& node, const ChooseStage& choice);
  void approve(Graph& graph, Node& node, const ApproveStage& approval);
  bool must_look(Graph& graph, const Node& node, const ApproveStage& approval) const;
  void wait(Graph& graph, Node& node, const WaitStage& wait);
  void begin_map(Graph& graph, Node& node, const MapStage& map);
  void walk_map(Graph& graph, Node& node, const MapStage& map, const StageRecord& started);
  Graph& item_at(Graph& graph, Node& node, const StageRecord& started, std::size_t index);
  void look_inside(Graph& graph, Node& node);
  void collect(Graph& graph, Node& node, const MapStage& map, std::size_t count);
  void go_on_waiting(Graph& graph, Node& node, const StageRecord& started);
  void keep_done(Graph& graph, Node& node, json::value output, Taint taint);
  void keep_failed(Graph& graph, Node& node, Error error);
  void keep(Graph& graph, Node& node, StageRecord record);
  double chance(std::string_view path, std::uint32_t draw) const;

  // decide_context.cpp
  Digest question(Graph& graph, const Stage& stage);
  json::object context(Graph& graph, const Stage& stage);
  json::object context_of(Graph& graph, const std::vector<const Jq::Reads*>& reads, const std::vector<std::string>& waits_for, bool inside = false);
  TaintsAround taints(Graph& graph) const;
  static std::string path_of(const Graph& graph, const Node& node) { return graph.prefix + node.stage->name; }

  RunState& state_;
  WallTime now_;
  bool changed_ = false;
  bool frozen_ = false;                            // nothing new: only what follows from what is recorded
  bool all_items_ = false;                         // of maps: also those whose turn has not come
  std::vector<Action> kept_;
  std::vector<Action> starts_;                     // of the last walk alone
  std::optional<WallTime> wake_;
};

}  // namespace ballast::work
