// The join tree of one level of an intent: which tables are read beside the first, over which declared edges, and what that does to the rows.
//
// The tree grows from `from`: tables named in `through` first, then each table that is needed, the nearest first, over the fewest edges. Where two
// ways are equally short the intent must say which (`through`, or a role): nothing is guessed.
//
// Rows: an edge towards "one" only looks something up. An edge towards "many" makes several rows of one. The *grain* is the table whose rows the
// result's rows are: `from`, or the end of a chain of edges towards many. The rows of all other tables repeat; where two such edges part from each
// other, or one leaves a table that was looked up, the rows of all tables do. What repeats may not be counted, summed or averaged, unless the
// intent says "per": the grain; min, max and count_distinct do not mind.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "query/intent.hpp"

namespace ballast::query {

struct JoinStep {
  std::size_t node = 0, parent = 0;        // in Dataset::nodes
  std::size_t join = 0;                    // in Dataset::joins
  bool forward = true;                     // from the join's `from` to its `to`
  bool outer = false;                      // a row without a partner is kept
};

struct JoinPlan {
  std::size_t root = 0;
  std::vector<JoinStep> steps;             // parents first
  std::optional<std::size_t> grain;        // nothing: the rows of all tables repeat
  std::set<std::size_t> whole;             // whose rows do not repeat
  bool has(std::size_t node) const;
  bool is_outer(std::size_t node) const;
};

// `needed`: nodes whose columns are used. caller_invalid_request, with `field` = `path`: no way, or two.
Result<JoinPlan> plan_joins(const Intent& intent, const std::set<std::size_t>& needed, const Dataset& dataset, const std::string& path);
// The nodes that this level's expressions use; not those of intents inside it.
std::set<std::size_t> nodes_used(const Intent& intent, const Dataset& dataset);

}  // namespace ballast::query
