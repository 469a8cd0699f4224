// What a stage's expressions read, private to work/: the graph, the proof and the taint are made of it.
#pragma once
#include <vector>

#include "work/flow.hpp"

namespace ballast::work {

// What a reading can see besides .input, .stages, .run and the items of the maps around it.
enum class View : std::uint8_t {
  stage,       // nothing more
  own,         // .output
  failed,      // .error
  inside,      // a map's `output`: its inner stages and its item
  settled,     // only .values and .run
};
enum class ReadRole : std::uint8_t {
  data,        // becomes part of what the stage sends or gives back
  control,     // decides whether, when or where
  undo,        // of its compensation
};
struct Reading {
  const Jq::Reads* reads;
  const Place* at;
  View view = View::stage;
  ReadRole role = ReadRole::data;
};
// Of everything the stage evaluates. The inner stages of a map are left out. Borrowed from the stage.
std::vector<Reading> readings(const Stage& stage);

}  // namespace ballast::work
