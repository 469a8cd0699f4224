// The examples as training sees them, private to the room: labels by number, texts as the rows they have features of.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "classify/classify.hpp"
#include "classify/solver.hpp"
#include "classify/weigh.hpp"

namespace ballast::classify {

struct Corpus {
  std::vector<std::string> labels;            // sorted, without the out-of-scope label
  std::vector<std::uint32_t> truth;           // by example; kOutOfScope for examples of none
  std::vector<std::uint64_t> keys;            // by row, ascending
  std::vector<std::uint32_t> found;           // by row: examples that have it
  std::vector<std::size_t> begin;             // of each example's entries, and the end of the last
  std::vector<Entry> entries;
  std::vector<FamilySums> unknown;            // by example: of features too rare for a row
  std::uint32_t least_found = 1;              // what is in fewer examples has no row

  std::size_t size() const { return truth.size(); }
  std::span<const Entry> entries_of(std::size_t i) const { return std::span(entries).subspan(begin[i], begin[i + 1] - begin[i]); }
};

// Errors as `train` has them.
Result<Corpus> read_corpus(std::span<const Example> examples, const TrainOptions& options);

// The examples as vectors, weighted as if those of `held_out` were not there: what only they have is unknown.
struct Weighted {
  Design design;
  std::vector<float> known;                   // by example
  std::vector<float> rarities;                // by row, 0: unknown
  float unknown_weight = 1;
};
Weighted weigh_all(const Corpus& corpus, std::span<const std::uint32_t> held_out);

}  // namespace ballast::classify
