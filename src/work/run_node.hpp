// The tree behind a RunState, private to work/: one node per stage, with the graphs of a map's items below it.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "work/run_state.hpp"

namespace ballast::work {

// What is recorded of one question.
struct Answers {
  Digest input{};
  std::optional<StageRecord> result;                 // done or skipped
  std::optional<StageRecord> compensated;
  std::map<std::uint32_t, StageRecord> started;      // by attempt
  std::map<std::uint32_t, StageRecord> failures;     // by attempt
  std::uint32_t attempt() const { return failures.empty() ? 1 : failures.rbegin()->first + 1; }   // the present one
  const StageRecord* begun() const {                 // the present attempt waits
    const auto at = started.find(attempt());
    return at == started.end() ? nullptr : &at->second;
  }
};

struct Graph;
struct Node {
  const Stage* stage = nullptr;
  std::vector<Answers> answers;                      // one per question ever asked; nearly always one
  bool running = false;

  // What follows from them, filled in by decide; once settled it stays.
  StageState state = StageState::pending;
  std::optional<std::size_t> asks;                   // index of the present question
  const Node* stand_in = nullptr;                    // done: its fallback stage, which has the result
  std::optional<Error> error;                        // failed
  bool fallen = false;                               // wants its fallback stage
  std::optional<StageRecord> substitute;             // done: the value of its fallback, worked out
  std::vector<std::unique_ptr<Graph>> items;         // of a map
  std::vector<bool> closed;                          // items of which nothing is open
  std::size_t passed = 0;                            // the first so many items are closed, and none of them has failed
  bool broken = false;                               // an item has failed, and the map with it

  bool settled() const { return state == StageState::done || state == StageState::skipped || state == StageState::failed; }
  // Done: the record that has its output, its own or its fallback's.
  const StageRecord* result() const {
    if (stand_in) return stand_in->result();
    if (substitute) return &*substitute;
    return asks && answers[*asks].result ? &*answers[*asks].result : nullptr;
  }
  void forget();                                     // all that decide filled in
  Answers& question(const Digest& input);
};

struct Graph {
  const Stages* stages = nullptr;
  Graph* around = nullptr;
  const MapStage* map = nullptr;                     // of an item
  Node* owner = nullptr;
  std::size_t index = 0;
  std::string prefix;                                // "each[3]."
  std::shared_ptr<const json::value> item;           // null until the map has started
  Digest item_digest{};
  Taint item_taint;
  std::vector<Node> nodes;                           // beside `stages`

  Node* find(std::string_view name);
};
std::unique_ptr<Graph> make_graph(const Stages& stages, Graph* around, Node* owner, const MapStage* map, std::size_t index, std::string prefix);
// The graph of an item, made when it is first spoken of. Null beyond the map's maximum.
Graph* item_of(Node& node, Graph& around, std::size_t index);

// The stage, and what comes after it, of one graph.
std::set<std::string_view> with_followers(const Stages& stages, std::string_view name);

struct RunState::Inside {
  std::unique_ptr<Graph> top;
  bool stale = false;                                // a record came for what was settled already: all that follows is found anew
};

}  // namespace ballast::work
