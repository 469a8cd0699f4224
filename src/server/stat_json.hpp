// What pages read of figures and of calls, as JSON: Stat, NamedStat, CallRow of the HTTP contract; and how a chart's time is cut.
#pragma once
#include <string_view>

#include "base/json.hpp"
#include "records/rollups.hpp"

namespace ballast::server {

// Money as dollars with nine decimals, percentiles in milliseconds (null where there is nothing), within records::kSketchError.
json::object stat_json(const records::Figures& figures);
json::object named_stat_json(std::string_view name, const records::Figures& figures);   // {name, total}
json::array errors_json(const records::Series& series);                                 // [{error, calls}]
json::array starts_json(const records::Series& series);
json::object call_row_json(const records::CallRecord& call);

// The step at which [from, to) makes `buckets` at most: a minute at least, then what people read easily, then whole days.
Duration chart_step(WallTime from, WallTime to, std::size_t buckets);
// With steps of whole hours, from and to become whole hours, as far as they are past: of long ago nothing finer is kept.
void widen_to_hours(records::SeriesQuery& query, WallTime now);

}  // namespace ballast::server
